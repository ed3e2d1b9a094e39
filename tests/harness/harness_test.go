package harness

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

var environment *Environment

// The program under test here is kubectl, which does as it is told: it leaks, and it fails as any client does.
func TestMain(m *testing.M) {
	kubernetes, err := components.ChosenKubernetes()
	if err == nil {
		var binaries map[string]string
		if binaries, err = components.Build(context.Background(), os.Stderr, kubernetes.ControlPlane()...); err == nil {
			os.Exit(Main(m, Options{Binary: binaries["kubectl"], Progress: os.Stderr}, func(e *Environment) { environment = e }))
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestFaultsOfTheAPIServerReachTheProgram(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Deploy(workloads.Deployment("x"))
	read := apiproxy.Read("deployments", "x")
	for _, test := range []struct {
		name           string
		do             faultinject.Action
		code, requests int
		says           string
	}{
		{"forbidden", apiproxy.Refuse(403, "Forbidden", "no such right"), 1, 1, "no such right"},
		{"busy, once", apiproxy.TooManyRequests(1), 0, 2, ""},
		{"late", faultinject.Delay(50 * time.Millisecond), 0, 1, ""},
		{"broken", faultinject.Reply(500, "boom"), 1, 1, "boom"},
		{"half", faultinject.Truncate(20), 1, 1, "EOF"},
		{"lost, once", faultinject.Lose(), 0, 2, ""}, // client-go asks again, as it does after a reset
		{"reset, once", faultinject.Reset(), 0, 2, ""},
	} {
		s.Forget()
		remove := s.API.Inject(apiproxy.Fault{Match: read, Times: 1, Do: test.do})
		result := s.Run("get", "deployment", "x")
		remove()
		RequireExit(t, test.code, result)
		assert.Contains(t, result.Stderr, test.says, test.name)
		assert.Len(t, s.API.Requests(read), test.requests, test.name)
	}
}

// witness stands in for a test that would fail.
type witness struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (w *witness) Cleanup(f func())          { w.cleanups = append(w.cleanups, f) }
func (w *witness) Errorf(f string, a ...any) { w.errors = append(w.errors, fmt.Sprintf(f, a...)) }
func (w *witness) Failed() bool              { return false }

// A secret is found wherever a program leaves one, without being named if it is an account's; and nowhere else.
func TestLeakFailsItsTest(t *testing.T) {
	t.Parallel()
	// With nothing captured yet, for runs that leak on purpose.
	e := &Environment{Cluster: environment.Cluster, Kubelet: environment.Kubelet, Binary: environment.Binary}
	w := &witness{TB: t}
	s := e.Scenario(w)
	s.Deploy(workloads.Deployment("x"))
	const planted, password = "planted-in-a-test", "planted-as-a-password"
	s.Secret(planted)
	s.Site.GHCR.AddAccount("puller", password)
	basic := base64.StdEncoding.EncodeToString([]byte("puller:" + password))
	s.Run("get", "deployment", "x")
	s.Run("get", "deployment", planted)
	s.Run("create", "configmap", password, "--dry-run=client", "-o", "name")
	s.Run("create", "configmap", "x", "--from-literal=y="+basic, "--dry-run=client", "-o", "yaml")
	s.Run("create", "configmap", "x", "--from-literal=y=bearer 0123456789abcdef", "--dry-run=client", "-o", "yaml")
	s.Run("config", "set-credentials", "x", "--token", planted, "--kubeconfig", filepath.Join(s.Home, "written"))
	s.Run("label", "deployment", "x", "note="+planted)
	s.Forget()
	s.Run("annotate", "deployment", "x", "note="+planted)
	_, err := s.Client.EventsV1().Events(s.Namespace).Create(t.Context(), &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "planted"}, EventTime: metav1.NowMicro(), ReportingController: "x/y", ReportingInstance: "z",
		Action: "a", Reason: "r", Type: "Normal", Note: "it is " + planted,
		Regarding: corev1.ObjectReference{Kind: "Deployment", Namespace: s.Namespace, Name: "x"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	for _, cleanup := range slices.Backward(w.cleanups) {
		cleanup()
	}
	for _, where := range []string{
		"standard error of image-refresh get deployment " + planted,
		"standard output of image-refresh create configmap " + password + " --dry-run=client -o name",
		"standard output of image-refresh create configmap x --from-literal=y=" + basic + " --dry-run=client -o yaml",
		"PATCH /apis/apps/v1/namespaces/" + s.Namespace + "/deployments/x",
		"deployments/x in " + s.Namespace,
		"events/planted in " + s.Namespace,
		filepath.Join(s.Home, "written"),
	} {
		assert.Contains(t, w.errors, where+" holds a secret")
	}
	assert.NotContains(t, w.errors, "standard output of image-refresh get deployment x holds a secret")
	assert.Len(t, e.leaks(), 4, "and the suite fails for what was printed, and for what looks like a credential")
}

// What looks like a credential fails the suite, whoever's it is.
func TestCredentialsAreRecognised(t *testing.T) {
	t.Parallel()
	for text, is := range map[string]bool{
		"Authorization: Basic dXNlcjpwYXNzd29yZA==": true, "bearer 0123456789abcdef": true, "eyJhbGciOiJFUzI1NiJ9.e30.x": true,
		"http://user:password@proxy:3128": true, "a basic question http://proxy:3128/a@b": false,
	} {
		assert.Equal(t, is, credentials.MatchString(text), text)
	}
}
