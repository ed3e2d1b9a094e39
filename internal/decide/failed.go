package decide

import (
	"fmt"
	"strings"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// failedAttempt is what a failed rollout comes to, as far as nobody needs to be asked for it.
type failedAttempt struct {
	annotate.Attempt
	count    Count
	enough   bool   // the digest is to be rejected
	restored []Slot // what a restoration would put into the slots
	restore  bool   // it is time for one
}

// attemptFailed counts an attempt, and says whether it is time to reject and to restore (I13, I39).
func (e *evaluation) attemptFailed(wait Wait) failedAttempt {
	began := 0
	if attempt := e.Began.State.Attempt; attempt != nil && attempt.Digest == wait.Digest {
		began = attempt.Failed
	}
	f := failedAttempt{Attempt: *e.Record.State.Attempt}
	f.count = Increment(began, f.Failed, e.Policy.RolloutFailures)
	if !f.count.ByUs {
		return f
	}
	f.count.N = min(f.count.N, f.count.Of)
	f.Failed = f.count.N
	down := e.tookDown()
	// Where the workload was not settled before, for reasons of its own, this proves nothing.
	f.enough = (f.count.Reached() || down && e.crashed()) && !f.Unblock
	restored, restorable := e.whatSlotsHeld(f.Attempt)
	f.restored, f.restore = restored, restorable && (f.count.Reached() && !f.Unblock || down || wait.RestoredToo)
	return f
}

// goneOf is one of the digests to restore that the registry no longer has; none where it has all, or does not say.
func (e *evaluation) goneOf(restored []Slot) annotate.Content {
	for _, slot := range restored {
		answer, asked := e.Answers[Question{Kind: StillServed, Digest: slot.Live.Digest()}]
		if asked && !answer.Yes && answer.Failure == nil {
			return slot.Live
		}
	}
	return annotate.None
}

// fail counts an attempt, and rejects and restores where it is time. What the registry no longer has replaces nothing that
// serves: pods would start only where a node still has it (I61).
func (e *evaluation) fail(wait Wait) Decision {
	f := e.attemptFailed(wait)
	if !f.count.ByUs {
		return Decision{Outcome: Failed, Record: e.Record, Failure: e.rolloutFailed(wait, f.count, "", "")}
	}
	rollout, pods := e.Facts.Rollout, e.podProblems()

	// Whose fault a joint failure is, is not known: nobody is rejected, and each is tried alone once more.
	alone := f.restore && wait.Joint
	if alone {
		f.Alone = true
		f.Failed = min(f.Failed, e.Policy.RolloutFailures-1)
		f.count.N = f.Failed
	}
	state := e.Record.State
	state.Attempt = &f.Attempt
	if f.Unblock {
		state.UnblockFailed = wait.Digest
	}
	if f.enough && !alone {
		state = state.Reject(annotate.Rejection{
			Digest: annotate.Of(wait.Digest), By: annotate.ByFailure, Why: joined(reasons(rollout, pods)), At: e.Now, Evidence: e.evidence(),
		}).Unapprove(wait.Digest)
	}
	d := Decision{Outcome: Failed, Record: annotate.Record{Mark: e.Record.Mark, Recorded: e.Record.Recorded, State: state}}
	gone := e.goneOf(f.restored)
	restore := f.restore && (gone == annotate.None || rollout.Fresh == 0)
	after := e.Record.Recorded
	if restore {
		after = Together(f.restored)
		d.Outcome, d.Set = RolledBack, digestsOf(f.restored)
		d.Record.Mark, d.Record.Recorded = after, after
	}
	consequence, fix := e.consequence(after, restore, f.enough, alone, f.Unblock)
	switch {
	case f.restore && !restore:
		consequence, fix = leftBecauseGone(gone, f.enough && !alone)
	case restore && gone != annotate.None:
		consequence += fmt.Sprintf("; the registry no longer has %s, so only a node that still has it can start it", gone.Short())
		fix = failure.WithFix(fix, "push it again, and change the registry's retention rule")
	}
	d.Failure = e.rolloutFailed(wait, f.count, consequence, fix)
	d.Events = []Event{about(RolloutFailed, d.Failure)}
	if restore {
		d.Events = append(d.Events, Event{Reason: RolledBackEvent, Cause: failure.RolloutFailed, Note: fmt.Sprintf(
			"%s is restored after the rollout of %s failed", restoredAs(after), wait.Digest.Short())})
	}
	return d
}

// leftBecauseGone is why what failed was not taken back, and what to do about it.
func leftBecauseGone(gone annotate.Content, rejected bool) (text, fix string) {
	what := "it is"
	if rejected {
		what = "the digest is rejected and"
	}
	return fmt.Sprintf("%s left in place, because the registry no longer has %s and some replicas serve", what, gone.Short()),
		"publish a working image under the tag, and change the registry's retention rule"
}

// whatSlotsHeld is what a restoration puts back into each slot: the digest that it held before the first attempt (I58), or
// what is recorded where it held none. A slot that was empty is not emptied again (I7). It says whether there is something
// to put back into every slot, and whether that is anything else than what has failed.
func (e *evaluation) whatSlotsHeld(attempt annotate.Attempt) (slots []Slot, restorable bool) {
	differs := false
	for _, slot := range e.Slots {
		slot.Live = attempt.Held[slot.Key]
		if slot.Live.Digest() == "" {
			slot.Live = e.Record.Recorded
		}
		if slot.Live.Digest() == "" {
			return nil, false
		}
		differs = differs || !slot.Live.Is(attempt.Digest)
		slots = append(slots, slot)
	}
	return slots, differs && e.Policy.Rollback && !e.onlyReports(attempt.Digest)
}

func digestsOf(slots []Slot) []image.Digest {
	var digests []image.Digest
	for _, slot := range slots {
		digests = append(digests, slot.Live.Digest())
	}
	return digests
}

// restoredAs names what the slots hold after a restoration.
func restoredAs(after annotate.Content) string {
	if after == annotate.Unpinned {
		return "what each of the slots held"
	}
	return after.Short()
}

// consequence says what follows from a failed rollout, and what to do about it.
func (e *evaluation) consequence(after annotate.Content, restore, enough, alone, unblock bool) (text, fix string) {
	const publish = "publish a working image under the tag"
	restored := restoredAs(after)
	switch {
	case restore && alone:
		return restored + " is restored; several targets changed at once, so the next ticks try them one by one", ""
	case unblock && restore:
		return restored + " is restored; the workload was not settled before either, so the digest is not blamed, and is tried again once it has been", ""
	case unblock:
		return "the workload was not settled before either, so the digest is not blamed", ""
	case restore && enough:
		return restored + " is restored and the digest is rejected", publish
	case restore:
		return restored + " is restored, because the service was down; the next tick tries again", ""
	case enough && !e.Policy.Rollback:
		return "the digest is rejected and left in place, because ROLLBACK is false", publish
	case enough && e.onlyReports(e.Record.State.Attempted()):
		return "the digest is rejected and left in place, because the target is notify only", publish
	case enough:
		return "the digest is rejected, and there is no recorded digest to restore", publish + ", or set one by hand"
	default:
		return "the next tick goes on waiting", ""
	}
}

// rolloutFailed words the failure: which attempt, the pods' own reasons, what follows and what to do.
func (e *evaluation) rolloutFailed(wait Wait, count Count, consequence, fix string) *failure.Error {
	message := fmt.Sprintf("the rollout of %s failed, attempt %s%s", e.named(annotate.Of(wait.Digest)), count, e.inBrackets())
	if consequence != "" {
		message += ": " + consequence
	}
	return &failure.Error{Cause: failure.RolloutFailed, Message: message, Fix: e.orDeletePods(wait, fix)}
}

// orDeletePods is a fix and, where a StatefulSet's controller will not replace pods by itself
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback), the command that deletes them.
func (e *evaluation) orDeletePods(wait Wait, fix string) string {
	pods := e.podProblems().NeverReady
	if len(pods) == 0 {
		return fix
	}
	command := fmt.Sprintf("the controller does not replace a pod that never became Ready, so delete it: kubectl delete pod -n %s %s",
		wait.Namespace, strings.Join(pods, " "))
	return failure.WithFix(fix, command)
}

// maxReasons is how many reasons are told: ninety pods may have ninety.
const maxReasons = 5

// joined are the first few reasons in one text, each cut, and how many more there are.
func joined(reasons []string) string {
	var told []string
	for _, reason := range reasons[:min(len(reasons), maxReasons)] {
		told = append(told, failure.CleanEnds(reason))
	}
	if more := len(reasons) - maxReasons; more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(told, "; ")
}

func reasons(rollout Rollout, pods PodProblems) []string {
	if rollout.Failure != "" {
		return append([]string{rollout.Failure}, pods.Reasons...)
	}
	return pods.Reasons
}
