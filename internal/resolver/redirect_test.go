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

func to(location string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, location, http.StatusTemporaryRedirect)
	}
}

// Manifests that are served by another host are read there, and no credential goes along; back home it does not
// come back either.
func TestNoCredentialFollowsToAnotherHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("")
	g.basic, g.accounts["me"] = true, "good-password"
	digest := g.index("t/i", "1", "a", "linux/amd64")
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/manifests/1"):
			to("https://cdn.example.com/blob?signature=hunter2")(rw, r)
		case r.URL.Path == "/back":
			rw.Header().Set("Docker-Content-Digest", string(digest))
		default:
			g.ServeHTTP(rw, r)
		}
	})
	w.serve("cdn.example.com", to("https://registry.example.com/back?signature=hunter2"))
	r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good-password")}))
	answer := r.Resolve(t.Context(), []resolver.Query{query(t, "registry.example.com/t/i:1", "ns/pull")})[0]
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	for _, r := range w.seen() {
		if r.Host == "cdn.example.com" || r.Path == "/back" {
			assert.Empty(t, r.Authorization, r.String())
		}
	}
	assert.Equal(t, 1, w.count("HEAD cdn.example.com/blob"))
	assert.NotContains(t, w.logs.String(), "hunter2", "no query is logged")
	w.assertSecret(t, answer, "good-password")
}

func TestCredentialsFollowOnTheSameHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("")
	g.basic, g.accounts["me"] = true, "good-password"
	digest := g.index("t/i", "1", "a", "linux/amd64")
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/manifests/2") {
			to("/v2/t/i/manifests/1")(rw, r)
			return
		}
		g.ServeHTTP(rw, r)
	})
	r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good-password")}))
	answer := r.Resolve(t.Context(), []resolver.Query{query(t, "registry.example.com/t/i:2", "ns/pull")})[0]
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
}

func TestRedirectsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ location, says string }{
		"to plain HTTP":            {"http://registry-1.docker.io/v2/t/i/manifests/1", "redirected to plain HTTP"},
		"to plain HTTP elsewhere":  {"http://cdn.example.com/", "redirected to plain HTTP"},
		"to plain HTTP, allowed":   {"http://plain.example.com/", "redirected to plain HTTP"},
		"in a circle":              {"/v2/t/i/manifests/1", "too often"},
		"to nowhere":               {"https://", "to nowhere"},
		"to what is no web server": {"file:///etc/passwd", "to nowhere"},
	} {
		for _, stage := range []string{"ping", "token", "manifest"} {
			t.Run(name+" at "+stage, func(t *testing.T) {
				t.Parallel()
				location := c.location
				if name == "in a circle" && stage != "manifest" {
					location = "?"
				}
				w := newWorld(t)
				w.broken(map[string]http.HandlerFunc{stage: func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Location", location)
					rw.WriteHeader(http.StatusFound)
				}})
				answer := w.one("t/i:1", func(o *resolver.Options) {
					o.Registries = []resolver.Registry{{Host: "plain.example.com", Fallback: true, PlainHTTP: true}}
				})
				require.NotNil(t, answer.Failure)
				assert.Equal(t, fault.BadResponse, answer.Failure.Cause)
				assert.Contains(t, answer.Failure.Message, c.says)
				assert.LessOrEqual(t, len(w.asked()), 8)
			})
		}
	}
}

// A registry that is redirected as a whole may be asked as nobody; its credential is not for the other host.
func TestAForeignChallengeGetsNoCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("https://new.example.com/token")
	g.accounts["me"] = "good-password"
	digest := g.index("t/i", "1", "a", "linux/amd64")
	w.serve("old.example.com", func(rw http.ResponseWriter, r *http.Request) { to("https://new.example.com"+r.URL.Path)(rw, r) })
	w.serve("new.example.com", func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == tokenPath:
			g.tokens(rw, r)
		case strings.Contains(r.URL.Path, "/manifests/"):
			rw.Header().Set("Docker-Content-Digest", string(digest))
		default:
			g.ServeHTTP(rw, r)
		}
	})
	r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("old.example.com", "me", "good-password")}))
	answer := r.Resolve(t.Context(), []resolver.Query{query(t, "old.example.com/t/i:1", "ns/pull")})[0]
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	assert.Zero(t, w.logins("me", "good-password"))
	for _, r := range w.seen() {
		if r.Host == "new.example.com" {
			assert.Empty(t, r.Authorization)
		}
	}
}

// TLS is left out only where the configuration says so, whatever the address.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var host string
	g := newRegistry("")
	g.accounts["me"] = "good"
	digest := g.index("t/i", "1", "a", "linux/amd64")
	host = w.plain(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == tokenPath {
			g.tokens(rw, r)
			return
		}
		g.ServeHTTP(rw, r)
	})
	g.realm = "http://" + host + "/token"
	plain := func(o *resolver.Options) {
		o.Registries = []resolver.Registry{{Host: host, Fallback: true, PlainHTTP: true}}
	}
	answer := w.one(host+"/t/i:1", through(""))
	require.NotNil(t, answer.Failure)
	assert.Equal(t, fault.TLS, answer.Failure.Cause, "127.0.0.1 is no exception")
	assert.Empty(t, w.asked())
	answer = w.one(host+"/t/i:1", through(""), plain)
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
}

// A token endpoint without TLS is no place for a credential, nor for anybody, where the registry has TLS.
func TestTokenEndpointWithoutTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("")
	host := w.plain(g.tokens)
	g.realm = "http://" + host + "/token"
	w.serve("registry.example.com", g.ServeHTTP)
	r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good-password")}))
	answer := r.Resolve(t.Context(), []resolver.Query{query(t, "registry.example.com/t/i:1", "ns/pull")})[0]
	assert.Equal(t, fault.BadResponse, answer.Failure.Cause)
	assert.Contains(t, answer.Failure.Message, "no https address")
	assert.Zero(t, w.count(host))
}
