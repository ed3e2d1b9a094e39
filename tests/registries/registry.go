package registries

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const tokenLifetime = 5 * time.Minute

// Registry is a Store that asks for a token, as docker.io or ghcr.io does, or
// for the account itself.
type Registry struct {
	*Store
	dialect dialect
	secrets

	mu       sync.Mutex
	accounts map[string]account
	private  map[string]bool
	tokens   map[string]grant
	pulls    int
	limit    int // pulls that are left to give; -1 is no limit
}

// account may pull the private repositories that it names.
type account struct {
	secret       string
	repositories []string
}

// grant is what a token is good for.
type grant struct {
	repositories []string
	until        time.Time
}

// dialect is in what the flows of two registries differ.
type dialect struct {
	realm, service string
	// pingScope is in the challenge of the ping, where it says nothing useful.
	pingScope string
	// refuses means that the token endpoint refuses what it does not grant;
	// otherwise it issues a token that grants nothing.
	refuses bool
	// badLogin is what a wrong password is answered with; 0 is 401.
	badLogin int
	// field of the token answer holds the token; empty means both token and
	// access_token.
	field string
	// basic means that there is no token endpoint: each request carries the
	// account itself.
	basic bool
	// limited means that answers tell how many pulls are left.
	limited bool
}

// newDockerHub returns a registry that behaves as registry-1.docker.io and
// auth.docker.io do. It serves both hosts.
func newDockerHub(store *Store) *Registry {
	return newRegistry(store, dialect{realm: "https://auth.docker.io/token", service: "registry.docker.io", limited: true})
}

// newGHCR returns a registry that behaves as ghcr.io does.
func newGHCR(store *Store) *Registry {
	return newRegistry(store, dialect{
		realm: "https://ghcr.io/token", service: "ghcr.io", pingScope: "repository:user/image:pull",
		badLogin: http.StatusForbidden, refuses: true,
	})
}

// NewGitLab returns a registry that behaves as registry.gitlab.com and
// gitlab.com/jwt/auth do. A wrong password is answered with badLogin: 403 by
// older versions, 401 by newer ones.
func NewGitLab(store *Store, badLogin int) *Registry {
	return newRegistry(store, dialect{
		realm: "https://gitlab.com/jwt/auth", service: "container_registry", badLogin: badLogin, field: "token",
	})
}

// NewACR returns a registry that behaves as an Azure Container Registry does:
// its token stands in access_token alone.
func NewACR(store *Store, host string) *Registry {
	return newRegistry(store, dialect{realm: "https://" + host + "/oauth2/token", service: host, field: "access_token"})
}

// NewECRPublic returns a registry that behaves as public.ecr.aws does: the
// scope of its challenge is no repository's. A wrong or expired password is
// answered with badLogin: 400, or 403.
func NewECRPublic(store *Store, badLogin int) *Registry {
	return newRegistry(store, dialect{
		realm: "https://public.ecr.aws/token/", service: "public.ecr.aws", pingScope: "aws", badLogin: badLogin, field: "token",
	})
}

// NewTokenRegistry returns a registry that does what the distribution
// specification says of tokens, and no more; its token endpoint is at realm.
func NewTokenRegistry(store *Store, realm string) *Registry {
	return newRegistry(store, dialect{realm: realm, service: "service of " + realm})
}

// NewBasic returns a registry with a password file, which lets nobody in without
// an account.
func NewBasic(store *Store) *Registry {
	return newRegistry(store, dialect{realm: "registry", service: "registry", basic: true})
}

// NewECR returns a registry that behaves as a private one of Amazon does: no
// token endpoint, and an expired password is forbidden rather than
// unauthorized.
func NewECR(store *Store, host string) *Registry {
	return newRegistry(store, dialect{
		realm: "https://" + host + "/", service: "ecr.amazonaws.com", badLogin: http.StatusForbidden, basic: true,
	})
}

func newRegistry(store *Store, d dialect) *Registry {
	return &Registry{
		Store: store, dialect: d, limit: 100,
		accounts: map[string]account{}, private: map[string]bool{}, tokens: map[string]grant{},
	}
}

// SetPrivate hides a repository from everyone but the accounts that name it.
func (r *Registry) SetPrivate(repository string, private bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.private[repository] = private
}

// AddAccount lets an account in, or changes its secret and rights. It may
// pull what is public, and the private repositories that are named.
func (r *Registry) AddAccount(user, secret string, repositories ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accounts[user] = account{secret: secret, repositories: repositories}
	r.keepAccount(user, secret)
}

// RemoveAccount locks an account out, as if it had expired; tokens that it
// got before stay good.
func (r *Registry) RemoveAccount(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.accounts, user)
}

// RevokeTokens makes every token that was issued so far worthless.
func (r *Registry) RevokeTokens() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.tokens)
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
	r.mu.Lock()
	answered := r.answer(w, request, describe(request))
	r.mu.Unlock()
	if !answered {
		r.Store.ServeHTTP(w, request)
	}
}

// answer answers what the Store is not to: a question about accounts and
// tokens, or a refusal.
func (r *Registry) answer(w http.ResponseWriter, request *http.Request, call Call) (answered bool) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	who, ok := r.login(request)
	granted, valid := r.tokens[strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")]
	valid = valid && time.Now().Before(granted.until)
	switch {
	case r.dialect.basic && (call.User == "" || !ok && r.dialect.badLogin == 0):
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q,service=%q", r.dialect.realm, r.dialect.service))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Not Authorized")
	case !ok && (r.dialect.basic || call.Stage == Token):
		r.refuseLogin(w)
	case r.dialect.basic && call.Stage != Ping && !r.mayPull(who, call.Repository):
		refuse(w, http.StatusForbidden, "DENIED", "User is not authorized to perform: ecr:BatchGetImage")
	case call.Stage == Token && request.Method != http.MethodGet:
		// containerd offers a credential in a form first, and asks again as
		// everybody does where it hears this.
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	case call.Stage == Token:
		r.serveToken(w, call, who)
	case r.dialect.basic, call.Stage == Ping && valid:
		return false
	case call.Stage == Ping:
		r.challenge(w, r.dialect.pingScope, "")
	case call.Repository == "" || request.Method != http.MethodGet && request.Method != http.MethodHead:
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	case !valid && call.Scheme != "":
		r.challenge(w, scopeOf(call.Repository), "invalid_token")
	case !valid:
		r.challenge(w, scopeOf(call.Repository), "")
	case !slices.Contains(granted.repositories, call.Repository):
		r.challenge(w, scopeOf(call.Repository), "insufficient_scope")
	case r.dialect.limited && !r.meter(w, call.Stage):
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS",
			"You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit")
	default:
		return false
	}
	return true
}

// login reads who asks; nobody is fine.
func (r *Registry) login(request *http.Request) (who account, ok bool) {
	user, secret, given := request.BasicAuth()
	if !given {
		return account{}, true
	}
	who, known := r.accounts[user]
	return who, known && who.secret == secret
}

func (r *Registry) refuseLogin(w http.ResponseWriter) {
	switch r.dialect.badLogin {
	case 0, http.StatusUnauthorized:
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
	default:
		refuse(w, r.dialect.badLogin, "DENIED", "incorrect username or password")
	}
}

func (r *Registry) serveToken(w http.ResponseWriter, call Call, who account) {
	granted := grant{until: time.Now().Add(tokenLifetime)}
	grants := []access{}
	for _, scope := range call.Scopes {
		repository, ok := pullOf(scope)
		switch {
		case ok && r.mayPull(who, repository):
			granted.repositories = append(granted.repositories, repository)
			grants = append(grants, accessTo(repository, "pull"))
		case r.dialect.refuses && call.User == "":
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		case r.dialect.refuses:
			refuse(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
			return
		}
	}
	issued := newToken(call.User, grants)
	r.tokens[issued] = granted
	r.keep(issued)
	body := map[string]any{
		"token": issued, "access_token": issued,
		"expires_in": int(tokenLifetime.Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339),
	}
	switch r.dialect.field {
	case "token":
		delete(body, "access_token")
	case "access_token":
		delete(body, "token")
	}
	answer(w, http.StatusOK, body)
}

func (r *Registry) mayPull(who account, repository string) bool {
	_, there := r.repositories.Load(repository)
	return there && (!r.private[repository] || slices.Contains(who.repositories, repository))
}

func scopeOf(repository string) string { return "repository:" + repository + ":pull" }

// pullOf reads repository:NAME:ACTIONS.
func pullOf(scope string) (repository string, ok bool) {
	rest, ok := strings.CutPrefix(scope, "repository:")
	colon := strings.LastIndex(rest, ":")
	if !ok || colon < 0 {
		return "", false
	}
	actions := strings.Split(rest[colon+1:], ",")
	return rest[:colon], slices.Contains(actions, "pull") || slices.Contains(actions, "*")
}

// meter counts a pull and tells what is left, as docker.io does; false when
// there is nothing left to pull with.
func (r *Registry) meter(w http.ResponseWriter, stage Stage) (enough bool) {
	if stage != Head && stage != Get {
		return true
	}
	enough = stage == Head || r.limit != 0
	if stage == Get && enough {
		r.pulls++
		r.limit = max(r.limit-1, -1)
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

// access is what a token grants.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func accessTo(repository string, actions ...string) access {
	return access{"repository", repository, append([]string{}, actions...)}
}

// newToken looks like the JWT that docker.io issues; its third part is random
// rather than signed, since nobody but the registry that issued it may judge it.
func newToken(subject string, grants []access) string {
	claims := must(json.Marshal(map[string]any{"sub": subject, "access": grants}))
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"typ":"JWT","alg":"RS256"}`)) + "." + encode(claims) + "." + encode([]byte(rand.Text()))
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client may be gone: its own loss
}
