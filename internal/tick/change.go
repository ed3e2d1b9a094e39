package tick

import (
	"maps"
	"reflect"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// change is what members of a workload decided, and the counters that stand on it, as one write against the
// object as it is now. Only what differs from the object is in it.
func (t *tick) change(j *job, members []*member, counters bool) workload.Change {
	change := workload.Change{Labels: map[string]string{}, Annotations: map[string]string{}}
	for _, m := range members {
		record := m.decision.Record
		if m.decision.Set != "" {
			record.State.Owners = owners(j, m.slots, record.State.Owners)
			for _, slot := range m.slots {
				change.Slots = append(change.Slots, workload.SlotChange{Slot: slot, Digest: m.decision.Set})
			}
		}
		if counters && m.target.home == j {
			t.countInto(change, m.target, &record.State)
		}
		m.decision.Record = record
		if m.decision.Row == untouched && reflect.DeepEqual(record, m.input.Record) {
			continue
		}
		name := m.target.Name
		differ(change.Labels, j.object.Meta.Labels, t.keys.Mark(name), record.Mark.Mark())
		differ(change.Annotations, j.object.Meta.Annotations, t.keys.State(name), record.State.String())
		if record.Recorded.Digest() != "" || record.Recorded == annotate.None || record.Recorded == annotate.Unpinned {
			differ(change.Annotations, j.object.Meta.Annotations, t.keys.Recorded(name), string(record.Recorded))
		}
	}
	differ(change.Annotations, j.object.Meta.Annotations, t.keys.SkipStreak(), annotate.FormatCount(skipStreak(j, members)))
	return change
}

// untouched is the row of the decision table that leaves even garbage alone: the workload is not what was meant.
const untouched = 1

// differ adds a value to a change where the object has another.
func differ(values, stored map[string]string, key, value string) {
	if stored[key] != value {
		values[key] = value
	}
}

// owners notes, in the patch that takes the slots, who owned each by server-side apply, so that they can be
// handed back (FACTS.md). A slot that is still ours has its owners noted already.
func owners(j *job, slots []workload.Slot, noted map[string][]string) map[string][]string {
	all := maps.Clone(noted)
	if all == nil {
		all = map[string][]string{}
	}
	for _, slot := range slots {
		if _, known := all[slot.Key()]; !known || !j.object.Claimed(slot) {
			all[slot.Key()] = j.object.Appliers(slot)
		}
	}
	return all
}

// countInto puts a target's failures in a row into the change of its first workload.
func (t *tick) countInto(change workload.Change, own *target, state *annotate.State) {
	own.written = t.failuresOf(own)
	if own.failure == nil && own.written > 0 { // it was not asked for: what is known of it stays
		return
	}
	lastError := ""
	if own.written >= own.ResolveFailureThreshold {
		lastError = string(own.failure.Cause) + ": " + own.failure.Advice()
	}
	if own.written > t.failuresBefore(own) {
		state.Counted = &annotate.Counted{By: t.id, At: t.Now()}
	}
	annotations := own.home.object.Meta.Annotations
	differ(change.Annotations, annotations, t.keys.Failures(own.Name), annotate.FormatCount(own.written))
	differ(change.Annotations, annotations, t.keys.LastError(own.Name), lastError)
}

// skipStreak is the workload's skip streak as its members leave it: a tick counts once for all of them.
func skipStreak(j *job, members []*member) int {
	streak := j.skip
	for _, m := range members {
		switch m.decision.Skip {
		case decide.SkipCount:
			return j.skip + 1
		case decide.SkipClear:
			streak = 0
		case decide.SkipKeep:
		}
	}
	return streak
}
