package resolver

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/url"
	"time"
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
	Logger         *slog.Logger
	UserAgent      string

	// Proxy chooses the proxy of a request; nil reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	Proxy func(*http.Request) (*url.URL, error)
	// Roots are trusted in place of the system's (SSL_CERT_FILE, SSL_CERT_DIR) where not nil.
	Roots *x509.CertPool
	// Backoff is how long to pause before each further try of what may pass by itself; nil for the default,
	// empty for none. Retries never outlast Timeout.
	Backoff []time.Duration
}
