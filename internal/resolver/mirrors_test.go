package resolver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// mirrored has docker.io asked at two mirrors first.
func mirrored(fallback bool) func(*resolver.Options) {
	return func(o *resolver.Options) {
		o.Registries = []resolver.Registry{{Host: "docker.io", Mirrors: []string{"harbor.example.com/dockerhub", "mirror.example.com"}, Fallback: fallback}}
	}
}

// What each answer of the first mirror leads to.
func TestMirrors_I22(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first    http.HandlerFunc // nil: it serves the image
		blocked  bool             // the proxy does not let it through
		via      string
		cause    fault.Cause
		warns    fault.Cause
		asideSay string
	}{
		"has it":  {via: "harbor.example.com/dockerhub"},
		"404":     {first: status(404), via: "mirror.example.com"},
		"500":     {first: status(500), via: "mirror.example.com", warns: fault.ServerError},
		"cut":     {first: hangUp, via: "mirror.example.com", warns: fault.ConnectionRefused},
		"blocked": {blocked: true, via: "mirror.example.com", warns: fault.Proxy},
		"401": {first: func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Www-Authenticate", "Basic realm=x")
			status(401)(rw, r)
		}, cause: fault.Unauthorized},
		"403":          {first: status(403), cause: fault.Forbidden},
		"429":          {first: status(429), cause: fault.RateLimited},
		"not a digest": {first: digestHeader("sha256:zz"), cause: fault.BadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			first, second, hub := newRegistry(""), newRegistry(""), w.dockerHub()
			firstDigest := first.index("dockerhub/library/nginx", "1", "first", "linux/amd64")
			secondDigest := second.index("library/nginx", "1", "second", "linux/amd64")
			hub.index("library/nginx", "1", "hub", "linux/amd64")
			w.serve("harbor.example.com", func(rw http.ResponseWriter, r *http.Request) {
				if c.first != nil && strings.Contains(r.URL.Path, "/manifests/") {
					c.first(rw, r)
					return
				}
				first.ServeHTTP(rw, r)
			})
			w.serve("mirror.example.com", second.ServeHTTP)
			if c.blocked {
				w.refuse["harbor.example.com"] = 403
			}
			answer := w.one("nginx:1", mirrored(true))
			if c.cause != fault.None {
				require.NotNil(t, answer.Failure)
				assert.Equal(t, c.cause, answer.Failure.Cause, answer.Failure.Message)
				assert.Equal(t, "harbor.example.com", answer.Failure.Host)
				assert.Zero(t, w.count("mirror.example.com"))
			} else {
				require.Nil(t, answer.Failure)
				want := secondDigest
				if c.via == "harbor.example.com/dockerhub" {
					want = firstDigest
				}
				assert.Equal(t, want, answer.Digest)
				assert.Equal(t, c.via, answer.Via)
			}
			if c.warns == fault.None {
				assert.Empty(t, answer.Warnings)
			} else {
				require.Len(t, answer.Warnings, 1)
				assert.Equal(t, c.warns, answer.Warnings[0].Cause)
				assert.Contains(t, answer.Warnings[0].Message, "mirror.example.com answered in place of the mirror harbor.example.com/dockerhub")
			}
			assert.Zero(t, w.count("docker.io"))
		})
	}
}

func TestTheHostItselfComesLastOrNever(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve("harbor.example.com", newRegistry("").ServeHTTP)
	w.refuse["mirror.example.com"] = 403
	digest := w.dockerHub().index("library/nginx", "1", "hub", "linux/amd64")
	answer := w.one("nginx:1", mirrored(true))
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	assert.Equal(t, "docker.io", answer.Via)
	asked := w.count("docker.io")
	answer = w.one("nginx:1", mirrored(false))
	assert.Equal(t, fault.NotFound, answer.Failure.Cause, "of what both mirrors said, what a person must mend")
	assert.Contains(t, answer.Failure.Message, "the registry harbor.example.com answered 404")
	assert.Contains(t, answer.Failure.Message, "(also asked, mirror.example.com: proxy)")
	assert.Equal(t, asked, w.count("docker.io"), "no fallback, no request")
}

// A mirror gets only credentials that match its own name.
func TestMirrorsGetTheirOwnCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.harbor()
	h.robot("robot$private", "mirror-password", "private")
	digest := h.index("private/t/i", "1", "a", "linux/amd64")
	hub := w.dockerHub()
	hub.accounts["me"] = "docker-password"
	options := func(o *resolver.Options) {
		o.Registries = []resolver.Registry{{Host: "docker.io", Mirrors: []string{"harbor.example.com/private"}, Fallback: true}}
	}
	files := w.secrets(map[string]string{"ns/hub": secret("docker.io", "me", "docker-password"), "ns/mirror": secret("harbor.example.com/private", "robot$private", "mirror-password")})
	answer := w.resolver(files, options).Resolve(t.Context(), []resolver.Query{query(t, "t/i:1", "ns/hub", "ns/mirror")})[0]
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	assert.Zero(t, w.logins("me", "docker-password"))
	answer = w.resolver(files, options).Resolve(t.Context(), []resolver.Query{query(t, "t/i:1", "ns/hub")})[0]
	assert.Equal(t, fault.Unauthorized, answer.Failure.Cause, "401 stops")
	assert.Zero(t, w.logins("me", "docker-password"))
	assert.Contains(t, answer.Failure.Message, "has an entry for harbor.example.com/private/t/i")
}

// Inspect asks where the digest came from, and there alone; a digest that is live is looked for everywhere.
func TestInspectAsksTheMirrorThatAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := newRegistry(""), newRegistry("")
	w.serve("harbor.example.com", first.ServeHTTP)
	w.serve("mirror.example.com", second.ServeHTTP)
	live := second.index("library/nginx", "1", "live", "linux/amd64", "linux/arm64")
	latest := first.index("dockerhub/library/nginx", "1", "latest", "linux/amd64")
	second.index("library/nginx", "1", "latest", "linux/amd64")
	delete(first.manifests, "dockerhub/library/nginx@"+string(latest))
	r := w.resolver(mirrored(false))
	q := query(t, "nginx:1")
	require.Equal(t, latest, r.Resolve(t.Context(), []resolver.Query{q})[0].Digest)
	_, err := r.Inspect(t.Context(), q, latest)
	assert.Equal(t, fault.NotFound, fault.Of(err, fault.API).Cause, "a mirror must hold what it named")
	assert.Zero(t, w.count("mirror.example.com"))
	manifest, err := r.Inspect(t.Context(), q, live)
	require.NoError(t, err)
	assert.Len(t, manifest.Platforms, 2)
}

// A dead credential of a mirror is said; that the mirror does not have the image is no reason to stop.
func TestADeadCredentialOfAMirrorThatLacksTheImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.harbor()
	digest := w.dockerHub().index("t/i", "1", "a", "linux/amd64")
	r := w.resolver(w.secrets(map[string]string{"ns/mirror": secret(harborHost, "robot$gone", "dead")}), func(o *resolver.Options) {
		o.Registries = []resolver.Registry{{Host: "docker.io", Mirrors: []string{harborHost + "/public"}, Fallback: true}}
	})
	answer := r.Resolve(t.Context(), []resolver.Query{query(t, "t/i:1", "ns/mirror")})[0]
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	require.Len(t, answer.Warnings, 1)
	assert.Equal(t, fault.Unauthorized, answer.Warnings[0].Cause)
	assert.Contains(t, answer.Warnings[0].Message, "ns/mirror")
}
