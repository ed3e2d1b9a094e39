package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

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

var forB, forBoth = waited(), waited(joint)

// whyNotReady is what the pods are asked after a rollout that has not settled.
var whyNotReady = decide.Question{Kind: decide.WhyNotReady}

// crashing is what pods say that have run the digest, and have ended by themselves.
var crashing = decide.PodProblems{Reasons: []string{"crash"}, Evidence: []bool{true, true, true}, Crashed: []bool{true, true, true}}

func podsSay(pods decide.PodProblems) func(*decide.Input) {
	return func(in *decide.Input) { in.Answers = in.Answers.With(whyNotReady, decide.Answer{Pods: pods}) }
}

func pullFailed(in *decide.Input) {
	podsSay(decide.PodProblems{Reasons: []string{"crash"}, MayHangOnDigest: true})(in)
}

func neverReady(in *decide.Input) {
	podsSay(decide.PodProblems{Reasons: []string{"crash"}, Evidence: []bool{true}, NeverReady: []string{"db-0"}})(in)
}

// stoodBefore is what the slots held before the first attempt.
func stoodBefore(contents ...annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) {
		attempt := *in.Record.State.Attempt
		attempt.Held = heldBy(slotsOf(contents...))
		in.Record.State.Attempt = &attempt
	}
}

func noRollback(in *decide.Input) { in.Policy.Rollback = false }

// After the wait, while nothing has failed.
func TestConclude(t *testing.T) {
	t.Parallel()
	isAgain := func(in *decide.Input) { in.Record.State.Attempt.Again = true }
	further := setRollout(decide.Rollout{Fresh: 2, Available: 2})
	begunAnew := func(in *decide.Input) { in.Began.State.Attempt = &annotate.Attempt{Digest: digestB, Fresh: 2} }
	byHelm := all(live(a), helm)
	counted := func(in *decide.Input) { in.Record.State.Attempt.Reverted, in.Record.State.Reapplied = true, 1 }
	moved := all(live(c), record(c, a), attempted(c, 0), func(in *decide.Input) { in.Record.State.Left = b }) // by another tick
	restored := all(live(a), mark(a), func(in *decide.Input) { in.Record.State.Attempt.Failed = 1 })          // by another tick
	conclude(t, []conclusion{
		{"recorded, only once settled, I3 I4", input(ours(0), settled), forB, "refreshed event=DigestRefreshed recorded=B attempt=-"},
		{"a re-application is recorded, I8", input(ours(0), settled, isAgain), forB,
			"reapplied event=DigestReapplied recorded=B attempt=-"},
		{"a re-application of what was recorded is over, I8", input(ours(0), settled, isAgain, record(b, b)), forB,
			"reapplied event=DigestReapplied attempt=-"},
		{"settled: streak and rejection go", input(ours(2), settled, streak(3), failedB), forB,
			"refreshed settled event=DigestRefreshed recorded=B attempt=- unrejected=B"},
		{"settled: re-applications are counted on, I38", input(ours(0), settled, isAgain, reapplied(2, 0, false)), forB,
			"reapplied event=DigestReapplied recorded=B attempt=-"},
		{"settled, and contested: loud, I38", input(ours(0), settled, isAgain, reapplied(3, time.Hour, true)), forB,
			"failed/contested event=DigestReapplied recorded=B attempt=-"},
		{"another tick has recorded it, I28", input(live(b), record(b, b)), forB, "refreshed"},
		{"another tick has recorded it, unsettled since", input(live(b), record(b, b), unsettled), forB, "waiting"},
		{"another tick has restored A, and somebody has brought B back, I44", input(ours(1), mark(a), person), forB, "waiting"},
		{"the state was removed by hand: attempted all the same", input(live(b), record(b, a), unsettled), forB,
			"waiting counted attempt=B fresh=1"},
		{"held in mid-rollout, settled", input(ours(0), settled, held), forB, "refreshed event=DigestRefreshed recorded=B attempt=-"},
		{"held in mid-rollout: nothing is counted or restored", input(ours(2), held), forB, "held"},
		{"paused in mid-rollout: nothing is counted or restored", input(ours(2), paused), forB, "held"},
		{"settled, and no replica runs it: not recorded, I56", input(ours(2), noReplica, streak(3)), forB, "waiting: no replica runs"},
		{"settled, and no replica runs it: held", input(ours(2), noReplica, held), forB, "held"},
		{"OnDelete", input(ours(0), awaitsDelete), forB, "waiting: OnDelete"},
		{"told to end", input(ours(2)), waited(interrupted), "waiting"},
		{"progress is no failure, I43 I52", input(ours(2), further, streak(3)), forB, "waiting counted failed=0 fresh=2: 4/8"},
		{"progress of two ticks counts once, I28 I43", input(ours(2), further, lostStreak(3)), forB, "waiting failed=0 fresh=2: 3/8"},
		{"progress of a rollout that another tick has begun anew", input(ours(2), further, begunAnew, streak(3)), forB, "waiting counted failed=0 fresh=2: 4/8"},
		{"progress for too long is loud, no rejection, I43", input(ours(2), further, streak(7)), forB,
			"failed/not-settled counted event=RefreshFrozen failed=0 fresh=2"},

		{"reverted meanwhile: a re-application, no failed attempt, I38", input(ours(1), byHelm), forB,
			"waiting reverted reapplied=1 at=now: helm"},
		{"reverted meanwhile: counted once, I28", input(ours(1), byHelm, counted), forB, "waiting"},
		{"reverted meanwhile: capped", input(ours(1), byHelm, reapplied(3, time.Hour, true)), forB, "waiting reverted at=now"},
		{"a person was faster, I9", input(ours(1), live(a), person), forB, "held: kubectl"},
		{"another tick has moved on, I28", input(moved), forB, "waiting: another tick"},
		{"another tick has restored it, I28", input(ours(1), restored), forB, "rolled-back/rollout-failed"},
		{"the slot went away", input(ours(1), slots(problem(failure.SlotInvalid))), forB, "failed/slot-invalid"},
		{"held meanwhile, with another tag", input(ours(1), held, slots(problem(failure.SlotMismatch))), forB, "held: refresh-hold"},
	})
}

// After the wait, where the rollout has failed.
func TestConcludeFailures(t *testing.T) {
	t.Parallel()
	hangs := setRollout(decide.Rollout{Fresh: 1, Available: 2})
	gaveUp := setRollout(decide.Rollout{Fresh: 2, Available: 2, Failure: "ProgressDeadlineExceeded"})
	down := setRollout(decide.Rollout{Desired: 2})
	fewer := setRollout(decide.Rollout{Fresh: 1, Available: 1, Desired: 2})
	asMany := setRollout(decide.Rollout{Fresh: 1, Available: 2, Desired: 2})
	scaledDown := setRollout(decide.Rollout{Available: 1, Desired: 1})
	served := func(n int) func(*decide.Input) { return func(in *decide.Input) { in.Record.State.Attempt.Served = n } }
	allReady := podsSay(decide.PodProblems{AllReady: true})
	one := func(in *decide.Input) { in.Policy.RolloutFailures = 1 }
	failedThen := func(n int) func(*decide.Input) { return func(in *decide.Input) { in.Began = input(ours(n)).Record } }
	unblocking := func(in *decide.Input) { in.Record.State.Attempt.Unblock = true }
	nothingKnown := all(record(b, tag), stoodBefore(tag))
	gone := isServed(a, false)
	const (
		failed   = "? failed/rollout-failed event=RolloutFailed "
		restored = "?A rolled-back/rollout-failed back=A event=RolloutFailed,RolledBack "
		badB     = "rejected=B:failure!"
	)
	conclude(t, []conclusion{
		{"counted, with the pods' reasons, I3 I13", input(ours(0), hangs), forB,
			failed + "failed=1: attempt 1/3 (crash): the next tick goes on waiting"},
		{"counted again", input(ours(1), hangs), forB, failed + "failed=2: attempt 2/3"},
		{"two ticks count once, I28", input(ours(1), hangs, failedThen(0)), forB, "? failed/rollout-failed: attempt 1/3"},
		{"the controller's word, whatever became available", input(ours(0), gaveUp), forB,
			failed + "failed=1: ProgressDeadlineExceeded; crash"},
		{"rejected and restored at the threshold, I13", input(ours(2), hangs), forB,
			restored + "failed=3 " + badB + ": the digest is rejected"},
		{"never more than the threshold", input(ours(3), hangs, record(b, b), stoodBefore(b)), forB, failed + badB + ": attempt 3/3"},
		{"a threshold of one", input(ours(0), hangs, one), forB, restored + "failed=1 " + badB},
		{"ROLLBACK=false", input(ours(2), hangs, noRollback), forB, failed + "failed=3 " + badB + ": ROLLBACK is false"},
		{"nothing recorded", input(ours(2), hangs, nothingKnown), forB, failed + "failed=3 " + badB + ": no recorded digest to restore"},
		{"only the mark of what was recorded is known", input(ours(2), hangs, nothingKnown, record(b, annotate.Content(a.Mark()))), forB,
			failed + "failed=3 " + badB},
		{"what was recorded fails", input(ours(2), hangs, record(b, b), stoodBefore(b)), forB, failed + "failed=3 " + badB},
		{"notify patches in no row", input(ours(2), hangs, notify), forB, failed + "failed=3 " + badB + ": notify"},
		{"a stuck pod is named", input(ours(0), hangs, neverReady), forB,
			"failed/rollout-failed event=RolloutFailed failed=1: kubectl delete pod -n ns db-0"},

		{"down: restored and rejected at the first failure, I39", input(ours(0), down), forB, restored + "failed=1 " + badB},
		{"down by a failed pull: restored, tried again, I34 I39", input(ours(0), down, pullFailed), forB,
			restored + "failed=1: the next tick tries again"},
		{"down by a failed pull, at the threshold: for a day, I71", input(ours(2), down, pullFailed), forB,
			restored + "failed=3 rejected=B:failure"},
		{"fewer available than before, I39", input(ours(0), fewer), forB, restored + "failed=1 " + badB},
		{"as many available as before", input(ours(0), asMany), forB, failed + "failed=1: goes on waiting"},
		{"down, and it was down before, I39", input(ours(0), down, served(0)), forB, failed + "failed=1"},
		{"as few available as before", input(ours(0), fewer, served(1)), forB, failed + "failed=1"},
		{"fewer, since it was scaled down, I85", input(ours(0), scaledDown), forB, failed + "failed=1"},
		{"no pod speaks against it, I49 I50", input(ours(2), hangs, podsSay(decide.PodProblems{})), forB,
			"failed/not-settled: it stays and goes on"},
		{"all are ready, and something else is waited for, I83", input(ours(2), hangs, allReady), forB,
			"waiting counted: minReadySeconds"},
		{"all are ready, for too long", input(ours(2), hangs, allReady, streak(7)), forB,
			"failed/not-settled counted event=RefreshFrozen"},
		{"what pods say cannot be read: it counts", input(ours(0), hangs, podsSay(decide.PodProblems{Unreadable: true})), forB,
			"failed/rollout-failed event=RolloutFailed failed=1"},

		{"what would be restored is gone, and some serve: left and rejected, I61", input(ours(2), hangs, gone), forB,
			failed + "failed=3 " + badB + ": the digest is rejected and left in place, because the registry no longer has sha256:aaaa"},
		{"what would be restored is gone, and some serve: left below the threshold, I61", input(ours(0), fewer, pullFailed, gone), forB,
			"failed/rollout-failed event=RolloutFailed failed=1: it is left in place, because the registry no longer has sha256:aaaa"},
		{"what would be restored is gone, and nothing serves: restored, and said, I61", input(ours(0), down, gone), forB,
			"? rolled-back/rollout-failed back=A event=RolloutFailed,RolledBack failed=1 " + badB + ": ; the registry no longer has sha256:aaaa"},
		{"what would be restored is gone, several targets: left, and tried alone, I61", input(ours(2), hangs, gone), forBoth,
			failed + "alone: it is left in place, because the registry no longer has"},
		{"it is another digest that is gone", input(ours(2), hangs, isServed(c, false)), forB, restored + "failed=3 " + badB},

		{"an unblock attempt proves nothing, I45", input(ours(2), hangs, unblocking), forB,
			failed + "failed=3 unblockFailed=B: is not blamed"},
		{"an unblock attempt that took down what served is taken back, and not rejected", input(ours(0), down, unblocking), forB,
			restored + "failed=1 unblockFailed=B: is tried again once it has been"},
		{"several targets at once: one by one", input(ours(2), hangs), forBoth, restored + "alone"},
		{"several targets at once, down", input(ours(0), down), forBoth, restored + "failed=1 alone"},
		{"several targets at once, a threshold of one", input(ours(0), down, one), forBoth, restored + "alone"},
		{"several targets at once, nothing to restore", input(ours(2), hangs, nothingKnown), forBoth,
			failed + "failed=3 " + badB + ": no recorded digest"},
		{"several targets at once, below the threshold", input(ours(0), hangs), forBoth,
			"?A failed/rollout-failed event=RolloutFailed failed=1"},
		{"another target of the rollout is restored, and so is this one", input(ours(0), hangs), waited(joint, restoredToo),
			restored + "failed=1 alone"},
		{"another target of the rollout is restored, and here is nothing to restore", input(ours(0), hangs, nothingKnown), waited(joint, restoredToo),
			failed + "failed=1"},
	})
}

// A restoration puts back into each slot what it held before the first attempt, or what is recorded where it held no digest
// (I58). Mark and record become what is restored.
func TestI58ARestorationPutsBackWhatEachSlotHeld(t *testing.T) {
	t.Parallel()
	hangs := all(ours(2), setRollout(decide.Rollout{Fresh: 1, Available: 2}))
	two := all(hangs, live(b, b))
	for _, r := range []struct {
		name       string
		in         decide.Input
		asks, back string // for which digests the registry is asked, and what comes back into the slots
	}{
		{"what was recorded, and held", input(hangs), "A", "A"},
		{"each slot what it held", input(two, stoodBefore(a, c)), "AC", "A,C"},
		{"both slots what both held", input(two, stoodBefore(c, c)), "C", "C"},
		{"a deployer's digest, which was never recorded", input(hangs, stoodBefore(d)), "D", "D"},
		{"an empty slot gets what is recorded, I7", input(hangs, stoodBefore(none)), "A", "A"},
		{"one of two was empty", input(two, stoodBefore(c, none)), "CA", "C,A"},
		{"an unpinned slot gets what is recorded", input(hangs, stoodBefore(tag)), "A", "A"},
		{"one of two was unpinned", input(two, stoodBefore(tag, a)), "A", "A"},
		{"a slot that came after the attempt gets what is recorded", input(two, stoodBefore(c)), "CA", "C,A"},
		{"nothing noted, by an attempt of an earlier release", input(hangs, stoodBefore()), "A", "A"},
		{"one slot held what fails, and the other did not", input(two, stoodBefore(b, a)), "A", "B,A"},
		{"an empty slot, and nothing recorded: all stay", input(two, stoodBefore(c, none), record(b, none)), "", ""},
		{"an unpinned slot, and nothing recorded: all stay", input(two, stoodBefore(c, tag), record(b, tag)), "", ""},
		{"all held what fails", input(two, stoodBefore(b, b)), "", ""},
	} {
		want := "? failed/rollout-failed event=RolloutFailed failed=3 rejected=B:failure!"
		if r.back != "" {
			want = "?" + r.asks + " rolled-back/rollout-failed back=" + r.back + " event=RolloutFailed,RolledBack failed=3 rejected=B:failure!"
		}
		conclude(t, []conclusion{{r.name, r.in, forB, want}})
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
	wait := forB
	wait.Contested = before.Failure
	assert.Equal(t, before.Failure, decide.Conclude(after, wait).Failure)
	wait.Contested = nil // by a tick that has died
	assert.Contains(t, decide.Conclude(after, wait).Failure.Message, "somebody reverts")
}

// The record of an input is shared with whoever read it: a decision never changes it in place.
func TestInputsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*decide.Input){ours(2), failedB, reapplied(3, 0, false)} {
		in, same := input(change), input(change)
		decide.Questions(in)
		decide.Decide(in)
		decide.ConclusionQuestions(in, forB)
		decide.Conclude(in, forB)
		assert.Equal(t, same, in)
	}
}

// Ninety pods may have ninety reasons, each of any length.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	var reasons []string
	for i := range 90 {
		reasons = append(reasons, fmt.Sprintf("reason %02d ", i)+strings.Repeat("x", 1000)+fmt.Sprintf(" end %02d", i))
	}
	d := decide.Conclude(input(ours(2), podsSay(decide.PodProblems{Reasons: reasons, Evidence: []bool{true}})), forB)
	assert.Less(t, len(d.Failure.Message), 1600)
	assert.Contains(t, d.Failure.Message, "end 04; and 85 more")
	assert.NotContains(t, d.Failure.Message, "reason 05")
	rejection, found := d.Record.State.Rejection(b)
	assert.True(t, found)
	assert.Less(t, len(rejection.Why), 1200)
}
