// Package cluster is the one package that talks to the API server: it reads workloads, patches them, gives
// back ownership, watches rollouts and emits Events. Every request has a deadline (I18), and every failure is
// a *failure.Error that names the verb, the resource and what to do.
package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// requestTimeout bounds every request but a watch, its retries included.
const requestTimeout = 20 * time.Second

// Options say which API server is asked, and how.
type Options struct {
	Context     string // of the kubeconfig; empty: its current one
	Namespace   string // empty: the kubeconfig's or the service account's
	Concurrency int    // requests under way at once
	UserAgent   string
	Manager     string          // the field manager that it writes as
	Runbook     failure.Runbook // what Events link to
	Logger      *slog.Logger
}

// Client talks to one API server.
type Client struct {
	clock      *clock
	namespace  string
	manager    string
	groups     map[string]*rest.RESTClient // by API group
	parameters runtime.ParameterCodec
	inFlight   chan struct{}
	runbook    failure.Runbook
	log        *slog.Logger
	library    logr.Logger // what client-go logs goes here
}

// groupVersions are the API groups that are spoken, instead of the full typed clientset's all.
func groupVersions() map[string]schema.GroupVersion {
	return map[string]schema.GroupVersion{
		"":                        corev1.SchemeGroupVersion,
		appsv1.GroupName:          appsv1.SchemeGroupVersion,
		authorizationv1.GroupName: authorizationv1.SchemeGroupVersion,
		batchv1.GroupName:         batchv1.SchemeGroupVersion,
		eventsv1.GroupName:        eventsv1.SchemeGroupVersion,
	}
}

// Connect prepares a client from the kubeconfig (KUBECONFIG, or the home directory's) or, in a cluster, from
// the service account. It sends no request.
func Connect(options Options) (*Client, error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: options.Context})
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, &failure.Error{
			Cause: failure.API, Err: err, Message: fmt.Sprintf("no way to the API server (%s)", failure.Clean(err.Error())),
			Fix: "run in a cluster with a service account, or name a kubeconfig in KUBECONFIG",
		}
	}
	namespace := options.Namespace
	if namespace == "" {
		if namespace, _, err = loader.Namespace(); err != nil || namespace == "" {
			namespace = metav1.NamespaceDefault
		}
	}
	return newClient(config, namespace, options)
}

func newClient(config *rest.Config, namespace string, options Options) (*Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, authorizationv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering API types: %w", err)
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	config = rest.CopyConfig(config)
	config.UserAgent = options.UserAgent
	config.QPS = -1 // client-go's 5 requests a second would take minutes over a thousand workloads; inFlight bounds us
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.WarningHandlerWithContext = warnings{options.Logger}
	dates := &clock{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		dates.next = traced{next, options.Logger}
		return dates
	})
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, &failure.Error{Cause: failure.API, Err: err, Message: fmt.Sprintf("the kubeconfig cannot be used: %s", failure.Clean(err.Error()))}
	}
	client := &Client{
		clock: dates, namespace: namespace, manager: options.Manager, groups: map[string]*rest.RESTClient{}, parameters: runtime.NewParameterCodec(scheme),
		runbook: options.Runbook, inFlight: make(chan struct{}, max(1, options.Concurrency)), log: options.Logger,
		library: logr.FromSlogHandler(errorsOnly{options.Logger.Handler()}),
	}
	for group, version := range groupVersions() {
		own := rest.CopyConfig(config)
		own.GroupVersion, own.APIPath = &version, "/apis"
		if group == "" {
			own.APIPath = "/api"
		}
		if client.groups[group], err = rest.RESTClientForConfigAndClient(own, transport); err != nil {
			return nil, &failure.Error{Cause: failure.API, Err: err, Message: fmt.Sprintf("the kubeconfig cannot be used: %s", failure.Clean(err.Error()))}
		}
	}
	return client, nil
}

// warnings logs what the API server warns of: left to itself, client-go prints it to stderr, between our lines.
type warnings struct{ log *slog.Logger }

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	if code == 299 && text != "" { // the only code that the API server gives a meaning to
		w.log.WarnContext(ctx, "the API server warns: "+failure.Clean(text))
	}
}

// Namespace is where workloads without a namespace are.
func (c *Client) Namespace() string { return c.namespace }

// errorsOnly lets through of client-go's log what is an error. The rest tells of requests, which have lines of their
// own here, in words that change with each release.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

func (h errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorsOnly{h.Handler.WithAttrs(attrs)}
}

func (h errorsOnly) WithGroup(name string) slog.Handler {
	return errorsOnly{h.Handler.WithGroup(name)}
}
