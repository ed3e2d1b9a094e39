package tick

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Preview is what a tick would find, and what it would make of it.
type Preview struct {
	Warnings    []string // about tags that promise nothing
	Queries     []resolver.Query
	Answers     []resolver.Answer // by query
	Stale       []*failure.Error  // of the targets whose latest has not changed for too long
	Bindings    []BindingPreview  // in the order of the targets
	Patches     []Patch
	Signatures  []Signature
	Leftovers   []Leftover
	Interrupted bool // nothing was decided
}

// BindingPreview is what a tick would make of a target on a workload.
type BindingPreview struct {
	Target   config.Target
	Ref      workload.Ref
	Place    string           // names the slots within the workload
	Object   *workload.Object // nil where it could not be read
	Slots    []workload.Slot  // those that can be worked with
	Query    int              // the first of the queries by which it is resolved; -1: none
	AsPods   []credential.Name
	Outcome  decide.Outcome
	Failure  *failure.Error
	Message  string
	Unsolved bool           // its failure is that its image is not resolved
	Gone     *failure.Error // what its slots hold is no longer in the registry
	Doubts   []*failure.Error
}

// Patch is what is to be written next to a workload that could be read.
type Patch struct {
	Ref    workload.Ref
	Change workload.Change
	Due    bool // else it changes nothing
}

// Refs are the workloads of the configuration, in its order.
func (r *Runner) Refs() []workload.Ref {
	var refs []workload.Ref
	for _, w := range newLayout(r.Config, r.Namespace).workloads {
		refs = append(refs, w.ref)
	}
	return refs
}

// Longest is how long a tick with this ROLLOUT_TIMEOUT may take, whatever hangs.
func Longest(rolloutTimeout time.Duration) time.Duration { return 2*rolloutTimeout + Margin }

// Preview reads, resolves and decides as a tick does, and writes nothing.
func (r *Runner) Preview(ctx context.Context) Preview {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	t := r.tick()
	read := t.gather(ctx)
	t = t.clocked(ctx, read)
	resolved := t.resolve(ctx, read)
	preview := Preview{Warnings: t.floating(read), Queries: resolved.queries, Answers: resolved.answers, Leftovers: t.leftovers(read), Interrupted: ctx.Err() != nil}
	e := undecided(read, resolved)
	var gone [][]*failure.Error
	if !preview.Interrupted {
		planned := t.plan(ctx, read, resolved)
		e, gone = unwritten(planned, false), t.gone(ctx, planned)
		preview.Signatures = t.signatures(ctx, planned)
		preview.Patches = t.patches(planned, t.following(ctx, planned))
	}
	for target := range t.targets {
		if stale := e.targets[target].Stale; stale != nil {
			preview.Stale = append(preview.Stale, stale)
		}
		for _, p := range t.places[target] {
			binding := t.preview(e, p)
			if gone != nil {
				binding.Gone = gone[p.workload][p.binding]
			}
			preview.Bindings = append(preview.Bindings, binding)
		}
	}
	return preview
}

// patches are the next for each workload: what this tick is to write, or the one after a first observation, or the one in which
// MAX_ROLLOUTS, the target's window, its minAge or a person lets latest in. Each has what is ours on the workload as it is, so that
// the answer tells whether that is left alone.
func (t *tick) patches(p plan, following []*decide.Step) []Patch {
	var patches []Patch
	for at, step := range p.steps {
		if step == nil {
			continue
		}
		steps := []decide.Step{*step}
		if !step.Turn {
			steps[0] = t.rules.Again(p.targets, *p.workloads[at], true)
		}
		if following[at] != nil {
			steps = append(steps, *following[at])
		}
		patches = append(patches, t.patch(p.readings[at], p.latest[at], steps))
	}
	return patches
}

// patch is the one that has the changes of some steps, a later one over an earlier one, with latest in the slots for which a step
// lets it wait.
func (t *tick) patch(read reading, latest []decide.Latest, steps []decide.Step) Patch {
	patch := Patch{Ref: read.object.Ref, Change: t.records(read.object)}
	slots, digests := workload.Slots(read.places), map[string]image.Digest{} // by the slot's key
	for _, step := range steps {
		change := read.object.Change(step.Change, read.places)
		patch.Due = patch.Due || !change.Empty()
		maps.Copy(patch.Change.Labels, change.Labels)
		maps.Copy(patch.Change.Annotations, change.Annotations)
		for _, slot := range change.Slots {
			digests[slot.Slot.Key()] = slot.Digest
		}
		for i, d := range step.Decisions {
			waits := d.Approvable
			if d.Outcome == decide.Deferred {
				waits = latest[i].Digest
			}
			for _, slot := range slots[i] {
				if waits != "" {
					digests[slot.Key()] = waits
				}
			}
		}
	}
	patch.Due = patch.Due || len(digests) > 0
	for _, slot := range slices.Concat(slots...) {
		if digest := cmp.Or(digests[slot.Key()], slot.Live.Digest()); digest != "" {
			patch.Change.Slots = append(patch.Change.Slots, workload.SlotChange{Slot: slot, Digest: digest})
		}
	}
	return patch
}

// records are the labels and annotations that are ours on a workload, as they are.
func (t *tick) records(object *workload.Object) workload.Change {
	change := workload.Change{Labels: map[string]string{}, Annotations: map[string]string{}}
	labels, annotations := t.keys.Own(object.Meta.Labels, object.Meta.Annotations)
	for _, key := range labels {
		change.Labels[key] = object.Meta.Labels[key]
	}
	for _, key := range annotations {
		change.Annotations[key] = object.Meta.Annotations[key]
	}
	return change
}

func (t *tick) preview(e ended, p place) BindingPreview {
	o, w := e.outcomes[p.workload], t.workloads[p.workload]
	binding := w.bindings[p.binding]
	out := BindingPreview{Target: binding.Target, Ref: w.ref, Object: o.reading.object, Query: -1, Failure: o.failure}
	var names []string
	for at, entry := range binding.Entries {
		container := entry.Container
		if o.reading.object != nil {
			if found := o.reading.places[p.binding][at]; found.Problem == nil {
				container = found.Slot.Container
				out.Slots = append(out.Slots, found.Slot)
				if doubt := o.reading.object.Doubt(found.Slot, t.keys, binding.Target.Name); doubt != nil {
					out.Doubts = append(out.Doubts, doubt)
				}
			}
		}
		names = append(names, strings.Trim(container+"/"+entry.Env, "/"))
	}
	out.Place = strings.Join(names, ", ")
	if asked := e.asked[p.workload][p.binding]; len(asked) > 0 {
		out.Query = asked[0]
		out.AsPods = secretsOfPods(w.ref, o.reading)
	}
	if o.decisions == nil {
		return out
	}
	d, latest := o.decisions[p.binding], e.latest[p.workload][p.binding]
	out.Outcome, out.Failure, out.Message = d.Outcome, d.Failure, d.Message
	out.Unsolved = latest.Failure != nil && d.Failure == latest.Failure
	if d.Rolls() && !d.Outcome.NeedsAttention() {
		out.Outcome = decide.Pending
	}
	return out
}

// InImageMode says whether the pods of the workload pull the image.
func (b BindingPreview) InImageMode() bool {
	return slices.ContainsFunc(b.Slots, func(slot workload.Slot) bool { return slot.Env == "" })
}
