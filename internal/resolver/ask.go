package resolver

import (
	"context"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// question is something to ask of a repository through the library, with its options that say as whom.
type question func(...remote.Option) error

// request is something to ask of a repository, by a way that says as whom.
type request func(context.Context, http.RoundTripper) error

func (q question) request() request {
	return func(ctx context.Context, way http.RoundTripper) error {
		return q(remote.WithContext(ctx), remote.WithTransport(way))
	}
}

// answer is what a question brought, beside what it was asked for.
type answer struct {
	wire.Call
	how   challenge
	token token
}

// ask asks something of a repository as somebody. unreadable is what it means that the library cannot make sense of the
// answer.
func (h *host) ask(ctx context.Context, repository string, who credential.Credential, unreadable detail, q question) (answer, *problem) {
	return h.send(ctx, needs{repository: repository}, who, unreadable, q.request())
}

// send is ask, of what the library does not know to ask for as well.
func (h *host) send(ctx context.Context, need needs, who credential.Credential, unreadable detail, q request) (answer, *problem) {
	if p := h.circuitOpen(); p != nil {
		return answer{}, p
	}
	got, p := h.authorized(ctx, need, who, unreadable, q)
	h.answered(p)
	return got, p
}

// authorized asks until there is nothing left that the registry may have wanted: a challenge that /v2/ did not show, a
// token for this repository alone, one for the scope that the refusal names, a fresh one. Each of these once.
func (h *host) authorized(ctx context.Context, need needs, who credential.Credential, unreadable detail, q request) (answer, *problem) {
	ch, p := h.pingFor(ctx, need.repository)
	if p != nil {
		return answer{}, p
	}
	for {
		got, p := h.grant(ctx, ch, who, need, q)
		if p != nil {
			return answer{}, p
		}
		one, p := h.askOnce(ctx, ch, who, got, unreadable, q)
		if p == nil || one.Crossed {
			return one, p
		}
		named, _ := h.read(ctx, &one.Call)
		switch late := p.Status == http.StatusUnauthorized && named.silent == nil && named.library != nil; {
		case late && ch.method == open && !need.late:
			ch, need.late = named, true
			h.late.Store(need.repository, named)
		case ch.silent != nil && p.denied():
			return one, ch.silent
		case len(got.scopes) > 1 && slices.Contains([]int{401, 403, 404}, p.Status) && h.known(who).state != Rejected: // to whom no token will help
			need.alone = true
		case late && ch.method == bearer && !need.again && (named.expired || named.scope != "" && !slices.Contains(got.scopes, named.scope)):
			need.alone, need.again, need.scope = true, true, named.scope
			h.tokens.forget(tokenKey{who.Identity(), got.scopes[0]})
		default:
			return one, p
		}
	}
}

// needs is what the refusals of one question have shown so far.
type needs struct {
	repository  string
	alone       bool   // a token for several does not do
	scope       string // that the refusal named; empty for the repository's own
	late, again bool
}

func (n needs) own() []string {
	if n.scope != "" {
		return []string{n.scope}
	}
	return []string{scopeOf(n.repository)}
}

// askOnce asks once, with what was granted.
func (h *host) askOnce(ctx context.Context, ch challenge, who credential.Credential, got token, unreadable detail, q request) (answer, *problem) {
	ctx, call := wire.Begin(ctx, failure.StageManifest)
	with, err := h.with(ch, who, got)
	if err == nil {
		err = q(ctx, with)
	}
	one := answer{Call: *call, how: ch, token: got}
	if err != nil {
		return one, problemOf(ctx, err, call, unreadable)
	}
	return one, nil
}

// with is the way to a registry for somebody. Its type tells package remote that the handshake is over: it pings, logs in
// and retries no more.
func (h *host) with(ch challenge, who credential.Credential, got token) (http.RoundTripper, error) {
	if ch.foreign || ch.method == open {
		who = credential.Credential{}
	}
	asked := &transport.Challenge{Insecure: h.plainHTTP}
	if ch.method == bearer {
		// What stands for the token endpoint is never asked: a refusal comes back to authorized.
		asked.Scheme, asked.Parameters = "bearer", map[string]string{"realm": "https://" + h.address}
	}
	return transport.FromToken(h.registry, authenticator(who), h.network, asked, &transport.Token{Token: got.value})
}

// grant gets what is needed to ask for a repository: nothing, the account itself, or a token, which is one for many
// repositories where the registry agrees.
func (h *host) grant(ctx context.Context, ch challenge, who credential.Credential, need needs, q request) (token, *problem) {
	if ch.foreign {
		who = credential.Credential{}
	}
	group := need.own()
	if !need.alone {
		group = scopesOf(h.group(who.Identity(), need.repository))
	}
	if !who.Anonymous() && ch.method != open {
		v := h.login(ctx, ch, who, group, need.own(), func(ctx context.Context, scopes []string) (p *problem) {
			if ch.method == bearer {
				_, p = h.token(ctx, ch, who, scopes)
			} else {
				_, p = h.askOnce(ctx, ch, who, token{}, noDetail, q)
			}
			return p
		})
		if v.refused {
			return token{}, v.problem
		}
	}
	if ch.method != bearer {
		return token{}, nil
	}
	got, p := h.token(ctx, ch, who, group)
	if p != nil && len(group) > 1 && p.splittable() {
		return h.alone(ctx, ch, who, group, need)
	}
	return got, p
}

// alone asks for a token for one repository, after one for several was refused. Where the registry is in trouble, one of
// them is asked for before the others: it must not be asked fifty times where it cannot answer once.
func (h *host) alone(ctx context.Context, ch challenge, who credential.Credential, group []string, need needs) (token, *problem) {
	key := tokenKey{who.Identity(), "first of\n" + group[0]}
	_, p := h.tokens.do(ctx, key, h.timeout, func(ctx context.Context) (token, *problem) {
		return h.token(ctx, ch, who, need.own())
	})
	if p != nil && p.cause == failure.ServerError {
		return token{}, p
	}
	return h.token(ctx, ch, who, need.own())
}

// splittable says that a token request for several repositories may fare better as one for each: some registries refuse
// several scopes, or refuse all where one is refused.
func (p *problem) splittable() bool {
	return p.Role == failure.StageToken && p.Status >= 400 && p.cause != failure.RateLimited && p.cause != failure.Proxy
}

func scopesOf(repositories []string) []string {
	var scopes []string
	for _, repository := range repositories {
		scopes = append(scopes, scopeOf(repository))
	}
	return scopes
}
