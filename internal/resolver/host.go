package resolver

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver/cloud"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
	"github.com/tracebloc/image-refresh/internal/signature"
)

// maxTimeouts is how many images in a row may run into their time at a host before the others are not asked for
// any more: a tick ends in bounded time whatever hangs (I18), however many images it has.
const maxTimeouts = 3

// host is one registry, for one tick: how it wants to be asked, as whom it was, and what it said. Package transport is
// the way to it.
type host struct {
	address   string // where it is asked
	registry  name.Registry
	plainHTTP bool
	allowHTTP func(host string) bool // whether any host may be asked without TLS
	network   http.RoundTripper
	timeout   time.Duration // for one image

	pings   flights[struct{}, challenge]
	tokens  flights[tokenKey, token]
	proofs  flights[credential.Identity, verdict]
	logins  flights[credential.Identity, verdict]
	tags    flights[tagKey, Manifest]
	bodies  flights[bodyKey, Manifest]
	present flights[bodyKey, Manifest] // of those that are there, nothing is known

	builds   flights[bodyKey, image.Build] // by the image that says so
	noBuilds atomic.Bool                   // one could not be read, and the next is not asked for

	signatures flights[signatureKey, signature.Key]

	// late is the challenge of a manifest's 401 where /v2/ had none, by repository. It is that repository's alone, as for
	// containerd: others may be served to anybody, whichever was asked first.
	late sync.Map

	cloud      *cloud.Registry // nil where it is no cloud's, or may not be asked with an identity
	identities flights[struct{}, credential.Credential]
	// identityNeeded is set where somebody was not served without.
	identityNeeded atomic.Bool

	mu      sync.Mutex
	groups  map[groupKey][]string          // repositories that are asked for in one token
	tried   map[credential.Credential]bool // that match images here
	pod     credential.Identity            // of the pod's identity in a cloud, once it is known
	visited bool                           // it was asked, or was about to be
	inRow   int                            // images in a row that were not answered in time
	last    *problem                       // of those
}

// hostname is where the registry is, without a port.
func (h *host) hostname() string {
	return (&url.URL{Host: h.address}).Hostname()
}

// circuitOpen returns the problem of those before where the host did not answer too many of them.
func (h *host) circuitOpen() *problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inRow < maxTimeouts {
		return nil
	}
	p := *h.last
	p.detail = givenUp
	return &p
}

// answered keeps count of timeouts.
func (h *host) answered(p *problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case p == nil || p.cause != failure.Timeout:
		h.inRow, h.last = 0, nil
	case p.Kind == wire.TimedOut && p.detail == noDetail:
		h.inRow, h.last = h.inRow+1, p
	}
}

// host returns the host that an endpoint is asked at, the same one each time.
func (r *Resolver) host(named string) *host {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := hostKey(named)
	if h, ok := r.hosts[key]; ok {
		return h
	}
	h := &host{
		address: address(named), allowHTTP: r.allowHTTP, plainHTTP: r.allowHTTP(named), timeout: r.options.Timeout,
		groups: map[groupKey][]string{}, tried: map[credential.Credential]bool{},
	}
	options := []name.Option{name.WeakValidation}
	if h.plainHTTP {
		options = append(options, name.Insecure)
	}
	// References and mirrors have been parsed by the same library; what it refuses all the same no name resolves to.
	h.registry, _ = name.NewRegistry(h.address, options...)
	if entry, listed := r.registries[key]; !h.plainHTTP && (entry.CloudIdentity || !listed && r.options.CloudIdentity) {
		h.cloud = cloud.Parse(key)
	}
	h.network = wire.To(h.address, r.registries[key].Roots, r.network)
	r.hosts[key] = h
	return h
}

// allowHTTP says whether a host may be asked without TLS, be it a registry, a token endpoint or where a redirect leads.
func (r *Resolver) allowHTTP(host string) bool {
	if !r.registries[hostKey(host)].PlainHTTP {
		return false
	}
	r.inClear.Store(hostKey(host), true)
	return true
}
