package resolver

import (
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// silence is how many images in a row may run into their time at a host before the others are not asked for
// any more: a tick ends in bounded time whatever hangs (I18), however many images it has.
const silence = 3

// host is one registry, for one tick.
type host struct {
	name   string // as references name it
	scheme string
	addr   string
	client *client

	mu        sync.Mutex
	late      *challenge // what a manifest's 401 asked for where /v2/ had asked for nothing
	notBefore time.Time  // when it may be asked again after a 429
	silent    int        // images in a row that were not answered in time
	last      *problem   // of those
}

// url is the address of something in a repository: manifests/<tag or digest>, blobs/<digest>. An empty
// repository is /v2/ itself.
func (h *host) url(repository, kind, name string) *url.URL {
	u := &url.URL{Scheme: h.scheme, Host: h.addr, Path: "/v2/"}
	if repository != "" {
		u.Path += repository + "/" + kind + "/" + name
	}
	return u
}

func (h *host) challenged() *challenge {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.late
}

// adopt takes the challenge of a manifest's 401 where /v2/ had none.
func (h *host) adopt(header http.Header) (challenge, bool) {
	ch, d := choose(parseChallenges(header.Values("Www-Authenticate")), h.scheme == "http")
	if d != plain {
		return challenge{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.late = &ch
	return ch, true
}

// hold notes that the host asked not to be asked for a while; wait is how long that still is.
func (h *host) hold(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.notBefore) {
		h.notBefore = until
	}
}

func (h *host) wait() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(time.Until(h.notBefore), 0)
}

// gone returns the problem of those before where the host has been silent to too many of them.
func (h *host) gone() *problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent < silence {
		return nil
	}
	p := *h.last
	p.detail = givenUp
	return &p
}

// answered keeps count of silence.
func (h *host) answered(p *problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case p == nil || p.cause != fault.Timeout:
		h.silent, h.last = 0, nil
	case p.detail == plain:
		h.silent, h.last = h.silent+1, p
	}
}

// hosts returns the host that an endpoint is asked at, the same one each time.
func (r *Resolver) host(name string) *host {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := hostKey(name)
	if h, ok := r.hosts[key]; ok {
		return h
	}
	h := &host{name: key, scheme: "https", addr: address(name), client: r.client}
	if r.registries[key].PlainHTTP {
		h.scheme = "http"
	}
	if own, ok := r.clients[key]; ok {
		h.client = own
	}
	r.hosts[key] = h
	return h
}
