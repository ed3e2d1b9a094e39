package decide_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// What one target's rollout had come to is of another rollout, once another target is put there.
func TestI52ARolloutBeginsAnewWithAnotherTargets(t *testing.T) {
	t.Parallel()
	w := begun(counting(carrying(input(ours(0)), input(unsettled)), 7))
	require.Equal(t, 1, recordOf(w, 0).State.Attempt.Fresh)
	step := planned(t, w, targets(2))
	assert.Equal(t, "waiting,refreshed 1.0=B state:t0=set mark:t1=B state:t1=set streak=8", told(step))
	assert.Zero(t, recordOf(written(w, step.Change), 0).State.Attempt.Fresh)
}

// newer is a workload on which a newer release has left a state.
func newer(w decide.Workload) decide.Workload {
	w.Object.Newer = problem(failure.SlotInvalid).Problem
	return w
}

func TestRemember(t *testing.T) {
	t.Parallel()
	w := counting(carrying(input(), input(ours(1))), 4, 1, 2)
	got := rules.Remember(w, targets(2))
	assert.Equal(t, 4, got.Skipped)
	assert.Equal(t, []int{1, 2}, got.Failures)
	assert.Equal(t, annotate.Record{Mark: annotate.Content(a.Mark()), Recorded: a}, got.Records[0])
	assert.Equal(t, digestB, got.Records[1].State.Attempted())

	w.Homes = []decide.Home{{Target: 1}} // the counters of the other target stand elsewhere
	assert.Equal(t, []int{2}, rules.Remember(w, targets(2)).Failures)
	w.Object.Annotations = map[string]string{keys.SkipStreak(): "x", keys.Failures("t1"): "-1", keys.State("t0"): "{"}
	got = rules.Remember(w, targets(2))
	assert.Zero(t, got.Skipped, "garbage reads as absent")
	assert.Equal(t, []int{0}, got.Failures)
	assert.Equal(t, annotate.State{}, got.Records[0].State)
}

// What one write to a workload contains: what differs from what stands there, and nothing else.
func TestWhatAChangeContains(t *testing.T) {
	t.Parallel()
	garbage := func(w decide.Workload) decide.Workload {
		w.Object.Annotations[keys.Recorded("t0")], w.Object.Annotations[keys.State("t0")] = "sha256:zz", "{"
		return w
	}
	broken := input(slots(problem(failure.SlotInvalid)))
	nothingLeft := func(in *decide.Input) { in.Record.State.Left = none }
	for _, c := range []struct {
		name string
		w    decide.Workload
		want string
	}{
		{"unchanged: nothing", carrying(input(latest(a))), "unchanged"},
		{"a refresh: slots, mark, intent", carrying(input()), "refreshed 0.0=B mark:t0=B state:t0=set"},
		{"a refresh of two slots", carrying(input(live(a, a))), "refreshed 0.0=B 0.1=B mark:t0=B state:t0=set"},
		{"adopted: mark and record, and latest as it was seen", carrying(input(noRecord)),
			"adopted mark:t0=A recorded:t0=A state:t0=set"},
		{"adopted, unpinned: what the tag stands for", carrying(input(live(tag), noRecord)),
			"adopted mark:t0=tag recorded:t0=tag state:t0=set"},
		{"recorded: the intent goes", carrying(input(ours(0), settled, nothingLeft)),
			"unchanged recorded:t0=B state:t0= event:t0=DigestRefreshed"},
		{"held: nothing", carrying(input(held)), "held"},
		{"held: garbage goes", garbage(carrying(input(held))), "held recorded:t0=- state:t0="},
		{"held: garbage in place of a record", garbage(carrying(input(held, live(tag)))), "held recorded:t0=- state:t0="},
		{"no slot: even garbage is left", garbage(carrying(broken)), "failed"},
		{"a newer release's state: nothing", counting(newer(carrying(input(unknown, unsettled, live(none)))), 3, 2), "failed"},
		{"the skip streak is over", counting(carrying(input(latest(a))), 3), "unchanged streak="},
		{"nobody waits for a turn any more", carrying(input(latest(a), waitsForTurn)), "unchanged state:t0="},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			of := targets(1)
			of[0].Failure = c.w.Bindings[0].Latest.Failure
			step := planned(t, begun(c.w), of)
			if c.w.Object.Newer != nil {
				step.Events = nil
			}
			assert.Equal(t, c.want, told(step))
			delete(step.Change.Labels, keys.Condition())
			for _, label := range step.Change.Labels {
				assert.Contains(t, label, "."+annotate.SlotsName([]string{"0.0", "0.1"}[:len(c.w.Object.Slots[0])]))
			}
		})
	}
}

// A workload is unsettled once in a tick, however many targets find it so, and however many ticks find it at once (I11,
// I28, I43). One that counts, and one that would clear, count.
func TestTheSkipStreakCountsOnceForAllTargets(t *testing.T) {
	t.Parallel()
	three := carrying(input(latest(a), unsettled), input(latest(a), unsettled), input(unsettled, saw(b)))
	steps := func(w decide.Workload) decide.Step { return planned(t, w, targets(len(w.Bindings))) }
	assert.Equal(t, "waiting,waiting,waiting streak=1", told(steps(three)))
	four := begun(counting(three, 3))
	assert.Equal(t, "waiting,waiting,waiting streak=4", told(steps(four)))
	other := counting(four, 4) // another tick has counted since this one began
	assert.Equal(t, "waiting,waiting,waiting", told(steps(other)))
	for _, d := range append(steps(four).Decisions, steps(other).Decisions...) {
		assert.Contains(t, d.Message, "4/8", "and all of them say the same")
	}
	assert.Equal(t, "failed,failed,refreshed 2.0=B mark:t2=B state:t2=set streak=8 event:t0=RefreshFrozen event:t1=RefreshFrozen",
		told(steps(begun(counting(three, 7)))), "and the unblock attempt of one is put there")
	assert.Equal(t, "held,held streak=", told(steps(begun(counting(carrying(input(latest(a)), input(held)), 3)))), "on hold, and settled")

	w := begun(counting(carrying(input(ours(0)), input(ours(0))), 3))
	waits := rules.Waits(w, targets(2), steps(w).Decisions)
	progress := rules.Conclude(rolling(w, underWay(2)), targets(2), waits, make([]decide.Decision, 2))
	assert.Equal(t, "4", progress.Change.Annotations[keys.SkipStreak()], "progress of a rollout that two targets wait for (I43)")
	over := rules.Conclude(rolling(w, input().Facts.Rollout), targets(2), waits, make([]decide.Decision, 2))
	assert.Contains(t, told(over), " streak= ")
}

// A person's undo rewinds the annotations of the whole workload: the counters of all its targets are of another time (I44).
func TestI44AnUndoRewindsTheCountersOfAllTargets(t *testing.T) {
	t.Parallel()
	undone := input(live(a), record(b, a), person, unsettled) // neither recorded nor attempted is the mark
	w := begun(counting(carrying(undone, input(latest(a), unsettled)), 7, 0, 2))
	of := targets(2)
	of[1].Failure = failing
	step := planned(t, w, of)
	assert.Equal(t, "held,waiting mark:t0=A state:t0=set failures:t1=1 streak=1 event:t0=RefreshHeld", told(step))
	assert.Contains(t, step.Decisions[1].Message, "1/8", "it would be frozen by a count that is not of now")
	assert.Equal(t, decide.Count{N: 1, Of: 3, ByUs: true}, step.Failures[1].Count)
	after := begun(written(w, step.Change))
	assert.Contains(t, planned(t, after, of).Decisions[1].Message, "2/8", "and that counts from there")
	assert.False(t, recordOf(after, 0).Torn())
}

// After a joint failure the targets are tried one by one; nothing is counted of those that wait.
func TestAfterAJointFailureTargetsAreTriedOneByOne(t *testing.T) {
	t.Parallel()
	alone := attempt(annotate.Attempt{Digest: digestB, Failed: 1, Alone: true})
	for _, c := range []struct {
		name string
		w    decide.Workload
		want string
	}{
		{"two that failed together", carrying(input(alone), input(alone)),
			"refreshed,waiting 0.0=B mark:t0=B state:t0=set state:t1=set"},
		{"one that failed, and a new one", carrying(input(), input(alone)),
			"waiting,refreshed 1.0=B state:t0=set mark:t1=B state:t1=set"},
		{"the first is held back by a person", carrying(input(alone, thrownOutB), input(alone)),
			"held,refreshed 1.0=B mark:t1=B state:t1=set"},
		{"nothing has failed: both at once", carrying(input(), input()),
			"refreshed,refreshed 0.0=B 1.0=B mark:t0=B state:t0=set mark:t1=B state:t1=set"},
	} {
		step := planned(t, c.w, targets(2))
		assert.Equal(t, c.want, told(step), c.name)
		after := written(c.w, step.Change)
		for at, d := range step.Decisions {
			if d.Outcome == decide.Waiting {
				assert.Contains(t, d.Message, "another one's turn", c.name)
				same := recordOf(c.w, at)
				same.State.Stood = b // latest is noted, since it waits
				assert.Equal(t, same, recordOf(after, at), c.name)
			}
		}
	}
}

// Who owned a slot by server-side apply is noted in the patch that takes it, and given back from there, whichever tick
// comes to that.
func TestOwnersAreNotedAndReturned(t *testing.T) {
	t.Parallel()
	own := func(w decide.Workload, ours bool, appliers ...string) decide.Workload {
		w = begun(written(w, decide.Change{}))
		for at := range w.Object.Slots {
			for i := range w.Object.Slots[at] {
				w.Object.Slots[at][i].Ours, w.Object.Slots[at][i].Appliers = ours, appliers
			}
		}
		return w
	}
	step := func(w decide.Workload, change func(*decide.Input)) decide.Workload {
		w.Bindings[0].Latest, w.Bindings[0].Answers = input(change).Latest, input(change).Answers
		return written(w, planned(t, w, targets(2)).Change)
	}
	before := own(carrying(input(live(a, a)), input(latest(a))), false, "helm", "kubectl")
	assert.Empty(t, rules.ToReturn(before, targets(2)), "nothing is ours")
	patched := own(step(before, latest(b)), true)
	both := []string{"helm", "kubectl"}
	assert.Equal(t, map[string][]string{"0.0": both, "0.1": both}, recordOf(patched, 0).State.Owners)
	back := []decide.SlotOwners{{Binding: 0, Slot: 0, Owners: both}, {Binding: 0, Slot: 1, Owners: both}, {Binding: 1, Slot: 0}}
	assert.Equal(t, back, rules.ToReturn(patched, targets(2)))
	unreadable := own(patched, true)
	unreadable.Object.Slots[0][1].Problem = failing
	assert.Equal(t, append(back[:1:1], back[2]), rules.ToReturn(unreadable, targets(2)))

	again := step(own(patched, true), latest(c)) // before the slots are given back
	assert.Equal(t, digestC, recordOf(again, 0).State.Attempted())
	assert.Equal(t, map[string][]string{"0.0": both, "0.1": both}, recordOf(again, 0).State.Owners, "and not what owns them now")
	again = step(own(patched, false, "argocd"), latest(c)) // they were, and a deployer of another name owns them since
	assert.Equal(t, map[string][]string{"0.0": {"argocd"}, "0.1": {"argocd"}}, recordOf(again, 0).State.Owners)

	assert.Len(t, recordOf(step(own(patched, true), latest(b)), 0).State.Owners, 2, "settled: noted as long as a slot is ours")
	assert.Empty(t, recordOf(step(own(patched, false), latest(b)), 0).State.Owners)

	nobody := recordOf(step(carrying(input(), input(latest(a))), latest(b)), 0).State.Owners
	assert.Contains(t, nobody, "0.0")
	assert.Empty(t, nobody["0.0"], "given to nobody")

	w := carrying(input(ours(2), setRollout(decide.Rollout{Fresh: 1, Available: 1, Desired: 2}))) // a restoration takes the slots again
	w.Object.Slots[0][0].Appliers = []string{"helm"}
	w.Bindings[0].Answers = w.Bindings[0].Answers.With(whyNotReady, decide.Answer{Pods: crashing})
	waits := rules.Waits(w, targets(1), planned(t, w, targets(1)).Decisions)
	restored := rules.Conclude(w, targets(1), waits, make([]decide.Decision, 1))
	require.Equal(t, decide.RolledBack, restored.Decisions[0].Outcome)
	assert.Equal(t, map[string][]string{"0.0": {"helm"}}, recordOf(written(w, restored.Change), 0).State.Owners)
}

// Neither labels nor annotations of what was read are changed in place.
func TestAWorkloadStaysAsItIs(t *testing.T) {
	t.Parallel()
	w := counting(carrying(input(), input(ours(2), unsettled)), 3, 2, 1)
	labels, annotations, slots := maps.Clone(w.Object.Labels), maps.Clone(w.Object.Annotations), written(w, decide.Change{}).Object.Slots
	of := targets(2)
	of[1].Failure = failing
	rules.Questions(w, of)
	_, steps := rules.Plan(of, []*decide.Workload{&w})
	rules.Again(of, w, false)
	rules.Conclude(w, of, rules.Waits(w, of, steps[0].Decisions), steps[0].Decisions)
	assert.Equal(t, labels, w.Object.Labels)
	assert.Equal(t, annotations, w.Object.Annotations)
	assert.Equal(t, slots, w.Object.Slots)
	assert.Zero(t, of[0].Failures, "nor are the targets")
}
