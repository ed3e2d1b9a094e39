package decide

import (
	"fmt"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Row 4a: nobody but this program writes its records. Where somebody else has written or removed them, no failure would ever
// add up, and no digest be put back, so it is loud (I54, I55). What any tick leaves is of a piece: mark and slots, and the
// mark is recorded or attempted.

// recordsChanged says whether somebody else has changed our records. A person who undoes takes the annotations back
// and leaves the mark, which is then another than what the slots hold; one who removes the state leaves what is recorded.
func (e *evaluation) recordsChanged() bool {
	record := e.read
	// A mark of an earlier release beside a record that is not ours either was moved along with the workload.
	written := e.Writers.Mark.Manager != "" && (record.Slots != "" || e.Writers.RecordIsOurs)
	switch {
	case record.Mark == annotate.None, e.live == annotate.None: // what is empty is filled, and all is written anew
		return record.Mark == annotate.None && e.Writers.RecordIsOurs
	case !e.live.Same(record.Mark):
		return written
	case record.Mark == annotate.Unpinned:
		return record.Recorded == annotate.None
	case record.Torn():
		return written || record.Recorded == annotate.None || !record.State.WithoutTold().Empty()
	default: // slot, mark and record together, from a copy of the workload; said once, since they may stay as they are
		return written && record.Slots != "" && e.latestUsable() && e.outdated() && !record.State.Overwritten
	}
}

// writeRecordsAnew takes what the slots hold for what stands there. It puts nothing anywhere; a rollout of ours is waited for,
// counted and taken back all the same.
func (e *evaluation) writeRecordsAnew() found {
	anew := *e
	anew.Record = e.recordsAnew()
	failed, person := e.recordsContested()
	if person {
		return decided(Decision{Outcome: Adopted, Record: anew.Record, Message: failed.Error()})
	}
	d := Decision{Record: anew.Record}
	if anew.ourUnproven() {
		d = anew.rolloutAwaited()
	}
	d.Outcome, d.Failure = Failed, failed
	d.Events = append(d.Events, about(RefreshContested, failed))
	return decided(d)
}

// recordsAnew are the records for what the slots hold. A digest that is not recorded may never have been proven: it counts as
// attempted, unless it is what is wanted there, or nothing else is known, and it is proven now.
func (e *evaluation) recordsAnew() annotate.Record {
	record := annotate.Record{Mark: e.live, Slots: e.read.Slots, Recorded: e.read.Recorded, State: e.read.State}
	record.State.Overwritten = e.Writers.Mark.Manager != "" && e.live.Same(e.read.Mark) // and the label stays as it is
	proven := e.Facts.Rollout.Proven() && (e.live.Is(e.Latest.Digest) || record.Recorded == annotate.None)
	switch {
	case e.live.Digest() == "":
		record.Recorded = e.live
		if e.Facts.Rollout.Proven() { // what its pods run may be what they crash with
			record = e.observed(record)
		}
	case record.Recorded.Same(e.live):
	case proven:
		record.Recorded = e.live
		if record.State.Attempted() == e.live.Digest() {
			record.State.Attempt = nil
		}
	case record.State.Attempted() != e.live.Digest():
		record.State.Attempt = &annotate.Attempt{Digest: e.live.Digest()}
	}
	return record
}

// recordsContested says who has changed our records, as far as that is known, and whether it was a person: by an undo to a
// revision from before the install, or on the record itself.
func (e *evaluation) recordsContested() (failed *failure.Error, person bool) {
	what, who := "", Writer{}
	gone := e.Keys.Recorded
	switch writers := e.Writers; {
	case writers.Mark.Manager != "":
		what, who = fmt.Sprintf("the label %s was written by the field manager %s", e.Keys.Mark, failure.Clean(writers.Mark.Manager)), writers.Mark
	case writers.Recorded.Manager != "":
		what, who = fmt.Sprintf("the annotation %s was written by the field manager %s", e.Keys.Recorded, failure.Clean(writers.Recorded.Manager)), writers.Recorded
	default:
		if who = writers.Template; e.read.Mark == annotate.None {
			gone = e.Keys.Mark
		}
		what = gone + " or what belongs to it was removed, which leaves no trace"
		if who.Manager != "" {
			what += fmt.Sprintf("; the pod template was last written by the field manager %s", failure.Clean(who.Manager))
		}
	}
	if who.Person {
		return &failure.Error{Cause: failure.Contested, Message: "our records were changed by a person: " + what + "; they are written anew for " + e.live.Short()}, true
	}
	return &failure.Error{Cause: failure.Contested, Message: "somebody changes our records: " + what +
		" (they are written anew, and nothing is rolled out in this tick)", Fix: "have it leave our labels and annotations alone, and take them out of what it applies"}, false
}
