package transport

import (
	"net/http"
	"net/netip"
	"net/url"
)

// maxHops is how many redirects are followed. The library, which sets a check of its own, would follow any number.
const maxHops = 5

// redirect reads where an answer sends to before the library's http.Client follows it. Plain HTTP is left for TLS,
// never the other way round, and is kept only between hosts for which the configuration says so.
type redirect struct {
	next      http.RoundTripper
	allowHTTP func(host string) bool
}

func (t *redirect) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err != nil || !redirected(answer.StatusCode) {
		return answer, err
	}
	asked := r
	if answer.Request != nil {
		asked = answer.Request // as it went out
	}
	next, kind := t.follow(asked.URL, answer.Header.Get("Location"))
	if kind == 0 && hops(r) >= maxHops {
		kind = BadRedirect
	}
	if kind != 0 {
		_ = answer.Body.Close() // it has been read
		return nil, failureOf(asked, kind)
	}
	address, err := netip.ParseAddr(next.Hostname())
	if err == nil && (address.IsPrivate() || !address.IsGlobalUnicast()) && next.Hostname() != first(asked).URL.Hostname() {
		return t.RoundTrip(after(r, answer, next))
	}
	answer.Header.Set("Location", next.String())
	return answer, nil
}

// after is the request that http.Client would make of a redirect. The library refuses one that leads to a private address,
// where registries inside a company have their storage, and nodes find it.
func after(r *http.Request, answer *http.Response, next *url.URL) *http.Request {
	following := (&http.Request{Method: r.Method, URL: next, Host: next.Host, Header: r.Header.Clone(), Response: answer}).WithContext(r.Context())
	following.Header.Del("Authorization")
	return following
}

func (t *redirect) follow(from *url.URL, location string) (*url.URL, Kind) {
	next, err := from.Parse(location)
	if location == "" || err != nil || next.Host == "" {
		return nil, BadRedirect
	}
	next.User, next.Fragment = nil, ""
	switch {
	case next.Scheme == "https", next.Scheme == "http" && from.Scheme == "http" && t.allowHTTP(next.Host):
		return next, 0
	case next.Scheme == "http":
		return nil, Downgrade
	default:
		return nil, BadRedirect
	}
}

// redirected says whether an answer sends its client elsewhere.
func redirected(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

// hops counts the redirects that have led to a request.
func hops(r *http.Request) int {
	n := 0
	for ; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		n++
	}
	return n
}
