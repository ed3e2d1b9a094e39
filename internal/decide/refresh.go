package decide

import (
	"fmt"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// contestedFor is how long a contested digest is left alone after it was put there last.
const contestedFor = 2 * time.Hour

// minAgeFactor bounds how long a tag that keeps moving can defer a workload, in minimum ages.
const minAgeFactor = 3

// Row 11: the checks before the first patch to a digest, and what the configuration says about changing.

func (e *evaluation) gateFailed() bool {
	failed, open := e.gate()
	return e.refusedStands() || e.outdated() && (e.notYet() || open != 0 || failed != nil || e.onlyReports(e.Latest.Digest))
}

// refused says whether a gate has refused latest here for what it is. Whoever has put it there since, that is not fresh, and
// it is verified again before we put it there (I24).
func (e *evaluation) refused() bool { return e.Policy.refused(e.Record.State.Refused, e.Latest.Digest) }

// refused says whether what a gate has noted is about the digest, and still asked for: a signature is only where there are keys.
func (p Policy) refused(noted *annotate.Refusal, digest image.Digest) bool {
	return noted != nil && noted.Digest == digest && (p.Verify || !noted.Unsigned)
}

// refusedStands says whether somebody has put there what a gate has refused. The gate would compare it with itself now; whether it
// has been signed since can be asked.
func (e *evaluation) refusedStands() bool {
	signed, asked := e.Answers[Question{Kind: IsSigned, Digest: e.Latest.Digest}]
	return e.refused() && !e.outdated() && !(e.Record.State.Refused.Unsigned && asked && signed.Failure == nil)
}

// gateSays is what the gates say of latest or, where it stands there already, what they have said.
func (e *evaluation) gateSays() *failure.Error {
	failed, _ := e.gate()
	if failed == nil && e.refusedStands() {
		return refusedBefore(*e.Record.State.Refused)
	}
	return failed
}

// refusedBefore is what a gate has said of a digest before. It goes on counting in a tick in which no gate is asked, because the
// workload is not settled, for instance: a streak that it is in ends only where latest is fresh, the gates say yes (Q19), or a person
// has rejected the digest: it waits for no gate then.
func refusedBefore(refused annotate.Refusal) *failure.Error {
	cause := failure.PlatformMissing
	if refused.Unsigned {
		cause = failure.Unsigned
	}
	return &failure.Error{Cause: cause, Message: failure.CleanEnds(refused.Why)}
}

// acceptedUnpinned says that the slots hold what was accepted there, and that this is no digest. What is recorded was only seen
// to run.
func (e *evaluation) acceptedUnpinned() bool {
	return e.live == annotate.Unpinned && e.Record.Mark == annotate.Unpinned && !e.changed()
}

// notVerifiedYet says whether latest has not passed the gates here: it was never put into these slots. In notify, where it waits
// for a person, the gates are asked once a digest.
func (e *evaluation) notVerifiedYet() bool {
	latest := e.Latest.Digest
	if e.passed() {
		return false
	}
	return e.refused() && !e.Record.State.Refused.Unsigned || (!e.Record.Recorded.Is(latest) || e.acceptedUnpinned()) && e.Record.State.Attempted() != latest && !e.Record.State.Left.Is(latest)
}

// passed says whether latest has passed the gates in notify, and waits for a person since.
func (e *evaluation) passed() bool {
	return e.onlyReports(e.Latest.Digest) && e.Record.State.Passed == e.Latest.Digest
}

func (e *evaluation) asksGates() []Question {
	_, open := e.gate()
	stands := e.refusedStands() && (open != IsSigned || !e.Record.State.Refused.Unsigned)
	if stands || e.outdated() && e.notYet() {
		return nil
	}
	return e.asks(open)
}

func (e *evaluation) heedGates() found {
	failed := e.gateSays()
	var d Decision
	switch {
	case e.notYet() && e.outdated():
		d = e.deferred()
	case failed != nil:
		d = e.skipped(failed, failed)
	default:
		what := "latest"
		if e.rejectedLatest != nil {
			what = "recorded"
		}
		d = Decision{Outcome: Pending, Record: e.Record, Message: fmt.Sprintf("%s is %s, and the target is notify only", e.Latest.Digest.Short(), what), Approvable: e.approvable()}
		d = e.withBuilds(d, e.live, e.Latest.Digest)
		if e.needsAny() {
			d.Record.State.Passed, d.Record.State.PassedBuild = e.Latest.Digest, e.buildOf(annotate.Of(e.Latest.Digest))
		}
	}
	instead := d
	switch {
	case e.unblockAttempt: // it stays what it was without the attempt: stuck
		instead = e.frozen()
	case e.ourUnproven(): // row 5, as long as the newer digest may not be used
		instead = e.rolloutAwaited()
	case e.tooYoung() || failed != nil && e.keptOut(failed):
		recorded := e.Record.Recorded
		if _, rejected := e.rejectionOf(recorded); recorded.Digest() != "" && !rejected && e.bare() && !e.Policy.Notify {
			return decided(e.pinMeanwhile(recorded.Digest(), d))
		}
	}
	instead.Gated, instead.Record = d.Gated, d.Record
	return decided(instead)
}

// isRefused says that a gate has refused a digest for what it is, and not for what could not be found out.
func isRefused(failed *failure.Error) bool {
	return failed.Cause == failure.PlatformMissing || failed.Cause == failure.Unsigned
}

// keptOut says whether a gate's no is a reason to keep latest from a node that starts a bare tag: it was refused or, where a
// signature is asked for, not found to have one. What runs may be latest itself, which is not pinned before that is known.
func (e *evaluation) keptOut(failed *failure.Error) bool {
	return isRefused(failed) || e.Policy.Verify && !e.Record.Recorded.Is(e.Latest.Digest)
}

// pinMeanwhile puts what is recorded into slots that hold a bare tag, so that no pod starts what a gate keeps out (I67). d is
// what the gate has decided, which counts all the same.
func (e *evaluation) pinMeanwhile(recorded image.Digest, d Decision) Decision {
	pin := e.putOrGiveUp(recorded)
	pin.Gated, pin.Record.State.Seen = d.Gated, d.Record.State.Seen
	return pin
}

// notYet says whether latest is to be rolled out, and not now.
func (e *evaluation) notYet() bool { return e.tooYoung() || e.outsideWindow() }

// outsideWindow says whether latest is new here, and the window is closed. What was here before is put back at any time.
func (e *evaluation) outsideWindow() bool {
	return e.windowClosed() && e.outdated() && !e.wasHere(e.Latest.Digest)
}

func (e *evaluation) windowClosed() bool {
	return e.Policy.Window != nil && !e.Policy.Window.Open(e.Now)
}

// tooYoung says whether latest is new here and has yet to reach its minimum age.
func (e *evaluation) tooYoung() bool {
	if e.Policy.MinAge <= 0 || !e.notVerifiedYet() {
		return false
	}
	seen := e.seen()
	return e.Now.Sub(seen.Since) < e.Policy.MinAge && e.Now.Sub(seen.Deferred) < minAgeFactor*e.Policy.MinAge
}

func (e *evaluation) seen() annotate.Seen {
	seen := annotate.Seen{Digest: e.Latest.Digest, Since: e.Now, Deferred: e.Now}
	before := e.Record.State.Seen
	if before != nil && !before.Deferred.IsZero() {
		seen.Deferred = before.Deferred
	}
	if before != nil && before.Digest == e.Latest.Digest {
		seen.Since = before.Since
	}
	return seen
}

func (e *evaluation) deferred() Decision {
	d := Decision{Outcome: Deferred, Record: e.Record, Message: e.Latest.Digest.Short() + " is new and waits"}
	due := e.Now
	if e.tooYoung() {
		seen := e.seen()
		if before := e.Record.State.Seen; e.windowClosed() && (before == nil || before.Deferred.IsZero()) {
			seen.Deferred = time.Time{} // it is the window that it waits for: how long is no reason to use a younger one
		}
		d.Record.State.Seen = &seen
		due = seen.Since.Add(e.Policy.MinAge)
		d.Message = fmt.Sprintf("%s is latest since %s and waits for its minimum age of %s",
			e.Latest.Digest.Short(), seen.Since.UTC().Format(time.RFC3339), e.Policy.MinAge)
	}
	if window := e.Policy.Window; window != nil && !window.Open(due) {
		d.Message += " until the window opens at " + window.Opens(due).Format(time.RFC3339)
	}
	return d
}

// Row 12: put latest where it is used.

func (e *evaluation) outdated() bool { return !e.live.Is(e.Latest.Digest) }

func (e *evaluation) refresh() found { return decided(e.putOrGiveUp(e.Latest.Digest)) }

// putOrGiveUp puts a digest into the slots, unless somebody keeps taking it out, or another tick may know better.
func (e *evaluation) putOrGiveUp(digest image.Digest) Decision {
	if e.reapplies(digest) && e.Record.State.Reapplied >= e.Policy.Reapplications && !e.retryContested() {
		return e.giveUp(digest) // before anything that is green: who lost the race to count is as loud (I28)
	}
	if e.tagMayBeStale() {
		return Decision{Outcome: Waiting, Record: e.Record, Message: "another tick was faster, and may know a newer digest: the next one decides"}
	}
	return e.put(digest)
}

// retryContested says whether a contested digest has been left alone for long enough to be put back once more.
func (e *evaluation) retryContested() bool {
	last := e.Record.State.ReappliedAt
	return last == nil || e.Now.Sub(*last) >= contestedFor
}

// contestedMeanwhile says that another tick has put a contested digest back since this one began: both are loud (I28).
func (e *evaluation) contestedMeanwhile() bool {
	before, now := e.Began.State.ReappliedAt, e.Record.State.ReappliedAt
	return e.Record.State.Contested && now != nil && (before == nil || !before.Equal(*now))
}

// tagMayBeStale says that another tick has put, restored or recorded something here since this one resolved the tag: what
// this one calls latest may be older than what it would replace.
func (e *evaluation) tagMayBeStale() bool {
	// How long a digest has waited, for its age or for its turn, what pods run, what a gate says, and what a person has approved tell
	// nothing of the tag. All else does, since a tag may move there and back.
	facts := func(r annotate.Record) string {
		r.State.Runs, r.State.Seen, r.State.Owners, r.State.TurnSince, r.State.ReappliedAt, r.State.Contested = nil, nil, nil, nil, nil, false
		r.State.Refused, r.State.Passed, r.State.PassedBuild, r.State.Approved, r.State.Told = nil, "", image.Build{}, "", nil
		r.State.Stood = annotate.None
		return r.Mark.Mark() + " " + r.Recorded.Mark() + " " + r.State.String()
	}
	saw := e.read.State.Stood // by that tick
	return facts(e.Began) != facts(e.read) || saw != e.Began.State.Stood && !saw.Is(e.Latest.Digest)
}

// giveUp leaves the slots to whoever reverts them, and says so in every tick.
func (e *evaluation) giveUp(digest image.Digest) Decision {
	d := Decision{Outcome: Failed, Failure: e.contested(digest), Record: e.Record}
	if !e.Record.State.Contested {
		d.Record.State.Contested = true
		d.Events = []Event{about(RefreshContested, d.Failure)}
	}
	return d
}

// reapplies says whether putting the digest here is a re-application: it was here before, or may have been, since somebody else has
// written what we remember.
func (e *evaluation) reapplies(digest image.Digest) bool {
	return e.wasHere(digest) || e.Record.State.Overwritten
}

// wasHere says whether the digest was recorded, or is the one just left (I46), or somebody took it out before it was recorded (I38).
// Nobody took out what was only seen to run, nor what has failed and was replaced by a restoration.
func (e *evaluation) wasHere(digest image.Digest) bool {
	return e.Record.Recorded.Is(digest) && !e.acceptedUnpinned() || e.Record.State.Left.Is(digest) ||
		e.Record.Mark.Is(digest) && !e.live.Same(e.Record.Mark)
}

// put is the patch: the digest into every slot, with the intent in the same write (I35).
func (e *evaluation) put(digest image.Digest) Decision {
	if e.Postponed.Message != "" {
		return e.postponed()
	}
	before := e.Record.State
	again := e.reapplies(digest)
	contested := again && before.Reapplied >= e.Policy.Reapplications
	after := before
	after.Attempt, after.Seen, after.TurnSince, after.Runs, after.Overwritten = e.attempt(digest, again), nil, nil, nil, false
	after.Passed, after.PassedBuild = "", image.Build{}
	if after.Refused != nil && after.Refused.Digest == digest { // the gates have nothing against it any more
		after.Refused = nil
	}
	if !e.Record.Recorded.Is(digest) {
		after.Left = e.leaving()
		after.LeftBuild = e.buildOf(after.Left)
	}
	if again {
		now := e.Now
		after.ReappliedAt = &now
	}
	switch {
	case contested:
		after.Contested = true
	case again && !(before.Attempted() == digest && before.Attempt.Reverted): // that one is counted already
		after.Reapplied++
	}
	if !contested { // a new digest is no part of the contest over the one before
		after.Contested = false
	}
	d := Decision{Outcome: Refreshed, Wait: digest, Record: annotate.Record{
		Mark: annotate.Of(digest), Recorded: e.Record.Recorded, State: after,
	}}
	for range e.Slots {
		d.Set = append(d.Set, digest)
	}
	switch {
	case contested:
		d.Outcome, d.Failure = Failed, e.contested(digest)
	case again:
		d.Outcome = Reapplied
	}
	d.Message = e.replaces(digest)
	return e.withBuilds(d, e.live, digest)
}

// replaces words a patch, with what speaks for it.
func (e *evaluation) replaces(digest image.Digest) string {
	message := fmt.Sprintf("%s replaces %s", digest.Short(), e.live.Short())
	if e.movedBack(digest) {
		message += ", to which the tag has moved back"
	}
	if e.Record.State.Approved == digest {
		message += ", and is approved by a person"
	}
	if signer := e.Answers[Question{Kind: IsSigned, Digest: digest}].Signer; signer != "" {
		message += ", and is signed by the key " + signer
	}
	return message
}

// postponed is what becomes of a patch whose turn is later. Nothing is counted; since when it waits is noted (I57).
func (e *evaluation) postponed() Decision {
	d := Decision{Outcome: Waiting, Message: e.Postponed.Message, Record: e.Record}
	if e.Postponed.ForTurn && d.Record.State.TurnSince == nil {
		now := e.Now
		d.Record.State.TurnSince = &now
	}
	return d
}

// attempt is what is remembered of putting the digest here. One that replaces another before that is proven keeps what
// stood and served before the first (I74).
func (e *evaluation) attempt(digest image.Digest, again bool) *annotate.Attempt {
	before := e.Record.State.Attempt
	attempt := &annotate.Attempt{Digest: digest, Again: again, Back: e.movedBack(digest), Served: e.Facts.Rollout.Available, Wanted: e.Facts.Rollout.Desired, Unblock: e.unblockAttempt}
	attempt.Build = e.buildOf(annotate.Of(digest))
	if before != nil { // whose rollout may be what is down now
		attempt.Served = max(attempt.Served, before.Served)
	}
	if before != nil && before.Digest == digest {
		attempt.Failed, attempt.Alone, attempt.Back = before.Failed, before.Alone, before.Back || attempt.Back
	}
	if before != nil && before.Held != nil && !e.Facts.Rollout.Proven() {
		attempt.Held, attempt.Wanted, attempt.Unblock = before.Held, before.Wanted, attempt.Unblock || before.Unblock
		return attempt
	}
	attempt.Held = make(map[string]annotate.Content, len(e.Slots))
	removed := e.ourUnproven() && e.Record.Recorded.Digest() != "" // the state, in mid-rollout: recorded stood there before
	for _, slot := range e.Slots {
		if attempt.Held[slot.Key] = slot.Live; removed {
			attempt.Held[slot.Key] = e.Record.Recorded
		}
	}
	return attempt
}

// movedBack says whether the tag has moved back to what the last refresh replaced: a bad release withdrawn, or an old build with a
// known hole, signed as it is, that somebody has put there.
func (e *evaluation) movedBack(digest image.Digest) bool {
	return e.Record.State.Left.Is(digest) && !e.Record.Recorded.Is(digest)
}

// leaving is the digest that a refresh replaces: what the slots hold if it is a digest that we put there, else what
// was recorded.
func (e *evaluation) leaving() annotate.Content {
	content := e.Record.Recorded
	if e.live.Same(e.Record.Mark) && e.live.Digest() != "" {
		content = e.live
	}
	if content.Digest() == "" {
		return annotate.None
	}
	return content
}

func (e *evaluation) contested(digest image.Digest) *failure.Error {
	who := "somebody"
	if e.deployer != "" {
		who = "the field manager " + failure.Clean(e.deployer)
	}
	if e.live.Same(e.Record.Mark) && !e.ours() {
		who = "the tag itself, which flips between digests,"
	}
	until := fmt.Sprintf("it is put back only once in %.0f hours", contestedFor.Hours())
	if e.slotEmpty() { // which is an outage (I7)
		until = "it is put back in every tick"
	}
	return &failure.Error{Cause: failure.Contested, Fix: "stop one of the two writers; until then " + until, Message: fmt.Sprintf(
		"%s has been put back %d times and %s reverts it again", digest.Short(), e.Record.State.Reapplied, who)}
}
