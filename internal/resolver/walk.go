package resolver

import (
	"context"

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

// ask asks one place as somebody.
type ask[T any] func(ctx context.Context, e endpoint, who account) (T, *problem)

// walk asks the places in order until one has what is asked for, or has a problem that the next cannot mend
// (DESIGN.md, "Registries and credentials").
func walk[T any](ctx context.Context, r *Resolver, places []endpoint, ring keyring, f ask[T]) (T, outcome) {
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
		counts = failed[indexOf(problems, worst(problems))]
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

func indexOf(problems []*problem, p *problem) int {
	for i := range problems {
		if problems[i] == p {
			return i
		}
	}
	return len(problems) - 1
}

// tryAll asks one place with every credential that matches, in the kubelet's order, until one is served. It asks as
// nobody where none matches, and where every one that matches was rejected, to know whether the image is public
// all the same. A credential that is accepted but has no right is never given up for nobody.
func tryAll[T any](ctx context.Context, r *Resolver, e endpoint, ring keyring, f ask[T]) (T, outcome) {
	out := outcome{at: e}
	matching := ring.Lookup(e.name())
	if len(matching) == 0 {
		got, p := f(ctx, e, account{})
		out.problem = p
		return got, out
	}
	r.note(e, matching)
	var none T
	var failed []outcome
	for i, c := range matching {
		got, p := f(ctx, e, as(c))
		switch {
		case p == nil:
			out.who = c
			r.proveRest(ctx, e, matching[i+1:], &out)
			return got, out
		case p.detail == rejected:
			out.rejected = append(out.rejected, rejection{at: e, credential: c, problem: p})
		case p.denied():
			failed = append(failed, outcome{at: e, who: c, problem: p})
		default: // nothing that another credential could change
			out.who, out.problem = c, p
			return none, out
		}
	}
	if len(failed) > 0 {
		var problems []*problem
		for _, one := range failed {
			problems = append(problems, one.problem)
		}
		counts := failed[indexOf(problems, worst(problems))]
		out.who, out.problem = counts.who, counts.problem
		return none, out
	}
	got, p := f(ctx, e, as(matching[0]).nobody())
	// It cannot be resolved without the credential, which is dead. That a mirror does not have it is no refusal.
	if p != nil && p.denied() && !(e.mirror && p.cause == fault.NotFound) {
		out.who, p = out.rejected[0].credential, out.rejected[0].problem
	}
	out.problem = p
	return got, out
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
func (r *Resolver) proveRest(ctx context.Context, e endpoint, rest []credential.Credential, out *outcome) {
	h := r.host(e.host)
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
// from being served may have refused a valid account for the same reason (FACTS.md, Harbor).
func (o outcome) suspect() bool {
	return o.problem != nil && o.problem.cause == fault.ServerError
}
