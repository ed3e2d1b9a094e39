// Package registries runs container registries under names that the test does
// not own. A Store is a real registry (distribution) in this process; a
// Registry puts the token flow of docker.io or ghcr.io before it; a Front
// serves any number of hosts on one TLS port, with certificates for their real
// names; and a Proxy is the CONNECT proxy that leads there, for every host or
// for all but those that the test refuses. No DNS tricks, no root: the program
// under test gets HTTPS_PROXY and SSL_CERT_FILE, and nothing else is special.
//
// A Site is all of it together:
//
//	site, err := registries.Start(ctx, dir)
//	digest, err := site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Image("one", "linux/amd64"))
//	site.Proxy.Refuse("ghcr.io", 403)
//
// Front and Proxy record every request, and break those that the test picks
// (package faultinject).
package registries

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

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

	mu       sync.Mutex // of what Add adds
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
	if s.Front, err = newFront(ctx, authority); err != nil {
		return nil, err
	}
	if s.Proxy, err = newProxy(ctx, s.Front); err != nil {
		return nil, errors.Join(err, s.Front.stop())
	}
	s.DockerHub, s.GHCR = newDockerHub(NewStore(ctx)), newGHCR(NewStore(ctx))
	s.Add(name.DefaultRegistry, s.DockerHub.Store, s.DockerHub, "registry-1.docker.io", "index.docker.io", "auth.docker.io")
	s.Add("ghcr.io", s.GHCR.Store, s.GHCR, "ghcr.io")
	return s, nil
}

// Add puts a further registry onto the site: Push and the like find its store
// by the registry's name, clients find handler by the hosts.
func (s *Site) Add(registry string, store *Store, handler http.Handler, hosts ...string) {
	s.mu.Lock()
	s.stores[registry] = store
	s.handlers = append(s.handlers, handler)
	s.mu.Unlock()
	for _, host := range hosts {
		s.Front.Handle(host, handler)
	}
}

// Secrets returns what was sent here, or issued here, or is an account's here,
// and must be printed by nobody.
func (s *Site) Secrets() []string {
	all := append(s.Front.Secrets(), s.Proxy.Secrets()...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, handler := range s.handlers {
		if keeper, ok := handler.(interface{ Secrets() []string }); ok {
			all = append(all, keeper.Secrets()...)
		}
	}
	return all
}

// Stop ends the site and everything under way in it.
func (s *Site) Stop() error {
	failures := []error{s.Proxy.stop(), s.Front.stop()}
	for _, store := range s.stores {
		failures = append(failures, store.app.Shutdown())
	}
	return errors.Join(failures...)
}

// Environ is what a program needs to take the site's registries for the real
// ones.
func (s *Site) Environ() []string {
	return []string{
		"HTTPS_PROXY=" + s.Proxy.URL(), "HTTP_PROXY=" + s.Proxy.URL(), "NO_PROXY=127.0.0.1,localhost",
		"SSL_CERT_FILE=" + s.CAFile, "SSL_CERT_DIR=/nonexistent",
	}
}

// Transport takes the site's registries for the real ones, for clients in this
// process.
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
	ref, store, err := s.find(reference)
	if err != nil {
		return "", err
	}
	if err := remote.Push(ref, content.taggable(), store.as()...); err != nil {
		return "", fmt.Errorf("push %s: %w", reference, err)
	}
	store.repositories.Store(ref.Context().RepositoryStr(), true)
	return content.Digest()
}

// Raw is a manifest as it is, in a reference's repository, with the blobs that it names.
type Raw struct {
	Manifest []byte
	Media    types.MediaType
	Blobs    [][]byte
}

// RawManifest is the manifest.
func (r Raw) RawManifest() ([]byte, error) { return r.Manifest, nil }

// MediaType is the manifest's.
func (r Raw) MediaType() (types.MediaType, error) { return r.Media, nil }

// Put stores a manifest as it is under a tag or its digest.
func (s *Site) Put(reference string, raw Raw) error {
	ref, store, err := s.find(reference)
	if err != nil {
		return err
	}
	for _, blob := range raw.Blobs {
		if err := remote.WriteLayer(ref.Context(), static.NewLayer(blob, types.OCILayer), store.as()...); err != nil {
			return fmt.Errorf("push a blob of %s: %w", reference, err)
		}
	}
	store.repositories.Store(ref.Context().RepositoryStr(), true)
	return remote.Put(ref, raw, store.as()...)
}

// Tag makes a tag point to a digest that its repository holds.
func (s *Site) Tag(reference, digest string) error {
	ref, store, err := s.find(reference)
	if err != nil {
		return err
	}
	held, err := remote.Get(ref.Context().Digest(digest), store.as()...)
	if err != nil {
		return fmt.Errorf("find %s: %w", digest, err)
	}
	return remote.Tag(ref.Context().Tag(ref.Identifier()), held, store.as()...)
}

// Delete removes a tag, or a manifest where the reference is a digest.
func (s *Site) Delete(reference string) error {
	ref, store, err := s.find(reference)
	if err != nil {
		return err
	}
	return remote.Delete(ref, store.as()...)
}

// Digest returns what a tag points to.
func (s *Site) Digest(reference string) (string, error) {
	ref, store, err := s.find(reference)
	if err != nil {
		return "", err
	}
	held, err := remote.Head(ref, store.as()...)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", reference, err)
	}
	return held.Digest.String(), nil
}

func (s *Site) find(reference string) (name.Reference, *Store, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	store := s.stores[ref.Context().RegistryStr()]
	s.mu.Unlock()
	if store == nil {
		return nil, nil, fmt.Errorf("the site has no registry %s", ref.Context().RegistryStr())
	}
	return ref, store, nil
}
