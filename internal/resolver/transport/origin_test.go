package transport

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// The library takes loopback and private addresses for plain HTTP, and tries both; what is asked is what is configured.
// No account or token goes to another origin than the one that it is for.
func TestTheConfigurationSetsTheSchemeAndTheOrigin(t *testing.T) {
	t.Parallel()
	const private, plain, elsewhere = "10.0.0.1:5000", "plain:5000", "a.io"
	for _, c := range []struct {
		host, asked, before string
		stage               failure.Stage
		kind                Kind
		scheme              string
		authorized          bool
	}{
		{private, "https://10.0.0.1:5000/v2/", "", failure.StagePing, 0, "https", true},
		{private, "http://10.0.0.1:5000/v2/", "", failure.StagePing, SecondPing, "", false},
		{private, "http://10.0.0.1:5000/v2/x/manifests/1", "", failure.StageManifest, 0, "https", true},
		{plain, "https://plain:5000/v2/", "", failure.StagePing, 0, "http", true},
		{plain, "http://plain:5000/v2/", "", failure.StagePing, SecondPing, "", false},
		{plain, "http://plain:5000/v2/x/manifests/1", "", failure.StageManifest, 0, "http", true},
		{private, "http://auth.io/token", "", failure.StageToken, Downgrade, "", false},
		{private, "https://auth.io/token", "", failure.StageToken, 0, "https", true},
		{elsewhere, "https://a.io/v2/y", "https://a.io/v2/x", failure.StageManifest, 0, "https", true},
		{elsewhere, "https://a.io:8443/v2/x", "https://a.io/v2/x", failure.StageManifest, 0, "https", false},
		{plain, "https://plain:5000/v2/x", "http://plain:5000/v2/x", failure.StageManifest, 0, "https", false},
		{elsewhere, "https://u:p@b.io/v2/x", "https://a.io/v2/x", failure.StageManifest, 0, "https", false},
	} {
		next, r := below(reply(200, "")), get(t, c.asked, c.before, c.stage)
		r.Header.Set("Authorization", "Bearer secret")
		_, err := (&origin{next: next, host: c.host, allowHTTP: plainAt(plain)}).RoundTrip(r)
		assert.Equal(t, c.kind, kindOf(err), c.asked)
		assert.Equal(t, c.kind != 0, len(next.asked) == 0, c.asked)
		for _, asked := range next.asked {
			assert.Equal(t, c.scheme, asked.URL.Scheme, c.asked)
			assert.Equal(t, c.authorized, asked.Header.Get("Authorization") != "", c.asked)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://a.io/x", "https://a.io:443/y", true}, {"http://a.io", "http://a.io:80", true}, {"https://a.io", "http://a.io", false},
		{"https://a.io", "https://a.io:8443", false}, {"https://a.io", "https://b.io", false}, {"https://a.io", "https://a.io.evil.io", false},
	} {
		a, err := url.Parse(c.a)
		require.NoError(t, err)
		b, err := url.Parse(c.b)
		require.NoError(t, err)
		assert.Equal(t, c.want, sameOrigin(a, b), c.a+" "+c.b)
	}
}
