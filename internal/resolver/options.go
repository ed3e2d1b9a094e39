package resolver

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Registry is how one registry is to be asked. Registries without such an entry are asked over TLS, themselves. Package
// config has found it to be valid.
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
}

// roots returns the certificates trusted for one registry: the system's, and those in its file.
func roots(caFile string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(caFile) //nolint:gosec // the path is configuration
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificates cannot be read: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no PEM certificate")
	}
	return pool, nil
}
