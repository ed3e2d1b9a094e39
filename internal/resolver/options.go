package resolver

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/image"
)

// Registry is how one registry is to be asked. Registries without such an entry are asked over TLS, themselves.
type Registry struct {
	Host      string   // as image references name it: docker.io, harbor.example.com:8443
	Mirrors   []string // host[:port][/path], asked in order before Host
	Fallback  bool     // ask Host itself after the mirrors
	CAFile    string   // PEM, added to the system's roots, for Host and its token endpoint
	PlainHTTP bool     // ask Host without TLS; nothing else ever is
}

// Options is what a Resolver is made from.
type Options struct {
	Registries     []Registry
	PullSecretsDir string        // NAMESPACE/NAME/.dockerconfigjson or .dockercfg
	DockerConfig   string        // the directory that DOCKER_CONFIG names, with config.json in it; empty for none
	Timeout        time.Duration // for one image, its retries included
	Concurrency    int           // images asked for at once
	// Check has each origin asked beside its mirrors, to see whether they agree. What Report says is not logged.
	Check     bool
	Logger    *slog.Logger
	UserAgent string

	// Proxy chooses the proxy of a request; nil reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	Proxy func(*http.Request) (*url.URL, error)
	// Roots are trusted in place of the system's (SSL_CERT_FILE, SSL_CERT_DIR) where not nil.
	Roots *x509.CertPool
	// Backoff is how long to pause before each further try of what may pass by itself; nil for the default,
	// empty for none. Retries never outlast Timeout.
	Backoff []time.Duration
}

// complete fills in what may be left out, and reports all that contradicts itself, at once.
func (o Options) complete() (Options, error) {
	var problems []error
	if o.Timeout <= 0 {
		problems = append(problems, errors.New("the timeout of a resolve must be positive"))
	}
	if o.Concurrency < 1 {
		problems = append(problems, errors.New("the concurrency must be at least 1"))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.UserAgent == "" {
		o.UserAgent = "image-refresh"
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Backoff == nil {
		o.Backoff = []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}
	}
	var seen []string
	for i, registry := range o.Registries {
		at := fmt.Sprintf("registries[%d]", i)
		if image.ValidHost(registry.Host) {
			at = fmt.Sprintf("registries[%d] (%s)", i, registry.Host)
		} else {
			problems = append(problems, fmt.Errorf("%s.host: not a host as in harbor.example.com or harbor.example.com:8443", at))
		}
		if slices.Contains(seen, hostKey(registry.Host)) {
			problems = append(problems, fmt.Errorf("%s: this host has an entry already", at))
		}
		seen = append(seen, hostKey(registry.Host))
		problems = append(problems, registry.check(at)...)
	}
	return o, errors.Join(problems...)
}

func (r Registry) check(at string) []error {
	var problems []error
	for _, mirror := range r.Mirrors {
		named, err := image.ParseReference(mirror + "/name")
		switch {
		case err != nil || named.Name() != mirror+"/name" || named.Host == "docker.io":
			problems = append(problems, fmt.Errorf("%s.mirrors: not host[:port][/path] as in harbor.example.com/dockerhub", at))
		case hostKey(mirror) == hostKey(r.Host):
			problems = append(problems, fmt.Errorf("%s.mirrors: the host is no mirror of itself", at))
		}
	}
	if len(r.Mirrors) == 0 && !r.Fallback {
		problems = append(problems, fmt.Errorf("%s.fallback: false leaves nothing to ask where there are no mirrors", at))
	}
	if r.PlainHTTP && r.CAFile != "" {
		problems = append(problems, fmt.Errorf("%s: plainHTTP and caFile exclude each other", at))
	}
	return problems
}

// roots returns the certificates trusted for one registry. Nil means the system's.
func (o Options) roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return o.Roots, nil
	}
	pem, err := os.ReadFile(caFile) //nolint:gosec // the path is configuration
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	pool, err := o.base()
	if err != nil {
		return nil, fmt.Errorf("the system's certificates cannot be read: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no PEM certificate")
	}
	return pool, nil
}

// base is a copy of what is trusted everywhere.
func (o Options) base() (*x509.CertPool, error) {
	if o.Roots != nil {
		return o.Roots.Clone(), nil
	}
	return x509.SystemCertPool()
}
