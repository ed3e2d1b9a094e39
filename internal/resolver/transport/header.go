package transport

import "net/http"

// header sets what every request carries, and removes what http.Client adds when it follows a redirect: the address
// before, whose query may hold a signature.
type header struct {
	next      http.RoundTripper
	userAgent string
}

func (t *header) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", t.userAgent)
	r.Header.Del("Referer")
	return t.next.RoundTrip(r)
}
