package transport

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// The library takes loopback and private addresses for plain HTTP, and tries both; what is asked is what is configured.
func TestTheConfigurationSetsTheScheme(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		asked string
		stage failure.Stage
		want  string
		kind  Kind
	}{
		{"https://10.0.0.1:5000/v2/", failure.StagePing, "https", 0},
		{"http://10.0.0.1:5000/v2/", failure.StagePing, "", SecondPing},
		{"http://10.0.0.1:5000/v2/x/manifests/1", failure.StageManifest, "https", 0},
		{"https://plain:5000/v2/", failure.StagePing, "http", 0},
		{"http://plain:5000/v2/", failure.StagePing, "", SecondPing},
		{"http://plain:5000/v2/x/manifests/1", failure.StageManifest, "http", 0},
		{"http://auth.io/token", failure.StageToken, "", Downgrade},
		{"https://auth.io/token", failure.StageToken, "https", 0},
	} {
		for _, host := range []string{"10.0.0.1:5000", "plain:5000"} {
			r, _ := get(t, c.asked, c.stage)
			if r.URL.Host != host && r.URL.Host != "auth.io" {
				continue
			}
			under := &answering{answers: []*http.Response{reply(200, "")}}
			_, err := (&origin{next: under, host: host, allowHTTP: httpAt("plain:5000")}).RoundTrip(r)
			if c.kind == 0 {
				require.NoError(t, err, c.asked)
				assert.Equal(t, c.want, under.asked[0].URL.Scheme, c.asked)
				continue
			}
			failed, ok := errors.AsType[*Failure](err)
			require.True(t, ok)
			assert.Equal(t, c.kind, failed.Kind, c.asked)
			assert.Empty(t, under.asked)
		}
	}
}

func TestNoCredentialForAnotherOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		before, at string
		goes       bool
	}{
		{"", "https://plain:5000/v2/x/manifests/1", true},
		{"https://a.io/v2/x/manifests/1", "https://a.io/v2/y/manifests/1", true},
		{"https://a.io/v2/x/manifests/1", "https://a.io:8443/v2/x/manifests/1", false},
		{"http://plain:5000/v2/x/manifests/1", "https://plain:5000/v2/x/manifests/1", false},
		{"https://a.io/v2/x/manifests/1", "https://u:p@b.io/v2/x/manifests/1", false},
	} {
		under := &answering{answers: []*http.Response{reply(200, "")}}
		r, _ := get(t, c.at, failure.StageManifest)
		if c.before != "" {
			before, _ := get(t, c.before, failure.StageManifest)
			follows(r, before)
		}
		r.Header.Set("Authorization", "Bearer secret")
		_, err := (&origin{next: under, host: "plain:5000", allowHTTP: httpAt("plain:5000")}).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, c.goes, under.asked[0].Header.Get("Authorization") != "", c.at)
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
		assert.Equal(t, c.want, sameOrigin(address(t, c.a), address(t, c.b)), c.a+" "+c.b)
	}
}
