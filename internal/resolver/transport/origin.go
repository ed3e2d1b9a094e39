package transport

import (
	"net"
	"net/http"
	"net/url"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// origin decides over which scheme a registry is asked, whatever its address looks like: over TLS, unless the
// configuration says otherwise for that host. The library takes loopback and private addresses for plain HTTP, and pings
// any host that may be plain over both. And it keeps an account or token from another origin: the library compares
// hosts, so that one which is given to a host over TLS would follow it to plain HTTP, and back.
type origin struct {
	next      http.RoundTripper
	host      string
	allowHTTP func(host string) bool
}

func (t *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == t.host && r.Response == nil {
		if r.URL.Scheme == "http" && callOf(r.Context()).Stage == failure.StagePing {
			return nil, failureOf(r, SecondPing)
		}
		r.URL.Scheme = "https"
		if t.allowHTTP(t.host) {
			r.URL.Scheme = "http"
		}
	}
	switch {
	case r.URL.Scheme == "http" && !t.allowHTTP(r.URL.Host):
		return nil, failureOf(r, Downgrade)
	case r.URL.User != nil, crossed(r) && r.URL.Hostname() == first(r).URL.Hostname():
		r.Header.Del("Authorization")
	}
	return t.next.RoundTrip(r)
}

// sameOrigin says whether what may be told to a may be told to b: the scheme, the host and the port are the same.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && withPort(a) == withPort(b)
}

// withPort is the host and port of a URL, with the port of its scheme where it names none.
func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), port)
}
