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

// Where a credential may be sent, and whose answers may be taken for tokens; and in whose name the library is to ask there,
// whose word it takes for a private address.
func TestRealms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ registry, realm, as string }{
		{"a.io", "https://auth.a.io/token", "a.io"},
		{"a.io", "https://b.io:8443/token?keep=1", "a.io"},
		{"a.io", "https://10.0.0.7/service/token", "10.0.0.7"},
		{"10.0.0.7:5000", "https://10.0.0.7:5001/token", "10.0.0.7:5001"},
		{"127.0.0.1:5000", "https://127.0.0.1:5001/token", "127.0.0.1:5001"},
		{"localhost:5000", "https://localhost:5001/token", "localhost:5001"},
		{"plain:5000", "http://plain:5000/token", "plain:5000"},
		{"other:5000", "http://plain:5000/token", "other:5000"},
		{"a.io", "https://127.0.0.1/token", "a.io"}, // which the library refuses, as it does the next two
		{"a.io", "https://169.254.169.254/token", "a.io"},
		{"a.io", "https://2130706433/token", "a.io"},
		{"a.io", "http://auth.a.io/token", ""}, {"a.io", "http://a.io/token", ""}, {"a.io", "/token", ""}, {"a.io", "auth.a.io/token", ""},
		{"a.io", "//auth.a.io/token", ""}, {"a.io", "https://", ""}, {"a.io", "https://:443/", ""}, {"a.io", "ftp://a.io/token", ""},
		{"a.io", "https://u:p@a.io/token", ""}, {"a.io", "https://localhost/token", ""}, {"a.io", "https://x.localhost:1/token", ""},
		{"plain:5000", "http://169.254.169.254/latest", ""}, {"plain:5000", "http://other:5000/token", ""},
	} {
		h := at(t, c.registry)
		realm, ok := h.realm(c.realm)
		assert.Equal(t, c.as != "", ok, "%s at %s", c.realm, c.registry)
		if ok {
			assert.Equal(t, c.as, h.as(realm).RegistryStr(), "%s at %s", c.realm, c.registry)
		}
	}
}

func challenged(t *testing.T, headers ...string) (challenge, *problem) {
	t.Helper()
	answer := wire.Answer{Status: 401, Challenge: http.Header{"Www-Authenticate": headers}}
	return at(t, "a.io").read(t.Context(), &wire.Call{Stage: failure.StagePing, Answer: answer})
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		headers []string
		want    challenge
	}{
		{[]string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`}, challenge{method: bearer}},
		{[]string{`BEARER Realm="https://a.io/t",scope="repository:x:pull"`}, challenge{method: bearer, scope: "repository:x:pull"}},
		{[]string{`Basic realm="a \"b\""`}, challenge{method: basic}},
		{[]string{"Negotiate", `Basic realm=x`}, challenge{method: basic}},
		{[]string{"Negotiate"}, challenge{}}, {nil, challenge{}}, {[]string{`="x", ,,`}, challenge{}},
	} {
		got, p := challenged(t, c.headers...)
		assert.Nil(t, p, c.headers)
		assert.Equal(t, c.want.method == open, got.silent != nil, c.headers)
		assert.Equal(t, c.want, challenge{method: got.method, scope: got.scope}, c.headers)
	}
	for _, header := range []string{"Bearer", `Bearer realm="http://a.io/t"`, `Bearer realm="https://a.io/t`} {
		_, p := challenged(t, header)
		require.NotNil(t, p, header)
		assert.Equal(t, badRealm, p.detail, header)
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`, `Basic realm="x"`)
	f.Add(`Basic realm="a \"b\"", Bearer realm=x , service = "y"`, ``)
	f.Add(`Negotiate abc==, ,=,"`, `Bearer`)
	f.Fuzz(func(t *testing.T, first, second string) {
		got, p := challenged(t, first, second)
		if p == nil && got.method == bearer && (got.realm.Scheme != "https" || got.realm.Host == "" || got.realm.User != nil) {
			t.Fatalf("a token endpoint that credentials must not go to: %v", got.realm)
		}
		if p == nil && got.method == open && got.silent == nil {
			t.Fatal("a 401 that asks for nothing")
		}
	})
}
