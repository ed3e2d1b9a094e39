package resolver

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// account is as whom a repository is asked for.
type account struct {
	credential credential.Credential // the zero value: as nobody
	// group is the account whose images are asked for by one token request; it is another one only where a
	// rejected account's images are asked for as nobody.
	group credential.Identity
}

func as(c credential.Credential) account { return account{credential: c, group: c.Identity()} }

// bereft says that a's own credential was rejected and it asks as nobody in its stead.
func (a account) bereft() bool { return a.credential.Anonymous() && a.group != credential.Identity{} }

// nobody asks for the same images as a, without its credential.
func (a account) nobody() account { return account{group: a.group} }

// grant is the right to ask: what to send, and what is known of it.
type grant struct {
	authorization string // secret
	shared        bool   // one token for several repositories
	subject       string // whom the token names (Harbor)
	until         time.Time
}

// ping asks a registry, once, how it wants to be asked (distribution specification, "Determining support").
func (r *Resolver) ping(ctx context.Context, h *host) (challenge, *problem) {
	if late := h.challenged(); late != nil {
		return *late, nil
	}
	return r.pings.do(ctx, h.name, r.options.Timeout, func(ctx context.Context) (challenge, *problem) {
		answer, p := r.send(ctx, h, request{method: http.MethodGet, url: h.url("", "", ""), role: fault.StagePing})
		if p != nil {
			return challenge{}, p
		}
		switch answer.status {
		case http.StatusOK:
			return challenge{}, nil
		case http.StatusUnauthorized:
		default:
			return challenge{}, refusal(answer, fault.StagePing)
		}
		ch, d := choose(parseChallenges(answer.header.Values("Www-Authenticate")), h.scheme == "http")
		if d != plain {
			cause := fault.BadResponse
			if d == noChallenge {
				cause = fault.Unauthorized
			}
			return challenge{}, &problem{cause: cause, detail: d, stage: fault.StagePing, role: fault.StagePing, host: answer.host, status: answer.status}
		}
		ch.foreign = answer.crossed
		return ch, nil
	})
}

// grant gets what is needed to ask for a repository: nothing, the account itself, or a token, which is one for
// many repositories where the registry agrees, unless alone.
func (r *Resolver) grant(ctx context.Context, h *host, ch challenge, who account, repository string, alone bool) (grant, *problem) {
	anonymous := who.credential.Anonymous() || ch.foreign
	if ch.method == open || ch.method == basic && anonymous {
		return grant{}, nil
	}
	if !anonymous {
		if verdict := r.prove(ctx, h, ch, who.credential); verdict.state == Rejected {
			return grant{}, verdict.problem
		}
	}
	if ch.method == basic {
		return grant{authorization: who.credential.Authorization()}, nil
	}
	if anonymous {
		who.credential = credential.Credential{}
	}
	group := []string{repository}
	if !alone {
		group = r.group(h, who.group, repository)
	}
	got, p := r.token(ctx, h, ch, who, group)
	if p != nil && len(group) > 1 && splittable(p) {
		return r.grant(ctx, h, ch, who, repository, true)
	}
	return got, p
}

// splittable says that a token request for several repositories may fare better as one for each: some
// registries refuse several scopes, or refuse all where one is refused.
func splittable(p *problem) bool {
	return p.stage == fault.StageToken && p.status >= 400 && p.status < 500 && p.cause != fault.RateLimited
}

type tokenKey struct {
	host       string
	as, group  credential.Identity
	repository string // all of them
}

// token returns the token for a group of repositories, asking for it where there is none that still lives.
func (r *Resolver) token(ctx context.Context, h *host, ch challenge, who account, group []string) (grant, *problem) {
	key := tokenKey{host: h.name, as: who.credential.Identity(), group: who.group, repository: strings.Join(group, " ")}
	for {
		mine := false
		got, p := r.tokens.do(ctx, key, r.options.Timeout, func(ctx context.Context) (grant, *problem) {
			mine = true
			return r.fetchToken(ctx, h, ch, who.credential, group)
		})
		if p != nil || mine || time.Now().Before(got.until) { // a new one is used however short it lives
			return got, p
		}
		r.tokens.forget(key)
	}
}

func (r *Resolver) fetchToken(ctx context.Context, h *host, ch challenge, c credential.Credential, group []string) (grant, *problem) {
	q := request{method: http.MethodGet, url: tokenURL(ch, group), role: fault.StageToken, limit: maxToken}
	if !c.Anonymous() {
		q.authorization = c.Authorization()
	}
	answer, p := r.send(ctx, h, q)
	if p != nil {
		return grant{}, p
	}
	if answer.status != http.StatusOK {
		p := refusal(answer, fault.StageToken)
		switch {
		case p.cause == fault.Unauthorized && c.Anonymous():
			p.detail = noAccount
		case p.cause == fault.Unauthorized, p.cause == fault.Forbidden && !c.Anonymous():
			p.cause, p.detail = fault.Unauthorized, noGrant
		}
		return grant{}, p
	}
	t, ok := parseToken(answer.body)
	if !ok {
		return grant{}, &problem{cause: fault.BadResponse, detail: badToken, stage: fault.StageToken, role: fault.StageToken, host: answer.host, status: answer.status}
	}
	// The token is given up a little early, so that it does not end on the way; never at once.
	life := max(t.life-5*time.Second, t.life/2)
	return grant{authorization: "Bearer " + t.value, shared: len(group) > 1, subject: t.subject, until: time.Now().Add(life)}, nil
}

// group returns the repositories that are asked for in one token together with this one.
func (r *Resolver) group(h *host, of credential.Identity, repository string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, batch := range r.groups[groupKey{h.name, of}] {
		if slices.Contains(batch, repository) {
			return batch
		}
	}
	return []string{repository}
}

type groupKey struct {
	host string
	of   credential.Identity
}
