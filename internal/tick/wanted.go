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

// wanted is what every slot should hold, for those who commit it in place of having it patched: all slots, not those
// alone that would change, so that what is committed is whole each time.
func (t *tick) wanted() result.Wanted {
	wanted := result.Wanted{Values: map[string]string{}}
	disputed := map[string]bool{} // values whose workloads want different digests
	for _, j := range t.jobs {
		var change workload.Change
		// Where the configuration names no namespace, neither do manifests that get theirs from an overlay.
		ref := workload.Ref{Kind: j.ref.Kind, Name: j.ref.Name}
		for _, m := range j.members {
			digest := m.wanted()
			if digest == "" || j.object == nil {
				wanted.Unknown = append(wanted.Unknown, m.target.Name+" on "+j.ref.String())
				continue
			}
			for at, slot := range m.slots {
				change.Slots = append(change.Slots, workload.SlotChange{Slot: slot, Digest: digest})
				entry := m.entries[at]
				ref.Namespace = cmp.Or(ref.Namespace, entry.Namespace)
				if entry.HelmValue == "" {
					wanted.Unnamed = append(wanted.Unnamed, m.target.Name+" on "+j.ref.String())
					continue
				}
				text := string(digest)
				if entry.Reference {
					text = slot.Value(digest)
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

// wanted is the digest that a member's slots should hold: what a run would put there; latest, where nothing speaks
// against it; else what they hold. It is empty where a slot cannot be worked with, or nothing is known to be good.
func (m *member) wanted() image.Digest {
	if m.job.failure != nil {
		return ""
	}
	for _, problem := range m.problems {
		if problem != nil {
			return ""
		}
	}
	if m.decision.Set != "" {
		return m.decision.Set
	}
	switch m.decision.Outcome {
	case decide.Adopted, decide.Pending, decide.Unchanged:
		if m.latest.Failure == nil && m.latest.Digest != "" {
			return m.latest.Digest
		}
	case decide.Refreshed, decide.Reapplied, decide.Held, decide.Deferred, decide.Skipped, decide.Waiting, decide.Rejected, decide.RolledBack, decide.Failed:
	}
	return m.slotsLive().Digest()
}
