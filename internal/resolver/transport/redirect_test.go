package transport

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

func TestWhereARedirectMayLead(t *testing.T) {
	t.Parallel()
	rules := &redirect{allowHTTP: httpAt("plain:5000", "other:5000")}
	for _, c := range []struct {
		from, location, want string
		kind                 Kind
	}{
		{"https://a.io/v2/x", "/v2/y", "https://a.io/v2/y", 0},
		{"https://a.io/v2/x", "https://cdn.io/b?sig=s#f", "https://cdn.io/b?sig=s", 0},
		{"https://a.io/v2/x", "//b.io/", "https://b.io/", 0},
		{"https://a.io/v2/x", "https://u:p@b.io/", "https://b.io/", 0},
		{"http://plain:5000/v2/", "https://plain:5000/v2/", "https://plain:5000/v2/", 0},
		{"http://plain:5000/v2/", "/x", "http://plain:5000/x", 0},
		{"http://plain:5000/v2/", "http://other:5000/x", "http://other:5000/x", 0},
		{"http://plain:5000/v2/", "http://cdn.io/x", "", Downgrade},
		{"https://a.io/v2/x", "http://a.io/v2/x", "", Downgrade},
		{"https://a.io/v2/x", "http://plain:5000/v2/x", "", Downgrade},
		{"https://a.io/v2/x", "", "", BadRedirect}, {"https://a.io/v2/x", "ftp://a.io", "", BadRedirect}, {"https://a.io/v2/x", "https://", "", BadRedirect},
		{"https://a.io/v2/x", "https://a.io:port/", "", BadRedirect}, {"https://a.io/v2/x", "javascript:alert(1)", "", BadRedirect},
	} {
		rules.next = &answering{answers: []*http.Response{reply(http.StatusTemporaryRedirect, "", "Location", c.location)}}
		r, _ := get(t, c.from, failure.StageManifest)
		answer, err := rules.RoundTrip(r)
		if c.kind == 0 {
			require.NoError(t, err, c.location)
			assert.Equal(t, c.want, answer.Header.Get("Location"))
			continue
		}
		failed, ok := errors.AsType[*Failure](err)
		require.True(t, ok, c.location)
		assert.Equal(t, c.kind, failed.Kind, c.location)
		assert.Equal(t, r.URL.Host, failed.Host, "the one that sends there")
	}
}

func TestARedirectIsFollowedSoOften(t *testing.T) {
	t.Parallel()
	rules := &redirect{allowHTTP: httpAt(), next: &answering{answers: []*http.Response{reply(http.StatusFound, "", "Location", "/again")}}}
	client := &http.Client{Transport: rules, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	r, _ := get(t, "https://a.io/v2/", failure.StagePing)
	_, err := client.Do(r)
	failed, ok := errors.AsType[*Failure](err)
	require.True(t, ok)
	assert.Equal(t, BadRedirect, failed.Kind)
	assert.Len(t, rules.next.(*answering).asked, maxHops+1)
}

// A private address, at which the library would stop, is followed, without what was for the registry.
func TestARedirectToAPrivateAddressIsFollowed(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"10.1.2.3:9000", "127.0.0.1:9000", "[fd00::1]:9000"} {
		under := &answering{answers: []*http.Response{reply(http.StatusTemporaryRedirect, "", "Location", "https://"+at+"/blob"), reply(http.StatusOK, "")}}
		r, _ := get(t, "https://a.io/v2/x/blobs/y", failure.StageManifest)
		r.Header.Set("Authorization", "Bearer secret")
		answer, err := (&redirect{allowHTTP: httpAt(), next: under}).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, answer.StatusCode)
		assert.Equal(t, at, under.asked[1].URL.Host)
		assert.Empty(t, under.asked[1].Header)
		assert.True(t, crossed(under.asked[1]))
	}
}

func FuzzRedirect(f *testing.F) {
	f.Add("https://a.io/x", "//b.io/y")
	f.Add("http://a.io/x", "http://a.io:80/y?z#w")
	f.Fuzz(func(t *testing.T, from, location string) {
		base, err := url.Parse(from)
		if err != nil || base.Scheme != "https" {
			return
		}
		next, kind := (&redirect{allowHTTP: func(string) bool { return true }}).follow(base, location)
		if kind == 0 && (next.Scheme != "https" || next.Host == "" || next.User != nil) {
			t.Fatalf("%q led from TLS to %q", location, next)
		}
	})
}
