package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

type conclusion struct {
	name string
	in   decide.Input
	wait decide.Wait
	want want
}

func settled(in *decide.Input) {
	in.Facts.Rollout = decide.Rollout{Settled: true, Fresh: 2, Available: 2, Desired: 2}
}

// waited is the wait for B that began with one fresh replica of two.
func waited(changes ...func(*decide.Wait)) decide.Wait {
	wait := decide.Wait{Digest: digestB, Namespace: "ns"}
	for _, change := range changes {
		change(&wait)
	}
	return wait
}

func joint(w *decide.Wait)       { w.Joint = true }
func interrupted(w *decide.Wait) { w.Interrupted = true }
func restoredToo(w *decide.Wait) { w.RestoredToo = true }

// whyNotReady is what the pods are asked after a rollout that has not settled.
var whyNotReady = decide.Question{Kind: decide.WhyNotReady}

// crashing is what pods say that have run the digest, and have ended by themselves.
var crashing = decide.PodProblems{Reasons: []string{"CrashLoopBackOff"}, Evidence: []bool{true, true, true}, Crashed: []bool{true, true, true}}

func podsSay(pods decide.PodProblems) func(*decide.Input) {
	return func(in *decide.Input) { in.Answers = in.Answers.With(whyNotReady, decide.Answer{Pods: pods}) }
}

func pullFailed(in *decide.Input) {
	podsSay(decide.PodProblems{Reasons: []string{"CrashLoopBackOff"}, MayHangOnDigest: true})(in)
}

func neverReady(in *decide.Input) {
	podsSay(decide.PodProblems{Reasons: []string{"CrashLoopBackOff"}, Evidence: []bool{true}, NeverReady: []string{"db-0"}})(in)
}

// isServed says whether the registry still has a digest.
func isServed(digest image.Digest, yes bool) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Answers = in.Answers.With(decide.Question{Kind: decide.StillServed, Digest: digest}, decide.Answer{Yes: yes})
	}
}

// run asks the pods where that is to be asked: a container crashes, unless the row says otherwise. Then the registry, before
// something is restored: it has all, unless the row says otherwise.
func (w conclusion) run(t *testing.T) {
	t.Run(w.name, func(t *testing.T) {
		t.Parallel()
		in := w.in
		if questions := decide.ConclusionQuestions(in, w.wait); slices.Contains(questions, whyNotReady) {
			assert.Len(t, questions, 1)
			podsSay(crashing)(&in)
		}
		for _, question := range decide.ConclusionQuestions(in, w.wait) {
			assert.Equal(t, decide.StillServed, question.Kind)
			isServed(question.Digest, true)(&in)
		}
		assert.Empty(t, decide.ConclusionQuestions(in, w.wait))
		got := decide.Conclude(in, w.wait)
		w.want.check(t, in, got)
		for _, digest := range got.Set {
			_, asked := in.Answers[decide.Question{Kind: decide.StillServed, Digest: digest}]
			assert.True(t, asked || digest == w.wait.Digest, "what is restored has been asked for (I61)")
		}
	})
}

// Step 6, while nothing has failed.
func TestConclude(t *testing.T) {
	t.Parallel()
	recorded := both(marked(b), func(r *annotate.Record) { r.State.Attempt = nil })
	isAgain := func(in *decide.Input) { in.Record.State.Attempt.Again = true }
	refreshed, reappliedEvent := []decide.Reason{decide.DigestRefreshed}, []decide.Reason{decide.DigestReapplied}
	waits := want{outcome: decide.Waiting}
	further := func(r *annotate.Record) { // progress is remembered, and forgives
		attempt := *r.State.Attempt
		attempt.Fresh, attempt.Failed = 2, 0
		r.State.Attempt = &attempt
	}
	progress := func(says string) want {
		return want{outcome: decide.Waiting, skip: decide.SkipCount, says: says, record: further}
	}
	byHelm := all(live(a), deployer("helm"))
	reverted := func(r *annotate.Record) {
		attempt := *r.State.Attempt
		attempt.Reverted = true
		r.State.Attempt, r.State.ReappliedAt = &attempt, &now
	}
	moved := func(in *decide.Input) { // another tick has put C there
		live(c)(in)
		in.Record = annotate.Record{Mark: c, Recorded: a, State: annotate.State{Attempt: &annotate.Attempt{Digest: digestC}, Left: b}}
	}
	restored := func(in *decide.Input) { // another tick has restored A
		live(a)(in)
		in.Record.Mark = a
		in.Record.State.Attempt.Failed = 1
	}
	for _, c := range []conclusion{
		{"recorded, only once settled, I3 I4", input(ours(0), settled), waited(), want{outcome: decide.Refreshed, events: refreshed, record: recorded}},
		{"a re-application is recorded, I8", input(ours(0), settled, isAgain), waited(), want{outcome: decide.Reapplied, events: reappliedEvent, record: recorded}},
		{"a re-application of what was recorded is over, I8", input(ours(0), settled, isAgain, record(b, b)), waited(),
			want{outcome: decide.Reapplied, events: reappliedEvent, record: recorded}},
		{"settled: streak and rejection go", input(ours(2), settled, streak(3), rejected(b, annotate.ByFailure)), waited(),
			want{outcome: decide.Refreshed, skip: decide.SkipClear, events: refreshed, record: both(recorded, func(r *annotate.Record) { r.State = r.State.Unreject(b) })}},
		{"settled: re-applications are counted on, I38", input(ours(0), settled, isAgain, reapplied(2, 0, false)), waited(),
			want{outcome: decide.Reapplied, events: reappliedEvent, record: recorded}},
		{"settled, and contested: loud, I38", input(ours(0), settled, isAgain, reapplied(3, time.Hour, true)), waited(),
			want{outcome: decide.Failed, cause: failure.Contested, events: reappliedEvent, record: recorded}},
		{"another tick has recorded it, I28", input(live(b), record(b, b)), waited(), want{outcome: decide.Refreshed}},
		{"another tick has recorded it, unsettled since", input(live(b), record(b, b), unsettled), waited(), waits},
		{"another tick has restored A, and somebody has brought B back, I44", input(ours(1), func(in *decide.Input) { in.Record.Mark = a }, person("kubectl")), waited(), waits},
		{"the state was removed by hand: attempted all the same", input(live(b), record(b, a), unsettled), waited(),
			want{outcome: decide.Waiting, skip: decide.SkipCount, record: func(r *annotate.Record) { r.State.Attempt = &annotate.Attempt{Digest: digestB, Fresh: 1} }}},
		{"held in mid-rollout, settled", input(ours(0), settled, held), waited(),
			want{outcome: decide.Refreshed, events: refreshed, record: recorded}},
		{"held in mid-rollout: nothing is counted or restored", input(ours(2), held), waited(), want{outcome: decide.Held}},
		{"paused in mid-rollout: nothing is counted or restored", input(ours(2), paused), waited(), want{outcome: decide.Held}},
		{"settled, and no replica runs it: not recorded, I56", input(ours(2), noReplica, streak(3)), waited(), want{outcome: decide.Waiting, says: "no replica runs"}},
		{"settled, and no replica runs it: held", input(ours(2), noReplica, held), waited(), want{outcome: decide.Held}},
		{"OnDelete", input(ours(0), awaitsDelete), waited(), want{outcome: decide.Waiting, says: "OnDelete"}},
		{"told to end", input(ours(2)), waited(interrupted), waits},
		{"progress is no failure, I43", input(ours(2), setRollout(decide.Rollout{Fresh: 2, Available: 2}), streak(3)), waited(), progress("4/8")},
		{"progress of two ticks counts once, I28 I43", input(ours(2), setRollout(decide.Rollout{Fresh: 2}), lostStreak(3)), waited(), want{outcome: decide.Waiting, says: "3/8", record: further}},
		{"progress for too long is loud, no rejection, I43", input(ours(2), setRollout(decide.Rollout{Fresh: 2}), streak(7)), waited(),
			want{outcome: decide.Failed, cause: failure.NotSettled, skip: decide.SkipCount, events: []decide.Reason{decide.RefreshFrozen}, record: further}},

		{"reverted meanwhile: a re-application, no failed attempt, I38", input(ours(1), byHelm), waited(), want{outcome: decide.Waiting, says: "helm",
			record: both(reverted, func(r *annotate.Record) { r.State.Reapplied = 1 })}},
		{"reverted meanwhile: counted once, I28", input(ours(1), byHelm, func(in *decide.Input) { in.Record.State.Attempt.Reverted, in.Record.State.Reapplied = true, 1 }),
			waited(), waits},
		{"reverted meanwhile: capped", input(ours(1), byHelm, reapplied(3, time.Hour, true)), waited(), want{outcome: decide.Waiting, record: reverted}},
		{"a person was faster, I9", input(ours(1), live(a), person("kubectl")), waited(), want{outcome: decide.Held, says: "kubectl"}},
		{"another tick has moved on, I28", input(moved), waited(), want{outcome: decide.Waiting, says: "another tick"}},
		{"another tick has restored it, I28", input(ours(1), restored), waited(), want{outcome: decide.RolledBack, cause: failure.RolloutFailed}},
		{"the slot went away", input(ours(1), func(in *decide.Input) { in.Slots = []decide.Slot{problem(failure.SlotInvalid)} }), waited(),
			want{outcome: decide.Failed, cause: failure.SlotInvalid}},
		{"held meanwhile, with another tag", input(ours(1), held, func(in *decide.Input) { in.Slots = []decide.Slot{problem(failure.SlotMismatch)} }), waited(),
			want{outcome: decide.Held, says: "refresh-hold"}},
	} {
		c.run(t)
	}
}

// Step 6, where the rollout has failed.
func TestConcludeFailures(t *testing.T) {
	t.Parallel()
	hangs := setRollout(decide.Rollout{Fresh: 1, Available: 2})
	gaveUp := setRollout(decide.Rollout{Fresh: 2, Available: 2, Failure: "ProgressDeadlineExceeded"})
	down := setRollout(decide.Rollout{Desired: 2})
	fewer := setRollout(decide.Rollout{Fresh: 1, Available: 1, Desired: 2})
	asMany := setRollout(decide.Rollout{Fresh: 1, Available: 2, Desired: 2})

	one := func(in *decide.Input) { in.Policy.RolloutFailures = 1 }
	nothingKnown := all(record(b, annotate.Unpinned), stoodBefore(annotate.Unpinned))
	failed := func(n int) func(*annotate.Record) {
		return func(r *annotate.Record) { r.State.Attempt.Failed = n }
	}
	// The attempt is shared with the input: copy it before it is changed.
	fresh := func(r *annotate.Record) { attempt := *r.State.Attempt; r.State.Attempt = &attempt }
	rejectedBecause := func(why string) func(*annotate.Record) {
		return func(r *annotate.Record) {
			r.State = r.State.Reject(annotate.Rejection{Digest: b, By: annotate.ByFailure, Why: why, At: now, Evidence: true})
		}
	}
	restored := func(r *annotate.Record) { r.Mark = r.Recorded }
	aloneNext := func(r *annotate.Record) { r.State.Attempt.Alone = true }
	event := []decide.Reason{decide.RolloutFailed}
	events := []decide.Reason{decide.RolloutFailed, decide.RolledBackEvent}
	counts := func(n int, says string) want {
		return want{outcome: decide.Failed, cause: failure.RolloutFailed, events: event, says: says, record: both(fresh, failed(n))}
	}
	rejects := func(n int, why, says string) want {
		w := counts(n, says)
		w.record = both(w.record, rejectedBecause(why))
		return w
	}
	restores := func(w want) want {
		w.outcome, w.set, w.events, w.record = decide.RolledBack, digestA, events, both(w.record, restored)
		return w
	}
	alone := func(w want) want {
		w = restores(w)
		w.record = both(w.record, aloneNext)
		return w
	}
	withoutEvidence := func(w want) want {
		w.record = both(w.record, func(r *annotate.Record) { r.State.Rejected[0].Evidence = false })
		return w
	}
	unblocking := func(in *decide.Input) { in.Record.State.Attempt.Unblock = true }
	inVain := func(r *annotate.Record) { r.State.UnblockFailed = digestB }
	gone := isServed(digestA, false)
	const crash = "CrashLoopBackOff"
	for _, c := range []conclusion{
		{"counted, with the pods' reasons, I3 I13", input(ours(0), hangs), waited(), counts(1, "attempt 1/3 (CrashLoopBackOff): the next tick goes on waiting")},
		{"counted again", input(ours(1), hangs), waited(), counts(2, "attempt 2/3")},
		{"two ticks count once, I28", input(ours(1), hangs, read(failedBefore(0))), waited(), want{outcome: decide.Failed, cause: failure.RolloutFailed, says: "attempt 1/3"}},
		{"the controller's word, whatever became available", input(ours(0), gaveUp), waited(), counts(1, "ProgressDeadlineExceeded; CrashLoopBackOff")},
		{"rejected and restored at the threshold, I13", input(ours(2), hangs), waited(), restores(rejects(3, crash, "is restored and the digest is rejected"))},
		{"never more than the threshold", input(ours(3), hangs, record(b, b), stoodBefore(b)), waited(), rejects(3, crash, "attempt 3/3")},
		{"a threshold of one", input(ours(0), hangs, one), waited(), restores(rejects(1, crash, "is restored and the digest is rejected"))},
		{"ROLLBACK=false", input(ours(2), hangs, noRollback), waited(), rejects(3, crash, "ROLLBACK is false")},
		{"nothing recorded", input(ours(2), hangs, nothingKnown), waited(), rejects(3, crash, "no recorded digest to restore")},
		{"only the mark of what was recorded is known", input(ours(2), hangs, nothingKnown, record(b, annotate.Content(a.Mark()))), waited(), rejects(3, crash, "no recorded digest to restore")},
		{"what was recorded fails", input(ours(2), hangs, record(b, b), stoodBefore(b)), waited(), rejects(3, crash, "no recorded digest to restore")},
		{"notify patches in no row", input(ours(2), hangs, notify), waited(), rejects(3, crash, "notify")},
		{"a stuck pod is named", input(ours(0), hangs, neverReady), waited(), counts(1, "kubectl delete pod -n ns db-0")},

		{"down: restored and rejected at the first failure, I39", input(ours(0), down), waited(), restores(rejects(1, crash, "is restored and the digest is rejected"))},
		{"down by a failed pull: restored, tried again, I34 I39", input(ours(0), down, pullFailed), waited(), restores(counts(1, "the next tick tries again"))},
		{"down by a failed pull, at the threshold: for a day, I71", input(ours(2), down, pullFailed), waited(), withoutEvidence(restores(rejects(3, crash, "is restored and the digest is rejected")))},
		{"down, and nothing recorded", input(ours(0), down, nothingKnown), waited(), rejects(1, crash, "no recorded digest to restore")},
		{"down, ROLLBACK=false", input(ours(0), down, noRollback), waited(), rejects(1, crash, "ROLLBACK is false")},
		{"down, notify", input(ours(0), down, notify), waited(), rejects(1, crash, "notify")},
		{"fewer available than before, I39", input(ours(0), fewer), waited(), restores(rejects(1, crash, "is restored and the digest is rejected"))},
		{"as many available as before", input(ours(0), asMany), waited(), counts(1, "goes on waiting")},

		{"what would be restored is gone, and some serve: left and rejected, I61", input(ours(2), hangs, gone), waited(),
			rejects(3, crash, "the digest is rejected and left in place, because the registry no longer has sha256:aaaaaaaaaaaa")},
		{"what would be restored is gone, and some serve: left below the threshold, I61", input(ours(0), fewer, pullFailed, gone), waited(),
			counts(1, ": it is left in place, because the registry no longer has sha256:aaaaaaaaaaaa")},
		{"what would be restored is gone, and nothing serves: restored, and said, I61", input(ours(0), down, gone), waited(),
			restores(rejects(1, crash, "is rejected: publish a working image under the tag; the registry no longer has sha256:aaaaaaaaaaaa"))},
		{"what would be restored is gone, several targets: left, and tried alone, I61", input(ours(2), hangs, gone), waited(joint), func() want {
			w := counts(2, ": it is left in place, because the registry no longer has")
			w.record = both(w.record, aloneNext)
			return w
		}()},
		{"it is another digest that is gone", input(ours(2), hangs, isServed(digestC, false)), waited(), restores(rejects(3, crash, "is restored and the digest is rejected"))},

		{"an unblock attempt proves nothing, I45", input(ours(2), hangs, unblocking), waited(), func() want {
			w := counts(3, "is not blamed")
			w.record = both(w.record, inVain)
			return w
		}()},
		{"an unblock attempt that took down what served is taken back, and not rejected", input(ours(0), down, unblocking), waited(), func() want {
			w := restores(counts(1, "is tried again once it has been"))
			w.record = both(w.record, inVain)
			return w
		}()},
		{"several targets at once: one by one", input(ours(2), hangs), waited(joint), alone(counts(2, "one by one"))},
		{"several targets at once, down", input(ours(0), down), waited(joint), alone(counts(1, "one by one"))},
		{"several targets at once, a threshold of one", input(ours(0), down, one), waited(joint), alone(counts(0, "one by one"))},
		{"several targets at once, nothing to restore", input(ours(2), hangs, nothingKnown), waited(joint), rejects(3, crash, "no recorded digest")},
		{"several targets at once, below the threshold", input(ours(0), hangs), waited(joint), counts(1, "goes on waiting")},
		{"another target of the rollout is restored, and so is this one", input(ours(0), hangs), waited(joint, restoredToo), alone(counts(1, "one by one"))},
		{"another target of the rollout is restored, and here is nothing to restore", input(ours(0), hangs, nothingKnown), waited(joint, restoredToo), counts(1, "goes on waiting")},
	} {
		c.run(t)
	}
}

// all makes several changes of an input one.
func all(changes ...func(*decide.Input)) func(*decide.Input) {
	return func(in *decide.Input) {
		for _, change := range changes {
			change(in)
		}
	}
}

// stoodBefore is what the slots held before the first attempt.
func stoodBefore(contents ...annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) {
		attempt := *in.Record.State.Attempt
		attempt.Held = heldBy(slotsOf(contents...))
		in.Record.State.Attempt = &attempt
	}
}

// A restoration puts back into each slot what it held before the first attempt, or what is recorded where it held no digest
// (I58). Mark and record become what is restored.
func TestARestorationPutsBackWhatEachSlotHeld_I58(t *testing.T) {
	t.Parallel()
	hangs := all(ours(2), setRollout(decide.Rollout{Fresh: 1, Available: 2}))
	two := all(hangs, live(b, b))
	restores := func(after annotate.Content, digests ...image.Digest) want {
		return want{
			outcome: decide.RolledBack, cause: failure.RolloutFailed, sets: digests, events: []decide.Reason{decide.RolloutFailed, decide.RolledBackEvent},
			says: map[bool]string{true: "what each of the slots held is restored", false: after.Short() + " is restored"}[after == annotate.Unpinned],
			record: func(r *annotate.Record) {
				r.State = r.State.Reject(annotate.Rejection{Digest: b, By: annotate.ByFailure, Why: "CrashLoopBackOff", At: now, Evidence: true})
				if after == annotate.Unpinned { // and what the tag stands for is noted as for any other that is not pinned
					r.State.Stood = annotate.None
				}
				failedBefore(3)(r)
				r.Mark, r.Recorded = after, after
			},
		}
	}
	stays := restores(b)
	stays.outcome, stays.sets, stays.events, stays.says = decide.Failed, nil, []decide.Reason{decide.RolloutFailed}, "no recorded digest to restore"
	staysWith := func(recorded annotate.Content) want {
		w := stays
		w.record = both(stays.record, func(r *annotate.Record) { r.Recorded = recorded })
		return w
	}
	for _, c := range []conclusion{
		{"what was recorded, and held", input(hangs), waited(), restores(a, digestA)},
		{"each slot what it held", input(two, stoodBefore(a, c)), waited(), restores(annotate.Unpinned, digestA, digestC)},
		{"both slots what both held", input(two, stoodBefore(c, c)), waited(), restores(c, digestC, digestC)},
		{"a deployer's digest, which was never recorded", input(hangs, stoodBefore(d)), waited(), restores(d, digestD)},
		{"an empty slot gets what is recorded, I7", input(hangs, stoodBefore(annotate.None)), waited(), restores(a, digestA)},
		{"one of two was empty", input(two, stoodBefore(c, annotate.None)), waited(), restores(annotate.Unpinned, digestC, digestA)},
		{"an unpinned slot gets what is recorded", input(hangs, stoodBefore(annotate.Unpinned)), waited(), restores(a, digestA)},
		{"one of two was unpinned", input(two, stoodBefore(annotate.Unpinned, a)), waited(), restores(a, digestA, digestA)},
		{"a slot that came after the attempt gets what is recorded", input(two, stoodBefore(c)), waited(), restores(annotate.Unpinned, digestC, digestA)},
		{"nothing noted, by an attempt of an earlier release", input(hangs, stoodBefore()), waited(), restores(a, digestA)},
		{"one slot held what fails, and the other did not", input(two, stoodBefore(b, a)), waited(), restores(annotate.Unpinned, digestB, digestA)},
		{"an empty slot, and nothing recorded: all stay", input(two, stoodBefore(c, annotate.None), record(b, annotate.None)), waited(), staysWith(annotate.None)},
		{"an unpinned slot, and nothing recorded: all stay", input(two, stoodBefore(c, annotate.Unpinned), record(b, annotate.Unpinned)), waited(), staysWith(annotate.Unpinned)},
		{"all held what fails", input(two, stoodBefore(b, b)), waited(), staysWith(a)},
	} {
		c.run(t)
	}
}

// Whatever is put there before one attempt has settled, what stood before the first comes back (I74).
func TestWhatStoodBeforeTheFirstAttemptComesBack_I74(t *testing.T) {
	t.Parallel()
	crashes := setRollout(decide.Rollout{Desired: 2})
	next := func(in decide.Input, d decide.Decision, changes ...func(*decide.Input)) decide.Input {
		for at, digest := range d.Set {
			in.Slots = append([]decide.Slot(nil), in.Slots...)
			in.Slots[at].Live = annotate.Of(digest)
		}
		in.Record, in.Began = d.Record, d.Record
		all(changes...)(&in)
		return in
	}
	concluded := func(in decide.Input) decide.Decision {
		wait := decide.Wait{Digest: in.Record.State.Attempted()}
		podsSay(crashing)(&in)
		return decide.Conclude(in, wait)
	}
	in := input()
	putB := next(in, decide.Decide(in), crashes)
	putC := next(putB, decide.Decide(next(putB, decide.Decision{Record: putB.Record}, latest(digestC))), crashes)
	assert.Equal(t, digestC, putC.Record.State.Attempted())
	assert.Equal(t, []image.Digest{digestA}, concluded(putC).Set, "B crashed, then C: A is what served")

	settledB := next(putB, decide.Decision{Record: putB.Record}, settled)
	onB := next(settledB, concluded(settledB))
	putC = next(onB, decide.Decide(next(onB, decide.Decision{Record: onB.Record}, latest(digestC))), crashes)
	assert.Equal(t, []image.Digest{digestB}, concluded(putC).Set, "B settled, then C crashed: B is what served")

	in = input(live(d), deployer("helm")) // D has settled, brought by a deployer
	putB = next(in, decide.Decide(in), crashes)
	restored := concluded(putB)
	assert.Equal(t, []image.Digest{digestD}, restored.Set)
	assert.Equal(t, d, restored.Record.Mark)
	assert.Equal(t, d, restored.Record.Recorded)

	in = input(live(annotate.None), noReplica) // at zero replicas C replaces B, which no replica ever ran
	putB = next(in, decide.Decide(in), noReplica)
	putC = next(putB, decide.Decide(next(putB, decide.Decision{Record: putB.Record}, latest(digestC))), crashes, func(in *decide.Input) {
		attempt := *in.Record.State.Attempt
		attempt.Served = 1
		in.Record.State.Attempt = &attempt
	})
	assert.Equal(t, []image.Digest{digestA}, concluded(putC).Set, "the slot was empty: what was recorded")
}

// What was down before is not taken down by what is put there (I39, I45), and who served then is remembered for the
// ticks after, whatever became of the tick that patched (I19).
func TestServed(t *testing.T) {
	t.Parallel()
	available := func(n int) func(*decide.Input) {
		return func(in *decide.Input) { in.Facts.Rollout.Available = n }
	}
	attempted := func(served int) func(*decide.Input) {
		return attempt(annotate.Attempt{Digest: digestC, Failed: 1, Served: served})
	}
	for name, c := range map[string]struct {
		in   decide.Input
		want int
	}{
		"a healthy workload":                 {input(), 2},
		"an unblock attempt":                 {input(unsettled, available(0), streak(7)), 0},
		"in place of what took it down, I45": {input(ours(0), latest(digestC), available(0)), 2},
		"again, while it is being restored":  {input(attempted(2), available(1)), 2},
		"again, where it has been scaled up": {input(attempted(1)), 2},
	} {
		got := decide.Decide(c.in)
		require.NotNil(t, got.Record.State.Attempt, name)
		assert.Equal(t, c.want, got.Record.State.Attempt.Served, name)
	}

	served := func(n int) func(*decide.Input) {
		return func(in *decide.Input) { in.Record.State.Attempt.Served = n }
	}
	for name, c := range map[string]struct {
		in   decide.Input
		want decide.Outcome
	}{
		"down, and it served":             {input(ours(0), setRollout(decide.Rollout{})), decide.RolledBack},
		"down, and it was":                {input(ours(0), setRollout(decide.Rollout{}), served(0)), decide.Failed},
		"fewer than served":               {input(ours(0), setRollout(decide.Rollout{Available: 1, Desired: 2})), decide.RolledBack},
		"fewer, since it was scaled down": {input(ours(0), setRollout(decide.Rollout{Available: 1, Desired: 1})), decide.Failed},
		"as few as served":                {input(ours(0), setRollout(decide.Rollout{Available: 1, Desired: 2}), served(1)), decide.Failed},
	} {
		podsSay(crashing)(&c.in)
		assert.Equal(t, c.want, decide.Conclude(c.in, waited()).Outcome, name)
	}
}

// Who reverts is known before the slot is written to, and is no other afterwards (I38).
func TestAContestedRefreshNamesWhoReverts(t *testing.T) {
	t.Parallel()
	before := decide.Decide(input(record(b, b), reapplied(3, 2*time.Hour, true), deployer("argocd-controller")))
	require.NotNil(t, before.Failure)
	require.Contains(t, before.Failure.Message, "argocd-controller")
	after := input(ours(0), reapplied(3, time.Hour, true))
	after.Record.State.Attempt.Again = true
	settled(&after)
	wait := waited()
	wait.Contested = before.Failure
	assert.Equal(t, before.Failure, decide.Conclude(after, wait).Failure)
	wait.Contested = nil // by a tick that has died
	assert.Contains(t, decide.Conclude(after, wait).Failure.Message, "somebody reverts")
}

// Ticks that have lost the race to count are as loud as the one that won it (I28).
func TestAContestedSlotIsLoudInEveryTick(t *testing.T) {
	t.Parallel()
	in := input(record(b, b), reapplied(3, time.Hour, true), deployer("argocd-controller"))
	in.Began.State.Contested = false
	got := decide.Decide(in)
	assert.Equal(t, decide.Failed, got.Outcome)
	assert.Equal(t, failure.Contested, got.Failure.Cause)
	assert.Equal(t, in.Record, got.Record)
}

// The record of an input is shared with whoever read it: a decision never changes it in place.
func TestInputsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*decide.Input){ours(2), rejected(b, annotate.ByFailure), reapplied(3, 0, false)} {
		in, same := input(change), input(change)
		decide.Questions(in)
		decide.Decide(in)
		decide.ConclusionQuestions(in, waited())
		decide.Conclude(in, waited())
		assert.Equal(t, same, in)
	}
}

// What stood before an old attempt is not put back once another digest has been recorded since (I58).
func TestWhatIsRecordedSinceIsNotForgottenForAnOldAttempt_I58(t *testing.T) {
	t.Parallel()
	// B failed once and A was restored; a deployer brought D, which was latest, and a tick has recorded it.
	onD := input(live(d), record(d, d), attempt(annotate.Attempt{Digest: digestB, Failed: 1, Served: 1, Held: map[string]annotate.Content{"0": a}}))
	sameD := onD
	latest(digestD)(&sameD)
	confirmed := decide.Decide(sameD)
	require.Equal(t, decide.Unchanged, confirmed.Outcome)
	for name, change := range map[string]func(*decide.Input){"scaled to zero for the night": noReplica, "stuck for eight ticks": all(unsettled, streak(7))} {
		in := onD
		in.Record, in.Began = confirmed.Record, confirmed.Record
		all(latest(digestC), change)(&in)
		put := decide.Decide(in)
		require.True(t, put.Rolls(), name)
		assert.Equal(t, map[string]annotate.Content{"0": d}, put.Record.State.Attempt.Held, name)
	}
}

// Ninety pods may have ninety reasons, each of any length.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	var reasons []string
	for i := range 90 {
		reasons = append(reasons, fmt.Sprintf("reason %02d ", i)+strings.Repeat("x", 1000)+fmt.Sprintf(" end %02d", i))
	}
	d := decide.Conclude(input(ours(2), podsSay(decide.PodProblems{Reasons: reasons, Evidence: []bool{true}})), waited())
	assert.Less(t, len(d.Failure.Message), 1600)
	assert.Contains(t, d.Failure.Message, "end 04; and 85 more")
	assert.NotContains(t, d.Failure.Message, "reason 05")
	rejection, found := d.Record.State.Rejection(b)
	assert.True(t, found)
	assert.Less(t, len(rejection.Why), 1200)
}
