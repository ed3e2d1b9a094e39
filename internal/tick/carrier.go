package tick

import (
	"context"
	"slices"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Carrier is a workload that carries a target.
type Carrier struct {
	Ref     workload.Ref
	Failure *failure.Error   // why it could not be read, or is not to be worked with; nil where nothing is wrong
	Object  *workload.Object // as it was read; nil where it could not be
	Policy  decide.Policy    // of the target
	Latest  decide.Latest    // what the target resolves to there; zero where it was not to be resolved
	Others  []image.Digest   // what each other target there resolves to; empty where that is not known

	bindings []workload.Binding
	binding  int // of the target
}

// Carriers reads the workloads that carry a target, each once and in the configuration's order, and finds out what its tag means
// there if resolves is set. It writes nothing.
func (r *Runner) Carriers(ctx context.Context, name string, resolves bool) []Carrier {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	t := r.tick()
	t.layout = newLayout(r.beside(name), r.Namespace)
	readings := t.readAll(ctx, resolves)
	latest := make([][]decide.Latest, len(t.workloads))
	if resolves {
		latest = t.resolve(ctx, readings).latest
	}
	target := slices.IndexFunc(t.targets, func(t config.Target) bool { return t.Name == name })
	var carriers []Carrier
	for _, p := range t.places[target] {
		w, read := t.workloads[p.workload], readings[p.workload]
		c := Carrier{Ref: w.ref, Failure: read.failure, Object: read.object, Policy: t.layout.rules[target].Policy, bindings: w.bindings, binding: p.binding}
		for binding, found := range latest[p.workload] {
			if binding == p.binding {
				c.Latest = found
			} else {
				c.Others = append(c.Others, found.Digest)
			}
		}
		carriers = append(carriers, c)
	}
	return carriers
}

// beside is the configuration with the workloads that carry a target alone, and all targets that they carry.
func (r *Runner) beside(name string) config.Config {
	all := newLayout(r.Config, r.Namespace)
	narrowed := r.Config
	narrowed.Targets = nil
	for at, target := range r.Config.Targets {
		var entries []config.Workload
		for n, entry := range target.Workloads {
			w := all.workloads[all.slots[at][n].workload]
			if slices.ContainsFunc(w.bindings, func(b workload.Binding) bool { return b.Target.Name == name }) {
				entries = append(entries, entry)
			}
		}
		if target.Workloads = entries; len(entries) > 0 {
			narrowed.Targets = append(narrowed.Targets, target)
		}
	}
	return narrowed
}

// Slots are the target's on an object of the carrier's, be it newer than the one that was read; their failures say which cannot be
// worked with.
func (c Carrier) Slots(object *workload.Object) []workload.Place {
	return object.Locate(c.bindings)[c.binding]
}
