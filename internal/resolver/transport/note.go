package transport

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// challengeHeader says how a registry wants to be asked.
const challengeHeader = "Www-Authenticate"

// note keeps what came of a request in its Call. Of a manifest's 401 it keeps the challenge for the caller alone: the
// library, which would log in once more for each image at once, sees a plain refusal, and whoever knows what else was
// asked decides. That of another host, to which the registry has sent, is the library's, which answers it anonymously.
type note struct {
	next http.RoundTripper
	host string
}

func (t *note) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	seen := Answer{Status: answer.StatusCode, URL: answer.Request.URL, Crossed: crossed(r), Quota: parseQuota(answer.Header)}
	seen.Retry, _ = askedToWait(answer, time.Now())
	if answer.StatusCode == http.StatusUnauthorized {
		preferBearer(answer.Header)
		seen.Challenge = answer.Header
		if r.URL.Host == t.host && isManifest(r) {
			answer.Header = answer.Header.Clone()
			answer.Header.Del(challengeHeader)
		}
	}
	seen.Header = answer.Header
	callOf(r.Context()).Answer = seen
	return answer, nil
}

func isManifest(r *http.Request) bool {
	return slices.ContainsFunc([]string{"/manifests/", "/blobs/", "/referrers/"}, func(part string) bool { return strings.Contains(r.URL.Path, part) })
}

// preferBearer puts challenges for a token first, as nodes do; the library takes the first that it knows.
func preferBearer(h http.Header) {
	rank := func(value string) int {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(value)), "bearer") {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(h[challengeHeader], func(a, b string) int { return rank(a) - rank(b) })
}

// crossed says whether a request goes to another origin than the one it was sent to first.
func crossed(r *http.Request) bool {
	return r.Response != nil && !sameOrigin(first(r).URL, r.URL)
}

// first is the request that redirects began with, as it went out.
func first(r *http.Request) *http.Request {
	for r.Response != nil && r.Response.Request != nil {
		r = r.Response.Request
	}
	return r
}
