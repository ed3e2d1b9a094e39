package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Row 1: not transient, so it is loud at once and nothing is touched. A slot that a person holds is theirs to fix. What a
// newer release has left is nobody's choice, and counters could not be written beside it.

func (e *evaluation) problem() *failure.Error {
	if e.Facts.Newer != nil {
		return e.Facts.Newer
	}
	var problems []*failure.Error
	for _, slot := range e.Slots {
		problems = append(problems, slot.Problem)
	}
	return failure.Worst(problems...)
}

func (e *evaluation) slotInvalid() bool {
	return e.problem() != nil && (!e.Facts.Held || e.Facts.Newer != nil)
}

func (e *evaluation) refuseSlot() found {
	return decided(Decision{Outcome: Failed, Failure: e.problem(), Record: e.read})
}

// Row 2: a person has said so on the workload itself.

func (e *evaluation) onHold() bool { return e.Facts.Held || e.Facts.Paused }

func (e *evaluation) hold() found { return decided(e.held()) }

func (e *evaluation) held() Decision {
	message := "held by the label refresh-hold" + e.Facts.HeldBy + " until a person removes it"
	if !e.Facts.Held {
		message = "the Deployment is paused" + e.Facts.HeldBy + ": refreshed once it is resumed"
	}
	return Decision{Outcome: Held, Message: message, Record: e.read}
}

// Row 3: an empty slot is an outage (I7), so whatever is known to be good goes in at once, unless the configuration says that
// emptiness means something there.

func (e *evaluation) slotEmpty() bool { return e.live == annotate.None }

// latestUsable says whether latest is known, and not rejected here.
func (e *evaluation) latestUsable() bool {
	_, rejected := e.rejection()
	return e.latestKnown() && !rejected
}

// fillGated says whether the gates have a say in what fills the slot.
func (e *evaluation) fillGated() bool {
	return e.latestUsable() && !e.onlyReports(e.Latest.Digest) && e.needsAny()
}

func (e *evaluation) asksToFill() []Question {
	if e.leftEmpty() || !e.fillGated() {
		return nil
	}
	_, open := e.gate()
	return e.asks(open)
}

// leftEmpty says whether all slots are empty, and are to be left so.
func (e *evaluation) leftEmpty() bool { return len(filled(e.every)) == 0 }

func (e *evaluation) fill() found {
	if e.leftEmpty() {
		return decided(Decision{Outcome: Unchanged, Message: "the slot is empty, and left so (whenEmpty: leave)", Record: e.read})
	}
	var gated *failure.Error
	if e.fillGated() {
		gated, _ = e.gate()
	}
	digest := e.Record.Recorded.Digest()
	if e.latestUsable() && gated == nil {
		digest = e.Latest.Digest
	}
	switch {
	case digest == "" && gated != nil:
		return decided(e.skipped(gated, gated))
	case digest == "" && e.latestRejected():
		return e.keepOut()
	case digest == "":
		return e.skipUnresolved()
	case gated != nil && e.onlyReports(digest):
		return decided(e.skipped(gated, gated))
	case e.onlyReports(digest):
		return decided(Decision{Outcome: Pending, Message: "the slot is empty, and the target is notify only", Record: e.Record, Approvable: e.approvable()})
	}
	decision := e.put(digest)
	decision.Gated = gated
	return decided(decision)
}

// Row 4: what runs is taken as it is; nothing that was remembered before the mark means anything (I5, I6, I36). Slots that
// the mark was not written for have not been observed either: whoever made them has reverted nothing.

func (e *evaluation) firstObservation() bool {
	return e.read.Mark == annotate.None && !e.Writers.RecordIsOurs || e.otherSlots()
}

// otherSlots says whether the mark was written for other slots than those that the target has here now.
func (e *evaluation) otherSlots() bool {
	return e.read.Slots != "" && e.read.Slots != e.slotsName()
}

func (e *evaluation) adopt() found {
	d := Decision{Outcome: Adopted, Message: "first observation of " + e.live.Short(), Record: annotate.Record{Mark: e.live, Recorded: e.live}}
	if e.otherSlots() { // what was thrown out of the workload stays out
		d.Message += ": the target has other slots here than before"
		d.Record.State = annotate.State{Rejected: e.read.State.Rejected, Owners: e.read.State.Owners}
	}
	if d.Record = e.observed(d.Record); d.Record.Recorded != e.live {
		d.Message += ", of which all pods run " + d.Record.Recorded.Short()
	}
	return decided(d)
}

// observed is the record with what the pods of an unpinned slot run, where that can be told.
func (e *evaluation) observed(record annotate.Record) annotate.Record {
	if !e.bare() {
		return record
	}
	ran, _ := e.whatRuns()
	if record.State.Runs = ran.noted; ran.content.Digest() != "" {
		record.Recorded = ran.content
	}
	return record
}

// Row 5: a rollout that a tick began and that is not over is continued, not restarted (I3, I10, I19). One that no replica
// runs is not over (I56).

func (e *evaluation) ourRollout() bool { return e.ourUnproven() && !e.betterKnown() }

func (e *evaluation) ourUnproven() bool { return e.ours() && !e.Facts.Rollout.Proven() }

func (e *evaluation) awaitRollout() found { return decided(e.rolloutAwaited()) }

func (e *evaluation) rolloutAwaited() Decision {
	if rejection, rejected := e.rejectionOf(e.live); rejected {
		return e.rejected(rejection)
	}
	d := Decision{Outcome: Waiting, Message: "waiting for the rollout of " + e.live.Short(), Record: e.Record}
	switch {
	case e.settled():
		d.Message = e.noReplica()
	case e.Facts.Rollout.AwaitsDelete:
		d.Message = "updateStrategy OnDelete: " + e.live.Short() + " runs once the old pods have been deleted"
	default:
		d.Wait = e.Record.State.Attempted()
	}
	if e.contestedMeanwhile() {
		d.Failure = e.contested(e.live.Digest())
	}
	return e.stillRejected(e.recordedOverRejected(), d)
}

// noReplica is what an operator is told of a rollout that nothing runs.
func (e *evaluation) noReplica() string {
	return "no replica runs " + e.live.Short() + " yet (scaled to zero, or a partition covers all): recorded once one does"
}

// Row 6: a manual change wins until the tag moves on from what the person left (I8, I9, I44).

func (e *evaluation) manualChange() bool { return e.changed() && e.person != "" }

// changed says whether somebody has changed the slots since the mark was written. Where a digest is recorded beside the mark of
// an unpinned slot, all slots held a tag alone.
func (e *evaluation) changed() bool {
	return !e.live.Same(e.Record.Mark) || e.Record.Mark == annotate.Unpinned && e.Record.Recorded.Digest() != "" && !e.bare()
}

func (e *evaluation) acceptManualChange() found {
	record := annotate.Record{Mark: e.live, Recorded: e.live, State: annotate.State{Rejected: e.Record.State.Unreject(e.live).Rejected, Owners: e.Record.State.Owners}}
	onward := *e
	onward.yielded = true
	onward.Record = record
	onward.Record.State.TurnSince = e.Record.State.TurnSince
	if e.Record.State.Approved == e.Latest.Digest {
		onward.Record.State.Approved = e.Latest.Digest
	}
	replaced := fmt.Sprintf("a person (%s) replaced %s by %s", failure.Clean(e.person), e.Record.Mark.Short(), e.live.Short())
	switch {
	case e.putLatest() && e.live.Is(e.Record.State.Attempted()): // and it was restored since
		return decided(Decision{Outcome: Held, Message: replaced + ", which is latest, and failed here before", Record: record, Rewound: e.undone})
	case e.putLatest():
		return found{onward: &onward}
	}
	movedOn := e.latestKnown()
	for _, content := range e.leftByHand() {
		movedOn = movedOn && !content.Is(e.Latest.Digest)
		record.State = record.State.Reject(annotate.Rejection{Digest: content, By: annotate.ByPerson, Why: e.person, At: e.Now})
	}
	record.State = record.State.Unreject(e.live)
	if movedOn {
		onward.Record.State.Rejected = record.State.Rejected
		onward.events = append(onward.events, Event{Reason: RefreshHeld, Note: replaced + ", and the tag has moved on since"})
		return found{onward: &onward}
	}
	message := replaced + ": held until the tag moves on"
	return decided(Decision{
		Outcome: Held, Message: message, Record: record, Rewound: e.undone, Events: []Event{{Reason: RefreshHeld, Note: message}},
	})
}

// putLatest says whether a person has put latest there, as far as it is known. They have thrown nothing out then.
func (e *evaluation) putLatest() bool {
	if !e.latestKnown() {
		return e.live.Same(e.Record.State.Stood)
	}
	return e.live.Is(e.Latest.Digest)
}

// leftByHand is what a person has left for what they chose: what was there, what we had put there, and latest as the last
// tick saw it, which was about to be.
func (e *evaluation) leftByHand() []annotate.Content {
	stood := e.Record.Mark
	if stood == annotate.Unpinned {
		stood = e.Record.Recorded
	}
	return []annotate.Content{stood, annotate.Of(e.Record.State.Attempted()), e.Record.State.Stood}
}

// Row 7: nothing is known of the tag, so nothing is done, and it is counted (I1, I2).

func (e *evaluation) latestUnknown() bool { return !e.latestKnown() }

func (e *evaluation) skipUnresolved() found { return decided(e.skipped(e.Latest.Failure, nil)) }

// skipped counts towards the target's failures in a row. At its threshold the layer above makes it failed.
func (e *evaluation) skipped(failed, gated *failure.Error) Decision {
	return Decision{Outcome: Skipped, Failure: failed, Gated: gated, Record: e.Record}
}

// Row 8: fresh. Only what is not true any more is written. Of an unpinned slot it depends on what its pods run, and where
// they run something else the rows below decide.

func (e *evaluation) upToDate() bool {
	return e.settled() && (e.mayRunLatest() || e.live.Is(e.Latest.Digest) && !e.ourUnproven() && !e.refusedStands())
}

func (e *evaluation) confirm() found {
	message := ""
	if e.bare() {
		ran, _ := e.whatRuns()
		if ran.failure != nil { // which is not as if nothing ran (I16)
			return decided(Decision{Outcome: Failed, Failure: ran.failure, Record: e.Record})
		}
		if e = e.running(ran); !e.runsLatest(ran) {
			return found{onward: e}
		}
		message = "all pods run " + ran.content.Short() + " already: pinned once a rollout would change what runs"
	}
	fresh := annotate.Of(e.Latest.Digest)
	state := e.Record.State.Unreject(fresh)
	var events []Event
	if attempt := state.Attempt; attempt != nil {
		if fresh.Is(attempt.Digest) { // the tick that put it there has died, or is slower
			events = []Event{e.rolledOut(*attempt)}
		}
		if fresh.Is(attempt.Digest) || attempt.Failed == 0 {
			state.Attempt = nil
		} else { // its failures still count; what stood and served before it is another thing now
			state.Attempt = &annotate.Attempt{Digest: attempt.Digest, Failed: attempt.Failed, Again: attempt.Again, Alone: attempt.Alone, Build: attempt.Build}
		}
	}
	state = e.calmer(state)
	state.Seen, state.TurnSince, state.Overwritten, state.Passed, state.PassedBuild = nil, nil, false, "", image.Build{}
	state = state.Unapprove(e.Latest.Digest)
	if state.Refused != nil && state.Refused.Digest == e.Latest.Digest { // and it has been signed since, or need not be
		state.Refused = nil
	}
	if !e.weOwnSlots() {
		state.Owners = nil
	}
	record := annotate.Record{Mark: e.live, Recorded: fresh, State: state}
	if e.contestedMeanwhile() {
		return decided(Decision{Outcome: Failed, Failure: e.contested(e.Latest.Digest), Record: record, Events: events})
	}
	return decided(Decision{Outcome: Unchanged, Message: message, Record: record, Events: events})
}

// calmer is the state with a count of re-applications that has fallen by one for each two hours without one. So a revert in
// every second tick is found as well as one in each, and a few deployments a day are none (I53, I75).
func (e *evaluation) calmer(state annotate.State) annotate.State {
	if state.ReappliedAt != nil {
		fallen := min(int(e.Now.Sub(*state.ReappliedAt)/contestedFor), state.Reapplied)
		at := state.ReappliedAt.Add(time.Duration(fallen) * contestedFor)
		state.Reapplied, state.ReappliedAt = state.Reapplied-fallen, &at
	}
	if state.Reapplied == 0 {
		state.ReappliedAt = nil
	}
	state.Contested = state.Contested && state.Reapplied >= e.Policy.Reapplications
	return state
}

// Row 9: the digest was tried here, or thrown out by a person; it stays out until the tag moves on.

func (e *evaluation) latestRejected() bool {
	_, rejected := e.rejection()
	return rejected
}

func (e *evaluation) keepOut() found {
	rejection, _ := e.rejection()
	if e.recordedTakenAway() {
		onward := *e
		onward.Latest, onward.rejectedLatest = Latest{Digest: e.Record.Recorded.Digest()}, &rejection
		onward.Record.State.Seen = nil
		return found{onward: &onward}
	}
	d := e.rejected(rejection)
	d.Record.State.Seen, d.Record.State.TurnSince = nil, nil // nothing waits: the next digest's wait begins with itself
	if e.ours() && e.Facts.Rollout.Proven() {                // the tick that put it there has died
		d.Record.Recorded, d.Record.State.Attempt = e.live, nil
	}
	return decided(d)
}

// recordedTakenAway says whether a deployer has replaced what is recorded, which is wanted here as long as latest is rejected,
// unless it is rejected too.
func (e *evaluation) recordedTakenAway() bool {
	_, rejected := e.rejectionOf(e.Record.Recorded)
	return e.Record.Recorded.Digest() != "" && !rejected && !e.live.Same(e.Record.Mark) && !e.live.Same(e.Record.Recorded)
}

// recordedOverRejected is the rejection of latest, where what is recorded is being put back in its place.
func (e *evaluation) recordedOverRejected() *annotate.Rejection {
	rejection, rejected := e.rejection()
	if !rejected || !e.ours() || !e.Record.Recorded.Same(e.live) {
		return nil
	}
	return &rejection
}

// stillRejected is the decision on what is put back while latest is rejected: by failure, it is as loud as without.
func (e *evaluation) stillRejected(latest *annotate.Rejection, d Decision) Decision {
	if latest == nil || latest.By != annotate.ByFailure {
		return d
	}
	switch d.Outcome {
	case Refreshed, Reapplied, Waiting:
		failed := *e.rejected(*latest).Failure
		failed.Message += "; meanwhile: " + d.Message
		d.Outcome, d.Failure = Rejected, &failed
	case Unchanged, Adopted, Held, Deferred, Skipped, Rejected, RolledBack, Failed, Pending:
	}
	return d
}

func (e *evaluation) rejected(rejection annotate.Rejection) Decision {
	since := rejection.At.UTC().Format(time.RFC3339)
	if rejection.By == annotate.ByPerson {
		return Decision{Outcome: Held, Record: e.Record, Message: fmt.Sprintf(
			"%s was rejected by a person (%s) at %s: held until the tag moves on", e.named(rejection.Digest), failure.Clean(rejection.Why), since)}
	}
	fix := "publish a working image under the tag"
	if !rejection.Evidence {
		fix = "no pod has spoken against it, so it is tried again at " + rejection.At.Add(rejectionFor).UTC().Format(time.RFC3339)
	}
	return Decision{Outcome: Rejected, Record: e.Record, Failure: &failure.Error{Cause: failure.RolloutFailed, Fix: fix, Message: fmt.Sprintf(
		"%s was rejected at %s because its rollout failed (%s)", e.named(rejection.Digest), since, failure.CleanEnds(rejection.Why))}}
}

// Row 10: somebody else's rollout, or pods that went away. No new rollout on top of it (I10), but not for
// ever (I11, I45).

func (e *evaluation) foreignRollout() bool {
	if e.settled() || e.ours() {
		return false
	}
	return !e.Facts.Rollout.AwaitsDelete || e.live.Is(e.Latest.Digest)
}

const settleFix = "find out why its pods are not all updated and available, with kubectl describe and kubectl get events"

func (e *evaluation) waitOrUnblock() found {
	if e.Facts.Rollout.AwaitsDelete {
		return decided(Decision{Outcome: Waiting, Record: e.Record, Message: "updateStrategy OnDelete: pods of an old revision await deletion"})
	}
	switch {
	case !e.Unsettled.Reached() && e.failedBefore():
		return decided(Decision{Outcome: Failed, Record: e.Record, Skip: e.countsUnsettled(), Failure: &failure.Error{
			Cause: failure.NotSettled, Fix: settleFix,
			Message: fmt.Sprintf("the rollout of %s failed, and what is there now is not settled", e.Record.State.Attempted().Short()),
		}})
	case !e.Unsettled.Reached():
		return decided(Decision{Outcome: Waiting, Record: e.Record, Skip: e.countsUnsettled(), Message: fmt.Sprintf(
			"not settled, and not by us: no rollout on top of it, %s", e.Unsettled)})
	case e.betterKnown() && !e.tried():
		onward := *e
		onward.unblockAttempt, onward.skip = true, e.countsUnsettled()
		return found{onward: &onward}
	default:
		return decided(e.frozen())
	}
}

// failedBefore says whether a failed attempt is remembered, which is not rejected yet: what was restored is not up (Q18).
func (e *evaluation) failedBefore() bool {
	attempt := e.Record.State.Attempt
	if attempt == nil {
		return false
	}
	_, rejected := e.rejectionOf(annotate.Of(attempt.Digest))
	return attempt.Failed > 0 && !rejected
}

// tried says whether latest has been put here to unblock the workload, in vain, since it was settled last.
func (e *evaluation) tried() bool { return e.Record.State.UnblockFailed == e.Latest.Digest }

// countsUnsettled counts this tick among those in which the workload was not settled, unless another one has.
func (e *evaluation) countsUnsettled() SkipChange {
	if e.Unsettled.ByUs {
		return SkipCount
	}
	return SkipKeep
}

func (e *evaluation) frozen() Decision {
	failed := &failure.Error{Cause: failure.NotSettled, Fix: settleFix, Message: fmt.Sprintf(
		"not settled for %d ticks (threshold %d), which freezes %s", e.Unsettled.N, e.Unsettled.Of, strings.Join(e.Facts.Targets, ", "))}
	d := Decision{Outcome: Failed, Failure: failed, Record: e.Record, Skip: e.countsUnsettled()}
	if e.Unsettled.JustReached() {
		d.Events = []Event{about(RefreshFrozen, failed)}
	}
	return d
}
