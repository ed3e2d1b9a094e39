package decide

import (
	"fmt"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Wait is what a tick waited for, as it was when the wait began, and how the wait ended.
type Wait struct {
	Digest      image.Digest   // what was waited for
	Contested   *failure.Error // that it was put there although somebody keeps reverting it, and who; nil where nobody does
	Joint       bool           // several targets changed in this rollout: whose fault it is, is not known
	RestoredToo bool           // another target of this rollout is restored, and so is this one
	Interrupted bool           // the tick was told to end
	Namespace   string         // for the command that deletes a pod
}

// Conclude decides after the wait. Its input was read again after the wait, but for Began, which is the record when the
// wait began. All its ConclusionQuestions must have been answered.
func Conclude(in Input, wait Wait) Decision {
	e := evaluationAfter(in)
	d := e.afterWait(wait)
	if e.records != nil && !d.Outcome.NeedsAttention() {
		d.Outcome, d.Failure = Failed, e.records
		d.Events = append(d.Events, about(RefreshContested, e.records))
	}
	return d
}

// evaluationAfter is the input of a conclusion with what follows from it. Where somebody else has changed our records since
// the wait began, what this tick remembers of them is written anew (I55).
func evaluationAfter(in Input) *evaluation {
	e := newEvaluation(in)
	if !e.changedMeanwhile() {
		return e
	}
	in.Record = in.Began
	restored := newEvaluation(in)
	if failed, person := e.recordsContested(); !person {
		restored.records = failed
	}
	return restored
}

// changedMeanwhile says whether somebody else has changed our records since the wait began. The mark was there then.
func (e *evaluation) changedMeanwhile() bool {
	if e.Began.Mark == annotate.None || e.problem() != nil || e.onHold() {
		return false
	}
	return e.read.Mark == annotate.None || e.recordsChanged() || e.Writers.Mark.Manager != "" && !e.read.Mark.Same(e.Began.Mark)
}

func (e *evaluation) afterWait(wait Wait) Decision {
	d := e.stillRejected(e.recordedOverRejected(), e.conclude(wait))
	d.Record.State = e.stood(d)
	d.Record.Slots = e.markedSlots(d)
	d.Record.Build = e.buildOf(d.Record.Recorded)
	d.Set = e.inEvery(d.Set)
	return d
}

// ending is how a wait ended.
type ending int

const (
	slotGone ending = iota
	superseded
	concludedElsewhere
	proven
	holdBegan
	noReplica
	awaitsDelete
	interrupted
	progressed
	almostReady
	failed      // which counts against the digest
	hangs       // which does not
	unexplained // the pods are to be asked why
)

func (e *evaluation) ending(wait Wait) ending {
	rollout := e.Facts.Rollout
	switch {
	case e.slotInvalid():
		return slotGone
	case e.problem() != nil: // on hold, or it would be gone
		return holdBegan
	case !e.live.Is(wait.Digest):
		return superseded
	case !e.ours():
		return concludedElsewhere
	case rollout.Proven():
		return proven
	case e.onHold(): // since the rollout began: neither counted nor restored
		return holdBegan
	case rollout.Settled:
		return noReplica
	case rollout.AwaitsDelete:
		return awaitsDelete
	case wait.Interrupted:
		return interrupted
	case rollout.Failure == "" && rollout.Fresh > e.freshBefore(wait.Digest):
		return progressed
	}
	if _, asked := e.Answers[Question{Kind: WhyNotReady}]; !asked {
		return unexplained
	}
	return e.byPods(wait)
}

// freshBefore is how many replicas any tick before this one has seen updated and available. Where another tick has put the digest
// there again meanwhile, its rollout has begun anew.
func (e *evaluation) freshBefore(digest image.Digest) int {
	began, now := e.Began.State.Attempt, e.Record.State.Attempt
	if began == nil || now == nil || began.Digest != digest {
		return 0
	}
	return min(began.Fresh, now.Fresh)
}

func (e *evaluation) conclude(wait Wait) Decision {
	waiting := Decision{Outcome: Waiting, Record: e.Record}
	switch e.ending(wait) {
	case slotGone:
		return Decision{Outcome: Failed, Failure: e.problem(), Record: e.Record}
	case superseded:
		return e.superseded(wait)
	case concludedElsewhere:
		return e.concluded(wait)
	case proven:
		return e.record(wait)
	case holdBegan:
		return e.held()
	case noReplica:
		waiting.Message = e.noReplica()
	case awaitsDelete:
		waiting.Message = "updateStrategy OnDelete: the new digest runs once the old pods have been deleted"
	case interrupted:
		waiting.Message = "the tick was told to end: the next one continues"
	case progressed:
		return e.progressing()
	case almostReady:
		return e.almost(wait)
	case failed:
		return e.fail(wait)
	case hangs, unexplained:
		return e.notSettled(wait)
	}
	return waiting
}

// record is the only place where a digest becomes recorded: it is settled, a replica has run it, and it is still in the
// slots (I4, I56).
func (e *evaluation) record(wait Wait) Decision {
	state := e.Record.State.Unreject(e.live)
	d := e.withBuilds(Decision{Outcome: Refreshed, Message: wait.Digest.Short() + " is rolled out"}, e.replaced(wait.Digest), wait.Digest)
	attempt := *state.Attempt
	if attempt.Again {
		d.Outcome = Reapplied
	}
	if state.Contested && attempt.Again {
		d.Outcome, d.Failure = Failed, wait.Contested
		if d.Failure == nil { // the tick that put it there has died
			d.Failure = e.contested(wait.Digest)
		}
	}
	d.Events = []Event{e.rolledOut(attempt)}
	state.Attempt = nil
	state = state.Unapprove(wait.Digest)
	if state.Seen != nil && state.Seen.Digest == wait.Digest { // of another one, the age goes on
		state.Seen = nil
	}
	if !e.weOwnSlots() {
		state.Owners = nil
	}
	d.Record = annotate.Record{Mark: e.live, Recorded: e.live, State: state}
	if e.Unsettled.before() > 0 {
		d.Skip = SkipClear
	}
	return d
}

// rolledOut is the Event of a digest that is being recorded.
func (e *evaluation) rolledOut(attempt annotate.Attempt) Event {
	event := Event{Reason: DigestRefreshed, Note: attempt.Digest.Short() + " is rolled out"}
	if attempt.Again {
		event.Reason = DigestReapplied
	}
	then := ": "
	if attempt.Back {
		event.Note += ": the tag has moved back to it"
		then = ", "
	}
	if e.Record.State.Approved == attempt.Digest {
		event.Note += ", as a person has approved"
	}
	if builds := e.builds(e.replaced(attempt.Digest), attempt.Digest); builds != "" {
		event.Note += then + builds
	}
	return event
}

// concluded: the slots hold the digest, and it is no tick's attempt any more: another tick was faster, or its
// restoration was undone.
func (e *evaluation) concluded(wait Wait) Decision {
	if e.settled() && e.Record.Recorded.Is(wait.Digest) && wait.Contested != nil {
		return Decision{Outcome: Failed, Failure: wait.Contested, Record: e.Record}
	}
	if e.settled() && e.Record.Recorded.Is(wait.Digest) {
		return Decision{Outcome: Refreshed, Message: wait.Digest.Short() + " is rolled out", Record: e.Record}
	}
	return Decision{Outcome: Waiting, Message: "another tick, or somebody else, was faster: the next one decides", Record: e.Record}
}

// superseded: the slots hold something else by now.
func (e *evaluation) superseded(wait Wait) Decision {
	state := e.Record.State
	d := Decision{Outcome: Waiting, Record: e.Record}
	switch {
	case e.live.Same(e.Record.Mark):
		d.Message = "another tick has moved on to " + e.live.Short()
		_, rejected := state.Rejection(annotate.Of(wait.Digest))
		if rejected || state.Attempted() == wait.Digest && state.Attempt.Failed > 0 {
			d.Outcome = RolledBack
			d.Failure = &failure.Error{Cause: failure.RolloutFailed, Message: fmt.Sprintf(
				"the rollout of %s failed, and another tick restored %s", wait.Digest.Short(), e.live.Short())}
		}
	case e.person != "":
		d.Outcome = Held
		d.Message = fmt.Sprintf("a person (%s) replaced %s while it was rolling out", failure.Clean(e.person), wait.Digest.Short())
	default:
		who := "somebody"
		if e.deployer != "" {
			who = "the field manager " + failure.Clean(e.deployer)
		}
		d.Message = fmt.Sprintf("%s reverted %s while it was rolling out: the next tick re-applies it", who, wait.Digest.Short())
		if attempt := state.Attempt; attempt != nil && attempt.Digest == wait.Digest && !attempt.Reverted {
			reverted := *attempt
			reverted.Reverted = true
			d.Record.State.Attempt = &reverted
			d.Record.State.Reapplied = min(d.Record.State.Reapplied+1, e.Policy.Reapplications)
			now := e.Now
			d.Record.State.ReappliedAt = &now
		}
	}
	return d
}

// progressing: progress is not failure, and failed attempts are forgotten (I43, I52), but it is counted.
func (e *evaluation) progressing() Decision {
	attempt := *e.Record.State.Attempt
	attempt.Fresh, attempt.Failed = max(attempt.Fresh, e.Facts.Rollout.Fresh), 0
	record := e.Record
	record.State.Attempt = &attempt
	if e.Unsettled.Reached() {
		d := e.frozen()
		d.Record = record
		return d
	}
	return Decision{Outcome: Waiting, Record: record, Skip: e.countsUnsettled(), Message: fmt.Sprintf(
		"the rollout of %s goes on: further replicas became available, %s", e.live.Short(), e.Unsettled)}
}

// byPods is how a wait ended for a rollout that is not settled and has not progressed as far as the controller says.
func (e *evaluation) byPods(wait Wait) ending {
	pods := e.podProblems()
	switch {
	case pods.AllReady:
		return almostReady
	case pods.Unreadable, e.evidence():
		return failed
	case e.Facts.Rollout.Fresh > e.freshBefore(wait.Digest): // whatever the controller reports
		return progressed
	case wait.RestoredToo, pods.MayHangOnDigest && e.tookDown():
		return failed
	default:
		return hangs
	}
}

// evidence says whether pods speak against the digest.
func (e *evaluation) evidence() bool {
	pods := e.podProblems()
	return e.Binding < len(pods.Evidence) && pods.Evidence[e.Binding]
}

// crashed says whether they ran it, and it ended by itself.
func (e *evaluation) crashed() bool {
	pods := e.podProblems()
	return e.Binding < len(pods.Crashed) && pods.Crashed[e.Binding]
}

// tookDown says whether a service that served before the first attempt went down: fewer replicas are available than served
// then. Where another number is wanted now, only none at all counts: what was never there was not taken down (I39, I85).
func (e *evaluation) tookDown() bool {
	attempt, rollout := e.Record.State.Attempt, e.Facts.Rollout
	switch {
	case attempt == nil || attempt.Served == 0:
		return false
	case attempt.Wanted != rollout.Desired:
		return rollout.Available == 0
	default:
		return rollout.Available < attempt.Served
	}
}

// almost: all containers are ready, and the digest is not to blame for what is still waited for (I83).
func (e *evaluation) almost(wait Wait) Decision {
	if e.Unsettled.Reached() {
		d := e.frozen()
		d.Failure.Message += e.inBrackets()
		return d
	}
	return Decision{Outcome: Waiting, Record: e.Record, Skip: e.countsUnsettled(), Message: fmt.Sprintf(
		"all containers with %s are ready, and minReadySeconds or a readiness gate is waited for%s, %s", wait.Digest.Short(), e.inBrackets(), e.Unsettled)}
}

// notSettled: nothing speaks against the digest, so it is not blamed. The rollout stays, and goes on (I49, I50).
func (e *evaluation) notSettled(wait Wait) Decision {
	return Decision{Outcome: Failed, Record: e.Record, Failure: &failure.Error{
		Cause: failure.NotSettled, Fix: e.orDeletePods(wait, "see to what holds it up"),
		Message: fmt.Sprintf("the rollout of %s is not settled%s: no pod speaks against the digest, so it stays and goes on", e.named(annotate.Of(wait.Digest)), e.inBrackets()),
	}}
}

// inBrackets are the reasons, as they stand in a sentence; nothing where there are none.
func (e *evaluation) inBrackets() string {
	why := reasons(e.Facts.Rollout, e.podProblems())
	if len(why) == 0 {
		return ""
	}
	return " (" + joined(why) + ")"
}

func (e *evaluation) podProblems() PodProblems { return e.Answers[Question{Kind: WhyNotReady}].Pods }
