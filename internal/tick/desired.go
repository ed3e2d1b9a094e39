package tick

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// desired is what every slot should hold, for those who commit it in place of having it patched: all slots, not those
// alone that would change, so that what is committed is whole each time.
func (r reporter) desired(e ended) result.Desired {
	wanted := result.Desired{Values: map[string]string{}}
	disputed := map[string]bool{} // values whose workloads want different digests
	for at, w := range r.workloads {
		var change workload.Change
		// Where the configuration names no namespace, neither do manifests that get theirs from an overlay.
		ref := workload.Ref{Kind: w.ref.Kind, Name: w.ref.Name}
		for i, binding := range w.bindings {
			digests := digestsFor(e, place{at, i})
			if digests == nil {
				wanted.Unknown = append(wanted.Unknown, binding.Target.Name+" on "+w.ref.String())
				continue
			}
			for n, found := range e.outcomes[at].reading.places[i] {
				if found.Slot.Left {
					continue
				}
				change.Slots = append(change.Slots, workload.SlotChange{Slot: found.Slot, Digest: digests[n]})
				entry := binding.Entries[n]
				ref.Namespace = cmp.Or(ref.Namespace, entry.Namespace)
				if entry.HelmValue == "" {
					wanted.Unnamed = append(wanted.Unnamed, binding.Target.Name+" on "+w.ref.String())
					continue
				}
				text := string(digests[n])
				if entry.Reference {
					text = found.Slot.Value(digests[n])
				}
				before, known := wanted.Values[entry.HelmValue]
				disputed[entry.HelmValue] = disputed[entry.HelmValue] || known && before != text
				wanted.Values[entry.HelmValue] = text
			}
		}
		if len(change.Slots) > 0 {
			wanted.Patches = append(wanted.Patches, change.Manifest(ref))
		}
	}
	for _, value := range slices.Sorted(maps.Keys(disputed)) {
		if disputed[value] {
			delete(wanted.Values, value)
			wanted.Unknown = append(wanted.Unknown, "the value "+value+", whose workloads want different digests,")
		}
	}
	return wanted
}

// digestsFor are the digests that a binding's slots should hold: what a run would put there; latest, where nothing speaks
// against it; else what they hold. There are none where a slot cannot be worked with, or nothing is known to be good.
func digestsFor(e ended, p place) []image.Digest {
	o := e.outcomes[p.workload]
	if o.failure != nil || o.decisions == nil {
		return nil
	}
	places := o.reading.places[p.binding]
	if slices.ContainsFunc(places, func(found workload.Place) bool { return found.Problem != nil }) {
		return nil
	}
	d := o.decisions[p.binding]
	if d.Rolls() {
		return d.Set
	}
	digest := liveIn(places)
	switch d.Outcome {
	case decide.Adopted, decide.Pending, decide.Unchanged:
		if latest := e.latest[p.workload][p.binding]; latest.Failure == nil && latest.Digest != "" {
			digest = latest.Digest
		}
	case decide.Refreshed, decide.Reapplied, decide.Held, decide.Deferred, decide.Skipped, decide.Waiting, decide.Rejected, decide.RolledBack, decide.Failed:
	}
	if digest == "" {
		return nil
	}
	return slices.Repeat([]image.Digest{digest}, len(places))
}
