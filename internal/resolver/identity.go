package resolver

import (
	"context"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver/cloud"
)

// identity is what a cloud's registry takes for the pod that this program runs in. It is looked up once a tick.
func (r *Resolver) identity(ctx context.Context, h *host) (credential.Credential, *problem) {
	return h.identities.do(ctx, struct{}{}, h.timeout, func(ctx context.Context) (credential.Credential, *problem) {
		client := cloud.Client{Network: r.network, Getenv: r.options.Getenv, NameAccount: r.options.Check}
		found, failed := client.Login(ctx, h.cloud, r.registries[hostKey(h.address)].Roots)
		if failed != nil {
			p := &problem{Failure: failed.Failure, cause: failed.Cause, identity: failed}
			if p.Kind != 0 {
				p.cause = causes[p.Kind]
			}
			return credential.Credential{}, p
		}
		h.mu.Lock()
		h.pod = found.Identity()
		h.mu.Unlock()
		return found, nil
	})
}

// asNobody asks a place for which there is no credential. Where it is a cloud's, the pod's identity is looked up meanwhile, and
// asked with only where nobody was served: public images wait for no metadata service, and one that is silent, or has no identity,
// is no verdict on them (I78).
func (r *Resolver) asNobody(ctx context.Context, e endpoint, f visit) (Manifest, outcome) {
	h, out := r.host(e.host), outcome{at: e}
	if h.cloud != nil {
		go r.identity(context.WithoutCancel(ctx), h) //nolint:errcheck // whoever needs it asks again, and waits
	}
	got, p := f(ctx, e, credential.Credential{})
	if out.problem = p; p == nil || h.cloud == nil || !p.denied() && p.cause != failure.RateLimited {
		return got, out
	}
	h.identityNeeded.Store(true)
	who, failed := r.identity(ctx, h)
	switch {
	case failed == nil:
		h.note([]credential.Credential{who})
		out.who = who
		if got, out.problem = f(ctx, e, who); out.problem != nil && out.problem.cause == failure.Unauthorized && h.known(who).state != Rejected {
			without := *out.problem // it is known, and may not pull
			without.cause, out.problem = failure.Forbidden, &without
		}
	case p.cause == failure.Unauthorized || p.cause == failure.Forbidden && p.detail == noDetail:
		out.problem = failed
	}
	return got, out
}

// awaitIdentities has a check wait for every identity that was looked up, be it needed or not.
func (r *Resolver) awaitIdentities(ctx context.Context) {
	r.mu.Lock()
	var all []*host
	for _, h := range r.hosts {
		if h.cloud != nil && h.identities.begun() {
			all = append(all, h)
		}
	}
	r.mu.Unlock()
	for _, h := range all {
		_, _ = r.identity(ctx, h) // the report says what came of it
	}
}
