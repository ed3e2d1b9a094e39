package resolver

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// Bounds on what a token endpoint may say of a token's life. One that says nothing means 60 seconds
// (distribution specification, "Token authentication").
const (
	defaultLife = time.Minute
	longestLife = time.Hour
)

// token is what a token endpoint gave.
type token struct {
	value   string // secret
	scopes  []string
	subject string // whom Harbor's tokens name; empty for nobody, and where the token is no JWT
	until   time.Time
}

type tokenKey struct {
	as     credential.Identity
	scopes string
}

func scopeOf(repository string) string { return "repository:" + repository + ":pull" }

// token returns the token for some scopes, asking for it where there is none that still lives.
func (h *host) token(ctx context.Context, ch challenge, who credential.Credential, scopes []string) (token, *problem) {
	key := tokenKey{as: who.Identity(), scopes: strings.Join(scopes, "\n")}
	for {
		mine := false
		got, p := h.tokens.do(ctx, key, h.timeout, func(ctx context.Context) (token, *problem) {
			mine = true
			ctx, call := wire.Begin(ctx, failure.StageToken)
			return h.exchange(ctx, call, ch, who, scopes)
		})
		if p != nil || mine || time.Now().Before(got.until) { // a new one is used however short it lives
			return got, p
		}
		h.tokens.forget(key)
	}
}

// exchange asks the token endpoint.
func (h *host) exchange(ctx context.Context, call *wire.Call, ch challenge, who credential.Credential, scopes []string) (token, *problem) {
	asked := *ch.library
	asked.Insecure = ch.realm.Scheme == "http" // which h.realm has found to be allowed there
	got, err := transport.Exchange(ctx, h.as(ch.realm), authenticator(who), h.network, scopes, &asked)
	if err != nil {
		p := problemOf(ctx, err, call, badToken)
		if p.detail == badToken && p.Status == 0 { // the library did not ask there
			p.detail, p.Host = badRealm, ch.realm.Host
		}
		return token{}, tokenProblem(p, who)
	}
	value := got.Token
	if value == "" { // some clouds send the other one alone; Harbor sends the other one empty
		value = got.AccessToken
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return token{}, badAnswer(call, badToken)
	}
	life := defaultLife
	if got.ExpiresIn > 0 {
		life = min(time.Duration(got.ExpiresIn), longestLife/time.Second) * time.Second
	}
	// The token is given up a little early, so that it does not end on the way; never at once.
	life = max(life-5*time.Second, life/2)
	return token{value: value, scopes: scopes, subject: credential.ReadClaims(value).Subject, until: time.Now().Add(life)}, nil
}

// tokenProblem says what a token endpoint's refusal means.
func tokenProblem(p *problem, who credential.Credential) *problem {
	switch {
	case p.refusesLogin() && !who.Anonymous():
		p.cause = failure.Unauthorized
	case p.cause == failure.Forbidden && len(p.errors) == 0:
		p.detail = between
	}
	return p
}

// authenticator is a credential as the library takes it.
func authenticator(c credential.Credential) authn.Authenticator {
	if c.Anonymous() {
		return authn.Anonymous
	}
	if identity := c.IdentityToken(); identity != "" {
		return authn.FromConfig(authn.AuthConfig{IdentityToken: identity})
	}
	return authn.FromConfig(authn.AuthConfig{Auth: strings.TrimPrefix(c.Authorization(), "Basic ")})
}

// groupKey is an account and one of the repositories that are asked for in its name.
type groupKey struct {
	as         credential.Identity
	repository string
}

// group returns the repositories that are asked for in one token together with this one.
func (h *host) group(as credential.Identity, repository string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if as == h.pod {
		as = credential.Identity{} // who asks where nobody else is served
	}
	if batch := h.groups[groupKey{as, repository}]; batch != nil {
		return batch
	}
	return []string{repository}
}

// Bounds on one token request: several scopes are worth one request, up to what nginx in front of Harbor still accepts
// in one line of 8 KiB. The line that grows fastest is not the request for the token but the header with the token,
// which names every repository again, in JSON and base64.
const (
	maxScopes     = 50
	maxScopeBytes = 6000
	claimBytes    = len(`{"type":"repository","name":"","actions":["pull"]},`)
)

// batches splits repositories into groups that one token request may ask for.
func batches(repositories []string) [][]string {
	var all [][]string
	var current []string
	size := 0
	for _, repository := range repositories {
		cost := base64.RawURLEncoding.EncodedLen(claimBytes + len(repository))
		if len(current) == maxScopes || len(current) > 0 && size+cost > maxScopeBytes {
			all, current, size = append(all, current), nil, 0
		}
		current, size = append(current, repository), size+cost
	}
	if len(current) > 0 {
		all = append(all, current)
	}
	return all
}
