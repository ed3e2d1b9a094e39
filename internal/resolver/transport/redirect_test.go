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
	const secure, plain = "https://a.io/v2/x", "http://plain:5000/v2/"
	for _, c := range []struct {
		from, location, want string
		kind                 Kind
	}{
		{secure, "/v2/y", "https://a.io/v2/y", 0},
		{secure, "https://cdn.io/b?sig=s#f", "https://cdn.io/b?sig=s", 0},
		{secure, "//b.io/", "https://b.io/", 0},
		{secure, "https://u:p@b.io/", "https://b.io/", 0},
		{plain, "https://plain:5000/v2/", "https://plain:5000/v2/", 0},
		{plain, "/x", "http://plain:5000/x", 0},
		{plain, "http://other:5000/x", "http://other:5000/x", 0},
		{plain, "http://cdn.io/x", "", Downgrade},
		{secure, "http://a.io/v2/x", "", Downgrade},
		{secure, "http://plain:5000/v2/x", "", Downgrade},
		{secure, "", "", BadRedirect}, {secure, "ftp://a.io", "", BadRedirect}, {secure, "https://", "", BadRedirect},
		{secure, "https://a.io:port/", "", BadRedirect}, {secure, "javascript:alert(1)", "", BadRedirect},
	} {
		rules := &redirect{allowHTTP: plainAt("plain:5000", "other:5000"), next: below(reply(http.StatusTemporaryRedirect, "", "Location", c.location))}
		r := get(t, c.from, "", failure.StageManifest)
		answer, err := rules.RoundTrip(r)
		assert.Equal(t, c.kind, kindOf(err), c.location)
		if c.kind == 0 {
			assert.Equal(t, c.want, answer.Header.Get("Location"))
		} else if failed, ok := errors.AsType[*Failure](err); ok {
			assert.Equal(t, r.URL.Host, failed.Host, "the one that sends there")
		}
	}
}

func TestARedirectIsFollowedSoOften(t *testing.T) {
	t.Parallel()
	next := below(reply(http.StatusFound, "", "Location", "/again"))
	client := &http.Client{
		Transport:     &redirect{allowHTTP: plainAt(), next: next},
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}
	_, err := client.Do(get(t, "https://a.io/v2/", "", failure.StagePing))
	assert.Equal(t, BadRedirect, kindOf(err))
	assert.Len(t, next.asked, maxHops+1)
}

// A private address, at which the library would stop, is followed, without what was for the registry.
func TestARedirectToAPrivateAddressIsFollowed(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"10.1.2.3:9000", "127.0.0.1:9000", "[fd00::1]:9000"} {
		next := below(reply(http.StatusTemporaryRedirect, "", "Location", "https://"+at+"/blob"), reply(http.StatusOK, ""))
		r := get(t, "https://a.io/v2/x/blobs/y", "", failure.StageManifest)
		r.Header.Set("Authorization", "Bearer secret")
		answer, err := (&redirect{allowHTTP: plainAt(), next: next}).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, answer.StatusCode)
		assert.Equal(t, at, next.asked[1].URL.Host)
		assert.Empty(t, next.asked[1].Header)
		assert.True(t, crossed(next.asked[1]))
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
