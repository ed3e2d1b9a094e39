package registries

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the driver that the configuration names
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
)

// Store is a real registry that keeps its images in memory. As an
// http.Handler it lets anybody pull and push; a Registry in front of it does
// not.
type Store struct {
	app *handlers.App
	// repositories are those that anything was ever pushed to.
	repositories sync.Map
}

// NewStore returns an empty registry.
func NewStore(ctx context.Context) *Store {
	// The registry logs to logrus's one logger; its requests are recorded by
	// the Front, where they can be asserted.
	logrus.SetOutput(io.Discard)
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory":    configuration.Parameters{},
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
		Catalog: configuration.Catalog{MaxEntries: 1000},
	}
	config.HTTP.Secret = "kept in memory" // signs upload sessions, which end with the process
	return &Store{app: handlers.NewApp(context.WithoutCancel(ctx), config)}
}

// ServeHTTP serves the registry, which does not ask who calls.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.app.ServeHTTP(w, r) }

// as is how the test itself asks the store, whatever the host of a reference.
func (s *Store) as() []remote.Option { return []remote.Option{remote.WithTransport(direct{s})} }

// direct hands requests to a store in this process, past whoever stands before it.
type direct struct{ store *Store }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	inner := r.Clone(r.Context())
	if inner.Body == nil {
		inner.Body = http.NoBody // a server's request always has a body
	}
	inner.RequestURI, inner.Host = r.URL.RequestURI(), r.URL.Host
	w := httptest.NewRecorder()
	d.store.ServeHTTP(w, inner)
	response := w.Result()
	response.Request = r
	return response, nil
}
