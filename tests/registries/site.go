package registries

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/tracebloc/image-refresh/tests/pki"
)

// Site is docker.io and ghcr.io, and the way to them.
type Site struct {
	// Authority signed every certificate; CAFile is it, for SSL_CERT_FILE.
	Authority *pki.Authority
	CAFile    string
	// Front serves the hosts, and records and breaks what reaches them.
	Front *Front
	// Proxy leads to the front, and records and refuses what asks for it.
	Proxy *Proxy
	// DockerHub and GHCR are the registries behind the front.
	DockerHub, GHCR *Registry

	stores   map[string]*Store
	handlers []http.Handler
}

// Start brings a site up. It writes CAFile into dir.
func Start(ctx context.Context, dir string) (*Site, error) {
	authority, err := pki.NewAuthority("image-refresh test registries")
	if err != nil {
		return nil, err
	}
	s := &Site{Authority: authority, CAFile: filepath.Join(dir, "registries-ca.crt"), stores: map[string]*Store{}}
	if err := authority.WriteFile(s.CAFile); err != nil {
		return nil, fmt.Errorf("write the registries' authority: %w", err)
	}
	if s.Front, err = NewFront(ctx, authority); err != nil {
		return nil, err
	}
	if s.Proxy, err = NewProxy(ctx, s.Front); err != nil {
		return nil, errors.Join(err, s.Front.Stop())
	}
	hub, ghcr := NewStore(ctx), NewStore(ctx)
	s.DockerHub, s.GHCR = NewDockerHub(hub), NewGHCR(ghcr)
	s.Add(name.DefaultRegistry, hub, s.DockerHub, "registry-1.docker.io", "index.docker.io", "auth.docker.io")
	s.Add("ghcr.io", ghcr, s.GHCR, "ghcr.io")
	return s, nil
}

// Add puts a further registry onto the site: Push and the like find its store
// by the registry's name, clients find handler by the hosts.
func (s *Site) Add(registry string, store *Store, handler http.Handler, hosts ...string) {
	s.stores[registry] = store
	s.handlers = append(s.handlers, handler)
	for _, host := range hosts {
		s.Front.Handle(host, handler)
	}
}

// Secrets returns what was sent here, or issued here, or is an account's here,
// and must be printed by nobody.
func (s *Site) Secrets() []string {
	secrets := append(s.Front.secrets.Values(), s.Proxy.secrets.Values()...)
	for _, handler := range s.handlers {
		if keeper, ok := handler.(interface{ Secrets() []string }); ok {
			secrets = append(secrets, keeper.Secrets()...)
		}
	}
	return secrets
}

// Stop ends the site and everything under way in it.
func (s *Site) Stop() error {
	failures := []error{s.Proxy.Stop(), s.Front.Stop()}
	for _, store := range s.stores {
		failures = append(failures, store.Close())
	}
	return errors.Join(failures...)
}

// Environ is what a program needs to take the site for the world.
func (s *Site) Environ() []string {
	return []string{
		"HTTPS_PROXY=" + s.Proxy.URL(), "HTTP_PROXY=" + s.Proxy.URL(), "NO_PROXY=127.0.0.1,localhost",
		"SSL_CERT_FILE=" + s.CAFile, "SSL_CERT_DIR=/nonexistent",
	}
}

// Transport takes the site for the world, for clients in this process.
func (s *Site) Transport() (*http.Transport, error) {
	proxy, err := url.Parse(s.Proxy.URL())
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy: http.ProxyURL(proxy), ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Authority.Pool()},
	}, nil
}

// Push stores content under a reference such as ghcr.io/tracebloc/ingestor:0.3
// or nginx, and returns its digest.
func (s *Site) Push(reference string, content Content) (digest string, err error) {
	store, rest, err := s.find(reference)
	if err != nil {
		return "", err
	}
	return store.Push(rest, content)
}

// Tag makes a tag point to a digest that its repository holds.
func (s *Site) Tag(reference, digest string) error {
	store, rest, err := s.find(reference)
	if err != nil {
		return err
	}
	return store.Tag(rest, digest)
}

// Delete removes a tag, or a manifest where the reference is a digest.
func (s *Site) Delete(reference string) error {
	store, rest, err := s.find(reference)
	if err != nil {
		return err
	}
	return store.Delete(rest)
}

// Digest returns what a tag points to.
func (s *Site) Digest(reference string) (string, error) {
	store, rest, err := s.find(reference)
	if err != nil {
		return "", err
	}
	return store.Digest(rest)
}

func (s *Site) find(reference string) (store *Store, rest string, err error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, "", err
	}
	registry := ref.Context().RegistryStr()
	if store = s.stores[registry]; store == nil {
		return nil, "", fmt.Errorf("the site has no registry %s", registry)
	}
	separator := ":"
	if _, ok := ref.(name.Digest); ok {
		separator = "@"
	}
	return store, ref.Context().RepositoryStr() + separator + ref.Identifier(), nil
}
