package resolver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// method is how a registry wants to be asked.
type method int

const (
	open   method = iota // without anything
	basic                // with the account itself (RFC 7617)
	bearer               // with a token from a token endpoint (distribution specification, "Token authentication")
)

// challenge is what a registry's 401 asks for.
type challenge struct {
	method  method
	library *transport.Challenge
	realm   *url.URL // of a bearer challenge: its token endpoint
	scope   string   // that the 401 names
	expired bool     // the token that was sent is not accepted any more, or not yet
	foreign bool     // it came from another host than the one asked: no credential is for it
	// silent is set where /v2/ said neither yes nor how: manifests may be served all the same, and where they are
	// not, this is why.
	silent *problem
}

// harbor recognises the challenge of a Harbor, whose 401s mean more than others'.
func (c challenge) harbor() bool {
	return c.realm != nil && (c.library.Parameters["service"] == "harbor-registry" || strings.HasSuffix(c.realm.Path, "/service/token"))
}

// pingFor is how a registry wants to be asked about a repository: as it says of itself or, where it has said so, of that.
func (h *host) pingFor(ctx context.Context, repository string) (challenge, *problem) {
	if late, known := h.late.Load(repository); known {
		return late.(challenge), nil
	}
	return h.ping(ctx)
}

// ping asks a registry, once, how it wants to be asked (distribution specification, "Determining support").
func (h *host) ping(ctx context.Context) (challenge, *problem) {
	return h.pings.do(ctx, struct{}{}, h.timeout, func(ctx context.Context) (challenge, *problem) {
		ctx, call := wire.Begin(ctx, failure.StagePing)
		_, err := transport.Ping(ctx, h.registry, h.network)
		switch call.Status {
		case http.StatusUnauthorized:
			return h.read(ctx, call)
		case http.StatusForbidden, http.StatusNotFound:
			return challenge{silent: problemOf(ctx, err, call, oddStatus)}, nil
		}
		if err != nil {
			return challenge{}, problemOf(ctx, err, call, oddStatus)
		}
		return challenge{}, nil
	})
}

// read makes a challenge of a 401. The problem is that of a token endpoint to which no credential may be sent; one that
// does not say how, or in no way that we know, is silent.
func (h *host) read(ctx context.Context, call *wire.Call) (challenge, *problem) {
	found := parseChallenge(ctx, h.registry, call.Challenge)
	c := challenge{library: found, scope: found.Parameters["scope"], expired: found.Parameters["error"] == "invalid_token", foreign: call.Crossed}
	switch strings.ToLower(found.Scheme) {
	case "bearer":
		realm, ok := h.realm(found.Parameters["realm"])
		if !ok {
			return challenge{}, badAnswer(call, badRealm)
		}
		c.method, c.realm = bearer, realm
	case "basic":
		c.method = basic
	default:
		c.silent = badAnswer(call, noChallenge)
		c.silent.cause = failure.Unauthorized
	}
	return c, nil
}

// realm reads the address of a token endpoint: over TLS, or on a host that may be asked without, and not on this machine
// unless the registry is here too. Somebody who can answer in the registry's place could have a credential sent there,
// or a metadata service's answer relayed. Addresses of the last kind in their other spellings the library refuses.
func (h *host) realm(text string) (*url.URL, bool) {
	realm, err := url.Parse(text)
	if err != nil || realm.Hostname() == "" || realm.User != nil || realm.Scheme != "https" && realm.Scheme != "http" {
		return nil, false
	}
	local := realm.Hostname() == "localhost" || strings.HasSuffix(realm.Hostname(), ".localhost")
	if realm.Scheme == "http" && !h.allowHTTP(realm.Host) || local && realm.Hostname() != h.hostname() {
		return nil, false
	}
	realm.Fragment = ""
	return realm, true
}

// as is the registry in whose name the library asks for a token. It refuses a token endpoint on any private address but
// that of the registry itself, port and all; nodes know no such rule, and registries in private networks have theirs
// beside them. What is refused all the same is this machine and its neighbours without a router.
func (h *host) as(realm *url.URL) name.Registry {
	address, err := netip.ParseAddr(realm.Hostname())
	if realm.Hostname() == h.hostname() || err == nil && address.IsPrivate() {
		if own, err := name.NewRegistry(realm.Host); err == nil {
			return own
		}
	}
	return h.registry
}

// parseChallenge has the library read WWW-Authenticate headers: it does so of an answer to /v2/ alone.
func parseChallenge(ctx context.Context, registry name.Registry, headers http.Header) *transport.Challenge {
	found, err := transport.Ping(ctx, registry, canned(headers))
	if err != nil {
		return &transport.Challenge{}
	}
	return found
}

// canned answers every request with a 401 and these headers.
type canned http.Header

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header(c), Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
}
