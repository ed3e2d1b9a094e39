package resolver

import (
	"net/http"
	"net/url"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// redirected says whether a status asks to go elsewhere with the same method.
func redirected(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

// follow reads where a redirect leads. Plain HTTP is left for TLS, never the other way round, and is kept only
// between hosts for which the configuration says so (DESIGN.md, "Registries and credentials").
func follow(from *url.URL, location string, plainHTTP func(host string) bool) (*url.URL, detail) {
	if location == "" {
		return nil, redirects
	}
	next, err := from.Parse(location)
	if err != nil || next.Host == "" {
		return nil, redirects
	}
	next.User, next.Fragment = nil, ""
	switch {
	case next.Scheme == "https":
		return next, plain
	case next.Scheme == "http" && from.Scheme == "http" && plainHTTP(next.Host):
		return next, plain
	case next.Scheme == "http":
		return nil, downgrade
	default:
		return nil, redirects
	}
}

// sameOrigin says whether what may be told to a may be told to b: the scheme, the host and the port are the same.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && withPort(a) == withPort(b)
}

func refusedRedirect(q request, from *url.URL, d detail) *problem {
	return &problem{cause: fault.BadResponse, detail: d, stage: q.role, role: q.role, host: from.Host}
}
