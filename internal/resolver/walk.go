package resolver

import (
	"context"
	"slices"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// outcome is how a walk over places and credentials ended.
type outcome struct {
	at       endpoint // that answered, or whose problem counts
	who      credential.Credential
	problem  *problem // nil where something was found
	passed   []passed // mirrors that were gone past
	rejected []rejection
}

// passed is a place that was asked before the one that counts.
type passed struct {
	at      endpoint
	problem *problem
}

// rejection is a credential that a host does not accept.
type rejection struct {
	at         endpoint
	credential credential.Credential
	problem    *problem
}

// visit asks one place as somebody.
type visit[T any] func(ctx context.Context, e endpoint, who credential.Credential) (T, *problem)

// walk asks the places in order until one has what is asked for, or has a problem that the next cannot fix.
func walk[T any](ctx context.Context, r *Resolver, places []endpoint, ring keyring, f visit[T]) (T, outcome) {
	var out outcome
	var failed []outcome
	for _, e := range places {
		got, one := tryAll(ctx, r, e, ring, f)
		out.rejected = append(out.rejected, one.rejected...)
		if one.problem == nil {
			out.at, out.who, out.problem = e, one.who, nil
			out.passed = passedBy(failed)
			return got, out
		}
		failed = append(failed, one)
		if !one.problem.elsewhere() {
			break
		}
	}
	var problems []*problem
	for _, one := range failed {
		problems = append(problems, one.problem)
	}
	counts := failed[len(failed)-1]
	if counts.problem.elsewhere() {
		counts = failed[slices.Index(problems, worst(problems))]
	}
	out.at, out.who, out.problem = counts.at, counts.who, counts.problem
	for _, one := range passedBy(failed) {
		if one.at != out.at {
			out.passed = append(out.passed, one)
		}
	}
	var none T
	return none, out
}

func passedBy(failed []outcome) []passed {
	var all []passed
	for _, one := range failed {
		all = append(all, passed{at: one.at, problem: one.problem})
	}
	return all
}

// tryAll asks one place with every credential that matches, in the kubelet's order, until one is served, and as nobody
// where none matches. Pods whose only login is refused cannot pull, be the image public or not, so nobody else asks for
// them either.
func tryAll[T any](ctx context.Context, r *Resolver, e endpoint, ring keyring, f visit[T]) (T, outcome) {
	out := outcome{at: e}
	matching := ring.lookup(e)
	if len(matching) == 0 {
		got, p := f(ctx, e, credential.Credential{})
		out.problem = p
		return got, out
	}
	r.note(e, matching)
	h := r.host(e.host)
	var none T
	var failed []outcome
	var problems []*problem
	for i, c := range matching {
		got, p := f(ctx, e, c)
		dead := r.known(h, c)
		if dead.state == Rejected {
			out.rejected = append(out.rejected, rejection{at: e, credential: c, problem: dead.problem})
		}
		switch {
		case p == nil:
			out.who = c
			r.proveRest(ctx, h, e, matching[i+1:], &out)
			return got, out
		case !p.denied(): // nothing that another credential could change
			out.who, out.problem = c, p
			return none, out
		case dead.state == Rejected && !(e.mirror && p.cause == fault.NotFound): // that a mirror does not have it is no refusal
			p = dead.problem
		}
		failed, problems = append(failed, outcome{at: e, who: c, problem: p}), append(problems, p)
	}
	counts := failed[slices.Index(problems, worst(problems))]
	out.who, out.problem = counts.who, counts.problem
	if ring.docker != nil && out.problem.detail == rejected { // pods do not have it, and may be served as nobody
		got, p := f(ctx, e, credential.Credential{})
		if p == nil || !p.denied() {
			out.who, out.problem = credential.Credential{}, p
			return got, out
		}
	}
	return none, out
}

// tried is one credential that is for one host, for the report.
type tried struct {
	host       string
	credential credential.Credential
}

func (r *Resolver) note(e endpoint, matching []credential.Credential) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range matching {
		r.tried[tried{hostKey(e.host), c}] = true
	}
}

// proveRest proves the credentials that were not needed: a dead one among them is said too.
func (r *Resolver) proveRest(ctx context.Context, h *host, e endpoint, rest []credential.Credential, out *outcome) {
	ch, p := r.ping(ctx, h)
	if p != nil || ch.method == open || ch.foreign {
		return
	}
	for _, c := range rest {
		if v := r.prove(ctx, h, ch, c); v.state == Rejected {
			out.rejected = append(out.rejected, rejection{at: e, credential: c, problem: v.problem})
		}
	}
}

// suspect says whether the rejections of a walk are to be believed: a registry whose own trouble kept the image
// from being served may have refused a valid account for the same reason.
func (o outcome) suspect() bool {
	return o.problem != nil && o.problem.cause == fault.ServerError
}
