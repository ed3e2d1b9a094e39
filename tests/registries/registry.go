package registries

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Registry is a Store that asks for a token, as docker.io or ghcr.io does, or
// for the account itself.
type Registry struct {
	*Store
	dialect dialect
	// signer signs tokens that the Store verifies; nil where the Registry knows
	// its own.
	signer  *signer
	secrets Secrets

	mu       sync.Mutex
	accounts map[string]*account
	private  map[string]bool
	tokens   map[string]grant
	pulls    int
	limit    int // pulls that are left to give; -1 is no limit
}

// dialect is in what the flows of two registries differ.
type dialect struct {
	realm, service string
	// pingScope is in the challenge of the ping, where it says nothing useful.
	pingScope string
	// refuses means that the token endpoint refuses what it does not grant;
	// otherwise it issues a token that grants nothing.
	refuses bool
	// badLogin is what a wrong password is answered with.
	badLogin int
	// fields are those of the token answer that hold the token; none means both
	// token and access_token.
	fields []string
	// basic means that there is no token endpoint: each request carries the
	// account itself.
	basic bool
	// limited means that answers tell how many pulls are left.
	limited bool
}

// NewDockerHub returns a registry that behaves as registry-1.docker.io and
// auth.docker.io do. It serves both hosts.
func NewDockerHub(store *Store) *Registry {
	return newRegistry(store, dialect{
		realm: "https://auth.docker.io/token", service: "registry.docker.io",
		badLogin: http.StatusUnauthorized, limited: true,
	})
}

// NewGHCR returns a registry that behaves as ghcr.io does.
func NewGHCR(store *Store) *Registry {
	return newRegistry(store, dialect{
		realm: "https://ghcr.io/token", service: "ghcr.io", pingScope: "repository:user/image:pull",
		badLogin: http.StatusForbidden, refuses: true,
	})
}

func newRegistry(store *Store, d dialect) *Registry {
	return &Registry{
		Store: store, dialect: d, limit: 100,
		accounts: map[string]*account{}, private: map[string]bool{}, tokens: map[string]grant{},
	}
}

// LimitPulls sets how many pulls are left, -1 for no limit. Only a GET of a
// manifest is a pull.
func (r *Registry) LimitPulls(left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = left
}

// Pulls returns how many pulls were counted.
func (r *Registry) Pulls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulls
}

// ServeHTTP serves the registry and its token endpoint, told apart by path.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	call := describe(request)
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	switch {
	case r.dialect.basic:
		r.serveBasic(w, request, call)
	case call.Stage == Token && request.Method != http.MethodGet:
		// containerd offers a credential in a form first, and asks again as
		// everybody does where it hears this.
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	case call.Stage == Token:
		r.serveToken(w, request, call)
	case r.signer != nil:
		r.Store.ServeHTTP(w, request)
	case call.Stage == Ping:
		if _, ok := r.granted(request); !ok {
			r.challenge(w, r.dialect.pingScope, "")
			return
		}
		w.WriteHeader(http.StatusOK)
	case call.Repository != "" && (request.Method == http.MethodGet || request.Method == http.MethodHead):
		r.servePull(w, request, call)
	default:
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	}
}

func (r *Registry) servePull(w http.ResponseWriter, request *http.Request, call Call) {
	scope := "repository:" + call.Repository + ":pull"
	granted, ok := r.granted(request)
	switch {
	case !ok && call.Scheme != "":
		r.challenge(w, scope, "invalid_token")
		return
	case !ok:
		r.challenge(w, scope, "")
		return
	case !granted.repositories[call.Repository]:
		r.challenge(w, scope, "insufficient_scope")
		return
	}
	if r.dialect.limited && (call.Stage == Head || call.Stage == Get) && !r.meter(w, call.Stage) {
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS",
			"You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit")
		return
	}
	r.Store.ServeHTTP(w, request)
}

// meter counts a pull and tells what is left, as docker.io does; false when
// there is nothing left to pull with.
func (r *Registry) meter(w http.ResponseWriter, stage Stage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	enough := true
	if stage == Get {
		if enough = r.limit != 0; enough {
			r.pulls++
			r.limit = max(r.limit-1, -1)
		}
	}
	if r.limit >= 0 {
		w.Header().Set("Ratelimit-Limit", "100;w=21600")
		w.Header().Set("Ratelimit-Remaining", fmt.Sprintf("%d;w=21600", r.limit))
		w.Header().Set("Docker-Ratelimit-Source", "192.0.2.1")
	}
	return enough
}

func (r *Registry) challenge(w http.ResponseWriter, scope, reason string) {
	challenge := fmt.Sprintf("Bearer realm=%q,service=%q", r.dialect.realm, r.dialect.service)
	if scope != "" {
		challenge += fmt.Sprintf(",scope=%q", scope)
	}
	if reason != "" {
		challenge += fmt.Sprintf(",error=%q", reason)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client may be gone: its own loss
}

func now() time.Time { return time.Now().UTC() }
