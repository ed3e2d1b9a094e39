package registries

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const tokenLifetime = 5 * time.Minute

// account may pull the private repositories that it names.
type account struct {
	secret       string
	repositories map[string]bool
}

// grant is what a token is good for.
type grant struct {
	repositories map[string]bool
	until        time.Time
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
	added := &account{secret: secret, repositories: map[string]bool{}}
	for _, repository := range repositories {
		added.repositories[repository] = true
	}
	r.accounts[user] = added
	r.secrets.AddAccount(user, secret)
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

// Secrets returns the passwords that accounts have or had, and the tokens that
// were issued.
func (r *Registry) Secrets() []string { return r.secrets.Values() }

// login reads who asks: nobody is nil, and fine. It is asked with the lock
// held.
func (r *Registry) login(request *http.Request) (who *account, user string, ok bool) {
	user, secret, given := request.BasicAuth()
	if !given {
		return nil, "", true
	}
	who = r.accounts[user]
	return who, user, who != nil && who.secret == secret
}

func (r *Registry) refuseLogin(w http.ResponseWriter) {
	code := "DENIED"
	if r.dialect.badLogin == http.StatusUnauthorized {
		code = "UNAUTHORIZED"
	}
	refuse(w, r.dialect.badLogin, code, "incorrect username or password")
}

func (r *Registry) serveToken(w http.ResponseWriter, request *http.Request, call Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who, user, ok := r.login(request)
	if !ok {
		r.refuseLogin(w)
		return
	}
	granted := grant{repositories: map[string]bool{}, until: now().Add(tokenLifetime)}
	for _, scope := range call.Scopes {
		repository, ok := pullOf(scope)
		switch {
		case ok && r.mayPull(who, repository):
			granted.repositories[repository] = true
		case r.dialect.refuses && who == nil:
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		case r.dialect.refuses:
			refuse(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
			return
		}
	}
	issued := newToken(r.dialect, user, granted)
	if r.signer != nil {
		issued = r.signer.sign(user, granted)
	}
	r.tokens[issued] = granted
	r.secrets.Add(issued)
	body := map[string]any{"expires_in": int(tokenLifetime.Seconds()), "issued_at": now().Format(time.RFC3339)}
	for _, field := range r.dialect.tokenFields() {
		body[field] = issued
	}
	answer(w, http.StatusOK, body)
}

func (d dialect) tokenFields() []string {
	if len(d.fields) > 0 {
		return d.fields
	}
	return []string{"token", "access_token"}
}

// mayPull is asked with the lock held.
func (r *Registry) mayPull(who *account, repository string) bool {
	if !r.Store.Has(repository) {
		return false
	}
	return !r.private[repository] || who != nil && who.repositories[repository]
}

// pullOf reads repository:NAME:ACTIONS.
func pullOf(scope string) (repository string, ok bool) {
	rest, ok := strings.CutPrefix(scope, "repository:")
	if !ok {
		return "", false
	}
	colon := strings.LastIndex(rest, ":")
	if colon < 0 {
		return "", false
	}
	for action := range strings.SplitSeq(rest[colon+1:], ",") {
		if action == "pull" || action == "*" {
			return rest[:colon], true
		}
	}
	return "", false
}

func (r *Registry) granted(request *http.Request) (grant, bool) {
	token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return grant{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	granted, ok := r.tokens[token]
	return granted, ok && now().Before(granted.until)
}

// newToken looks like the JWT that docker.io issues, access claims included;
// its third part is random rather than signed, since nobody but the registry
// that issued it may judge it.
func newToken(d dialect, subject string, granted grant) string {
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	list := []access{}
	for repository := range granted.repositories {
		list = append(list, access{"repository", repository, []string{"pull"}})
	}
	return unsigned(map[string]any{"aud": d.service, "iss": d.realm, "sub": subject, "exp": granted.until.Unix(), "access": list})
}

// unsigned is a JWT whose signature is random.
func unsigned(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err) // strings and numbers encode
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"typ":"JWT","alg":"RS256"}`)) + "." + encode(text) + "." + encode([]byte(rand.Text()))
}
