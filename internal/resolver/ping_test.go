package resolver

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// at is a host at an address, in a configuration in which plain:5000 has no TLS.
func at(t *testing.T, address string) *host {
	t.Helper()
	registry, err := name.NewRegistry(address)
	require.NoError(t, err)
	return &host{address: address, registry: registry, allowHTTP: func(host string) bool { return host == "plain:5000" }}
}

// Where a credential may be sent, and whose answers may be taken for tokens.
func TestRealms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		registry, realm string
		ok              bool
	}{
		{"a.io", "https://auth.a.io/token", true},
		{"a.io", "https://b.io:8443/token?keep=1", true},
		{"a.io", "https://10.0.0.7/service/token", true},
		{"a.io", "http://auth.a.io/token", false},
		{"a.io", "http://a.io/token", false},
		{"a.io", "/token", false},
		{"a.io", "auth.a.io/token", false},
		{"a.io", "//auth.a.io/token", false},
		{"a.io", "https://", false},
		{"a.io", "https://:443/", false},
		{"a.io", "ftp://a.io/token", false},
		{"a.io", "https://u:p@a.io/token", false},
		{"a.io", "https://localhost/token", false},
		{"a.io", "https://x.localhost:1/token", false},
		{"localhost:5000", "https://localhost:5001/token", true},
		{"plain:5000", "http://plain:5000/token", true},
		{"plain:5000", "http://169.254.169.254/latest", false},
		{"plain:5000", "http://other:5000/token", false},
		{"other:5000", "http://plain:5000/token", true},
	} {
		_, ok := at(t, c.registry).realm(c.realm)
		assert.Equal(t, c.ok, ok, "%s at %s", c.realm, c.registry)
	}
}

// Whose word the library takes for a private address.
func TestInWhoseNameATokenIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ registry, realm, want string }{
		{"a.io", "https://auth.a.io/token", "a.io"},
		{"a.io", "https://10.0.0.7/token", "10.0.0.7"},
		{"10.0.0.7:5000", "https://10.0.0.7:5001/token", "10.0.0.7:5001"},
		{"127.0.0.1:5000", "https://127.0.0.1:5001/token", "127.0.0.1:5001"},
		{"a.io", "https://127.0.0.1/token", "a.io"},
		{"a.io", "https://169.254.169.254/token", "a.io"},
		{"a.io", "https://2130706433/token", "a.io"},
	} {
		h := at(t, c.registry)
		realm, ok := h.realm(c.realm)
		require.True(t, ok, c.realm)
		assert.Equal(t, c.want, h.as(realm).RegistryStr(), c.realm)
	}
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		headers []string
		method  method
		scope   string
		silent  bool
		refused bool
	}{
		"docker.io":         {headers: []string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`}, method: bearer},
		"case and scope":    {headers: []string{`BEARER Realm="https://a.io/t",scope="repository:x:pull"`}, method: bearer, scope: "repository:x:pull"},
		"basic":             {headers: []string{`Basic realm="a \"b\""`}, method: basic},
		"something else":    {headers: []string{"Negotiate"}, silent: true},
		"something before":  {headers: []string{"Negotiate", `Basic realm=x`}, method: basic},
		"nothing":           {silent: true},
		"nonsense":          {headers: []string{`="x", ,,`}, silent: true},
		"no realm":          {headers: []string{"Bearer"}, refused: true},
		"a realm in clear":  {headers: []string{`Bearer realm="http://a.io/t"`}, refused: true},
		"a realm that ends": {headers: []string{`Bearer realm="https://a.io/t`}, refused: true},
	} {
		call := &wire.Call{Stage: failure.StagePing, Answer: wire.Answer{Status: 401, Challenge: http.Header{"Www-Authenticate": c.headers}}}
		got, p := at(t, "a.io").read(t.Context(), call)
		assert.Equal(t, c.refused, p != nil, name)
		if p != nil {
			assert.Equal(t, badRealm, p.detail, name)
			continue
		}
		assert.Equal(t, c.method, got.method, name)
		assert.Equal(t, c.scope, got.scope, name)
		assert.Equal(t, c.silent, got.silent != nil, name)
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`, `Basic realm="x"`)
	f.Add(`Basic realm="a \"b\"", Bearer realm=x , service = "y"`, ``)
	f.Add(`Negotiate abc==, ,=,"`, `Bearer`)
	f.Fuzz(func(t *testing.T, first, second string) {
		call := &wire.Call{Stage: failure.StagePing, Answer: wire.Answer{Status: 401, Challenge: http.Header{"Www-Authenticate": {first, second}}}}
		got, p := at(t, "a.io").read(t.Context(), call)
		if p == nil && got.method == bearer && (got.realm.Scheme != "https" || got.realm.Host == "" || got.realm.User != nil) {
			t.Fatalf("a token endpoint that credentials must not go to: %v", got.realm)
		}
		if p == nil && got.method == open && got.silent == nil {
			t.Fatal("a 401 that asks for nothing")
		}
	})
}
