package resolver_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/resolver"
)

func TestResolveTakesOnePingOneTokenOneHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub, ghcr := w.dockerHub(), w.ghcr()
	library := hub.index("library/nginx", "1.27", "a", "linux/amd64")
	jm := hub.index("tracebloc/jobs-manager", "prod", "b", "linux/amd64")
	ingestor := ghcr.index("tracebloc/ingestor", "0.3", "c", "linux/amd64", "linux/arm64")
	answers := w.resolver().Resolve(t.Context(), []resolver.Query{
		query(t, "nginx:1.27"), query(t, "index.docker.io/tracebloc/jobs-manager:prod"), query(t, "ghcr.io/tracebloc/ingestor:0.3"),
		query(t, "tracebloc/jobs-manager:prod"),
	})
	for i, want := range []resolver.Answer{
		{Digest: library, Via: "docker.io"}, {Digest: jm, Via: "docker.io"}, {Digest: ingestor, Via: "ghcr.io"}, {Digest: jm, Via: "docker.io"},
	} {
		assert.Equal(t, want, answers[i], i)
	}
	assert.ElementsMatch(t, []string{
		"GET registry-1.docker.io/v2/", "GET auth.docker.io/token", "HEAD registry-1.docker.io/v2/library/nginx/manifests/1.27",
		"HEAD registry-1.docker.io/v2/tracebloc/jobs-manager/manifests/prod",
		"GET ghcr.io/v2/", "GET ghcr.io/token", "HEAD ghcr.io/v2/tracebloc/ingestor/manifests/0.3",
	}, w.asked())
	for _, r := range w.seen() {
		if r.Method == http.MethodHead {
			assert.Len(t, r.Accept, 1, "one value (I21)")
			assert.Contains(t, r.Accept[0], "application/vnd.oci.image.index.v1+json, ")
			assert.Equal(t, "HTTP/2.0", r.Proto)
		}
		assert.Empty(t, r.Encoding, "digests are of the bytes as they are, and small answers do not unfold")
	}
}

func TestRequestFloor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ images, registries, tokens int }{
		{1, 1, 1}, {3, 1, 1}, {3, 2, 2}, {60, 1, 2}, {60, 3, 3}, {200, 1, 4}, {200, 2, 4}, {200, 3, 6},
	} {
		t.Run(fmt.Sprintf("%d images on %d", c.images, c.registries), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var registries []*registry
			for i := range c.registries {
				name := fmt.Sprintf("r%d.example.com", i)
				g := newRegistry("https://" + name + "/token")
				registries = append(registries, g)
				w.serve(name, func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/token" {
						g.tokens(rw, r)
						return
					}
					g.ServeHTTP(rw, r)
				})
			}
			var queries []resolver.Query
			for i := range c.images {
				at := i % c.registries
				name := fmt.Sprintf("team/image-%d", i)
				registries[at].index(name, "1", name, "linux/amd64")
				queries = append(queries, query(t, fmt.Sprintf("r%d.example.com/%s:1", at, name)))
			}
			for _, answer := range w.resolver().Resolve(t.Context(), queries) {
				require.Nil(t, answer.Failure)
			}
			assert.Equal(t, c.images, w.count("HEAD "))
			assert.Equal(t, c.registries, w.count("/v2/")-w.count("/manifests/"))
			assert.Equal(t, c.tokens, w.count("/token"))
			assert.Len(t, w.asked(), c.images+c.registries+c.tokens)
		})
	}
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}
