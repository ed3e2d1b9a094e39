package registries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the driver that the configuration names
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
)

// Store is a real registry that keeps its images in memory. As an
// http.Handler it lets anybody pull and push; a Registry in front of it does
// not.
type Store struct {
	app *handlers.App
	// admit lets the test's own requests in where the registry itself asks who
	// calls.
	admit func(*http.Request)

	mu           sync.Mutex
	repositories map[string]bool
}

// NewStore returns an empty registry.
func NewStore(ctx context.Context) *Store {
	return newStore(ctx, nil, func(*http.Request) {})
}

// newStore returns an empty registry that asks who calls, as auth says.
func newStore(ctx context.Context, auth configuration.Auth, admit func(*http.Request)) *Store {
	// The registry logs to logrus's one logger; its requests are recorded by
	// the Front, where they can be asserted.
	logrus.SetOutput(io.Discard)
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory":    configuration.Parameters{},
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
		Auth:    auth,
		Catalog: configuration.Catalog{MaxEntries: 1000},
	}
	config.HTTP.Secret = "kept in memory" // signs upload sessions, which end with the process
	return &Store{app: handlers.NewApp(context.WithoutCancel(ctx), config), admit: admit, repositories: map[string]bool{}}
}

// ServeHTTP serves the registry; what NewStore made does not ask who calls.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.app.ServeHTTP(w, r) }

// Close ends the registry.
func (s *Store) Close() error { return s.app.Shutdown() }

// Has tells whether anything was ever pushed to the repository.
func (s *Store) Has(repository string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repositories[repository]
}

// Push stores an image or index under reference, which is
// repository:tag or repository@digest, and returns its digest.
func (s *Store) Push(reference string, content Content) (digest string, err error) {
	ref, err := inside(reference)
	if err != nil {
		return "", err
	}
	if err := content.push(ref, s.options()...); err != nil {
		return "", fmt.Errorf("push %s: %w", reference, err)
	}
	s.mu.Lock()
	s.repositories[ref.Context().RepositoryStr()] = true
	s.mu.Unlock()
	return content.Digest()
}

// Tag makes a tag point to a digest that the repository holds.
func (s *Store) Tag(reference, digest string) error {
	ref, err := inside(reference)
	if err != nil {
		return err
	}
	tag, ok := ref.(name.Tag)
	if !ok {
		return fmt.Errorf("%s has no tag", reference)
	}
	descriptor, err := remote.Get(ref.Context().Digest(digest), s.options()...)
	if err != nil {
		return fmt.Errorf("find %s: %w", digest, err)
	}
	return remote.Tag(tag, descriptor, s.options()...)
}

// Delete removes a tag, or a manifest where the reference is a digest.
func (s *Store) Delete(reference string) error {
	ref, err := inside(reference)
	if err != nil {
		return err
	}
	return remote.Delete(ref, s.options()...)
}

// Digest returns what a tag points to.
func (s *Store) Digest(reference string) (string, error) {
	ref, err := inside(reference)
	if err != nil {
		return "", err
	}
	descriptor, err := remote.Head(ref, s.options()...)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", reference, err)
	}
	return descriptor.Digest.String(), nil
}

func (s *Store) options() []remote.Option {
	return []remote.Option{remote.WithTransport(direct{s})}
}

// inside reads a reference that names no host: all of them are in this store.
func inside(reference string) (name.Reference, error) {
	return name.ParseReference("store.invalid/"+reference, name.Insecure)
}

// direct hands requests to a store in this process, and is let in.
type direct struct{ store *Store }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "http" {
		return nil, errors.New("plain HTTP is spoken here")
	}
	inner := r.Clone(r.Context())
	if inner.Body == nil {
		inner.Body = http.NoBody // a server's request always has a body
	}
	inner.RequestURI = r.URL.RequestURI()
	inner.Host = r.URL.Host
	d.store.admit(inner)
	w := httptest.NewRecorder()
	d.store.ServeHTTP(w, inner)
	response := w.Result()
	response.Request = r
	return response, nil
}
