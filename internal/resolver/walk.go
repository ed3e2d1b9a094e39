package resolver

import (
	"context"
	"slices"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// outcome is how one place, or a walk over several, ended.
type outcome struct {
	at       endpoint // that answered, or whose problem counts
	who      credential.Credential
	problem  *problem  // nil where something was found
	passed   []outcome // of mirrors that were asked beside
	rejected []rejection
}

// rejection is a credential that a host does not accept.
type rejection struct {
	credential credential.Credential
	problem    *problem
}

// visit asks one place as somebody.
type visit func(ctx context.Context, e endpoint, who credential.Credential) (Manifest, *problem)

// walk asks the places in order until one has what is asked for, or has a problem that the next cannot fix.
func (r *Resolver) walk(ctx context.Context, places []endpoint, ring keyring, f visit) (Manifest, outcome) {
	var failed []outcome
	var rejected []rejection
	for _, e := range places {
		got, one := r.tryAll(ctx, e, ring, f)
		rejected = append(rejected, one.rejected...)
		if one.problem == nil {
			one.passed, one.rejected = failed, rejected
			return got, one
		}
		failed = append(failed, one)
		if !one.problem.elsewhere() {
			break
		}
	}
	counts := failed[len(failed)-1]
	if counts.problem.elsewhere() {
		counts = worst(failed)
	}
	counts.passed = slices.DeleteFunc(failed, func(one outcome) bool { return one.at == counts.at })
	counts.rejected = rejected
	return Manifest{}, counts
}

// worst is the outcome whose problem counts where several failed.
func worst(failed []outcome) outcome {
	order := failure.Causes()
	return slices.MinFunc(failed, func(a, b outcome) int {
		return slices.Index(order, a.problem.cause) - slices.Index(order, b.problem.cause)
	})
}

// tryAll asks one place with every credential that matches, in the kubelet's order, until one is served, and anonymously
// where none matches. Pods whose only login is refused cannot pull, be the image public or not, so nobody else asks for
// them either.
func (r *Resolver) tryAll(ctx context.Context, e endpoint, ring keyring, f visit) (Manifest, outcome) {
	out := outcome{at: e}
	h, matching := r.host(e.host), ring.lookup(e)
	h.note(matching)
	if len(matching) == 0 {
		return r.asNobody(ctx, e, f)
	}
	var failed []outcome
	for i, c := range matching {
		got, p := f(ctx, e, c)
		dead := h.known(c)
		if dead.state == Rejected {
			out.rejected = append(out.rejected, rejection{credential: c, problem: dead.problem})
		}
		switch {
		case p == nil:
			out.who = c
			h.proveRest(ctx, e.repository, matching[i+1:], &out)
			return got, out
		case !p.denied(): // nothing that another credential could change
			out.who, out.problem = c, p
			return Manifest{}, out
		case dead.state == Rejected && !(e.mirror && p.cause == failure.NotFound): // that a mirror does not have it is no refusal
			p = dead.problem
		}
		failed = append(failed, outcome{at: e, who: c, problem: p})
	}
	counts := worst(failed)
	out.who, out.problem = counts.who, counts.problem
	if ring.docker != nil && out.problem.detail == rejected { // pods do not have it, and may be served anonymously
		got, p := f(ctx, e, credential.Credential{})
		if p == nil || !p.denied() {
			out.who, out.problem = credential.Credential{}, p
			return got, out
		}
	}
	return Manifest{}, out
}

// note keeps as whom the host was asked, for the report.
func (h *host) note(matching []credential.Credential) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.visited = true
	for _, c := range matching {
		h.tried[c] = true
	}
}

// proveRest proves the credentials that were not needed: a dead one among them is said too.
func (h *host) proveRest(ctx context.Context, repository string, rest []credential.Credential, out *outcome) {
	ch, p := h.pingFor(ctx, repository)
	if p != nil || ch.method == open || ch.foreign {
		return
	}
	for _, c := range rest {
		if v := h.prove(ctx, ch, c); v.state == Rejected {
			out.rejected = append(out.rejected, rejection{credential: c, problem: v.problem})
		}
	}
}

// suspect says whether the rejections of a walk are to be believed: a registry whose own trouble kept the image
// from being served may have refused a valid account for the same reason.
func (o outcome) suspect() bool {
	return o.problem != nil && o.problem.cause == failure.ServerError
}
