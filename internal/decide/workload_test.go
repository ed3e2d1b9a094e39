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
func TestARolloutBeginsAnewWithAnotherTargets_I52(t *testing.T) {
	t.Parallel()
	underWay := input(ours(0), func(in *decide.Input) { in.Record.State.Attempt.Fresh = 1 })
	w := begun(counting(carrying(underWay, input(unsettled)), 7))
	_, steps := rules.Plan(targets(2), []*decide.Workload{&w})
	require.Len(t, steps[0].Change.Slots, 1)
	assert.Equal(t, 1, steps[0].Change.Slots[0].Binding)
	state, err := annotate.ParseState(steps[0].Change.Annotations[keys.State("t0")])
	require.NoError(t, err)
	assert.Zero(t, state.Attempt.Fresh)
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
	require.Len(t, got.Records, 2)
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
	const mark, recorded, state = "p/t0-digest", "p/last-refreshed-t0-digest", "p/t0-refresh-state"
	of := func(slots ...string) string { return "." + annotate.SlotsName(slots) }
	garbage := func(w decide.Workload) decide.Workload {
		w.Object.Annotations[recorded], w.Object.Annotations[state] = "sha256:zz", "{"
		return w
	}
	for name, c := range map[string]struct {
		w           decide.Workload
		slots       string
		labels      map[string]string
		annotations map[string]bool // true: set, false: removed
	}{
		"unchanged: nothing":             {carrying(input(latest(digestA))), "", nil, nil},
		"a refresh: slots, mark, intent": {carrying(input()), "0.0=b", map[string]string{mark: b.Mark() + of("0.0")}, map[string]bool{state: true}},
		"a refresh of two slots":         {carrying(input(live(a, a))), "0.0=b 0.1=b", map[string]string{mark: b.Mark() + of("0.0", "0.1")}, map[string]bool{state: true}},
		"adopted: mark and record, and latest as it was seen": {carrying(input(func(in *decide.Input) { in.Record = annotate.Record{} })), "",
			map[string]string{mark: a.Mark() + of("0.0")}, map[string]bool{recorded: true, state: true}},
		"adopted, unpinned: what the tag stands for": {carrying(input(live(tag), func(in *decide.Input) { in.Record = annotate.Record{} })), "",
			map[string]string{mark: "unpinned" + of("0.0")}, map[string]bool{recorded: true, state: true}},
		"recorded: the intent goes": {carrying(input(ours(0), settled, func(in *decide.Input) { in.Record.State.Left = none })), "",
			nil, map[string]bool{recorded: true, state: false}},
		"held: nothing":                      {carrying(input(held)), "", nil, nil},
		"held: garbage goes":                 {garbage(carrying(input(held))), "", nil, map[string]bool{recorded: false, state: false}},
		"held: garbage in place of a record": {garbage(carrying(input(held, live(tag)))), "", nil, map[string]bool{recorded: false, state: false}},
		"no slot: even garbage is left":      {garbage(carrying(input(func(in *decide.Input) { in.Slots = []decide.Slot{problem(failure.SlotInvalid)} }))), "", nil, nil},
		"a newer release's state: nothing":   {counting(newer(carrying(input(unknown, unsettled, live(none)))), 3, 2), "", nil, nil},
		"the skip streak is over":            {counting(carrying(input(latest(digestA))), 3), "", nil, map[string]bool{"p/refresh-skip-streak": false}},
		"a failure counts":                   {carrying(input(unknown)), "", nil, map[string]bool{"p/t0-refresh-consecutive-failures": true}},
		"a failure counts, at its threshold": {counting(carrying(input(unknown)), 0, 2), "", nil, map[string]bool{"p/t0-refresh-consecutive-failures": true, "p/t0-refresh-last-error": true}},
		"the failures in a row are over":     {counting(carrying(input(latest(digestA))), 0, 2), "", nil, map[string]bool{"p/t0-refresh-consecutive-failures": false}},
		"nobody waits for a turn any more":   {carrying(input(latest(digestA), func(in *decide.Input) { in.Record.State.TurnSince = &earlier })), "", nil, map[string]bool{state: false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of := targets(1)
			of[0].Failure = c.w.Bindings[0].Latest.Failure
			change := planned(t, begun(c.w), of).Change
			set := map[string]bool{}
			for key, value := range change.Annotations {
				set[key] = value != ""
			}
			assert.Equal(t, c.slots, puts(change))
			assert.Equal(t, len(c.slots)+len(c.labels)+len(c.annotations) == 0, change.Empty())
			assert.True(t, maps.Equal(c.labels, change.Labels), change.Labels)
			assert.True(t, maps.Equal(c.annotations, set), set)
		})
	}
}

// A workload is unsettled once in a tick, however many targets find it so, and however many ticks find it at once (I11,
// I28, I43).
func TestTheSkipStreakCountsOnceForAllTargets(t *testing.T) {
	t.Parallel()
	saw := func(in *decide.Input) { in.Record.State.Stood = b } // latest, which waits
	three := carrying(input(latest(digestA), unsettled), input(latest(digestA), unsettled), input(unsettled, saw))
	steps := func(w decide.Workload) decide.Step { return planned(t, w, targets(3)) }
	assert.Equal(t, map[string]string{keys.SkipStreak(): "1"}, steps(three).Change.Annotations)
	four := begun(counting(three, 3))
	assert.Equal(t, "4", steps(four).Change.Annotations[keys.SkipStreak()])
	for _, d := range steps(four).Decisions {
		assert.Contains(t, d.Message, "4/8", "and all of them say the same")
	}

	other := counting(four, 4) // another tick has counted since this one began
	assert.True(t, steps(other).Change.Empty())
	for _, d := range steps(other).Decisions {
		assert.Contains(t, d.Message, "4/8")
	}

	frozen := steps(begun(counting(three, 7)))
	assert.Equal(t, []decide.Outcome{decide.Failed, decide.Failed, decide.Refreshed}, outcomes(frozen.Decisions), "and the unblock attempt of one is put there")
	assert.Equal(t, "8", frozen.Change.Annotations[keys.SkipStreak()])
	assert.Len(t, frozen.Events, 2)

	over := planned(t, begun(counting(carrying(input(latest(digestA)), input(held)), 3)), targets(2))
	assert.Empty(t, over.Change.Annotations[keys.SkipStreak()])
	assert.Contains(t, over.Change.Annotations, keys.SkipStreak())
}

// One that counts, and one that would clear, count.
func TestWhoCountsTheSkipStreakIsNotClearedByAnother(t *testing.T) {
	t.Parallel()
	w := begun(counting(carrying(input(ours(0)), input(ours(0))), 3))
	of := targets(2)
	waits := rules.Waits(w, of, planned(t, w, of).Decisions)
	w = rolling(w, decide.Rollout{Fresh: 2, Available: 2, Desired: 2})
	step := rules.Conclude(w, of, waits, make([]decide.Decision, 2))
	assert.Equal(t, "4", step.Change.Annotations[keys.SkipStreak()], "progress of a rollout that two targets wait for (I43)")
	w = rolling(w, input().Facts.Rollout)
	step = rules.Conclude(w, of, waits, make([]decide.Decision, 2))
	assert.Contains(t, step.Change.Annotations, keys.SkipStreak())
	assert.Empty(t, step.Change.Annotations[keys.SkipStreak()])
}

// A person's undo rewinds the annotations of the whole workload: the counters of all its targets are of another time (I44).
func TestAnUndoRewindsTheCountersOfAllTargets_I44(t *testing.T) {
	t.Parallel()
	undone := input(live(a), record(b, a), person("kubectl"), unsettled) // neither recorded nor attempted is the mark
	w := begun(counting(carrying(undone, input(latest(digestA), unsettled)), 7, 0, 2))
	of := targets(2)
	of[1].Failure = failing
	step := planned(t, w, of)
	assert.Equal(t, []decide.Outcome{decide.Held, decide.Waiting}, outcomes(step.Decisions), "the other target would be frozen by a count that is not of now")
	assert.Contains(t, step.Decisions[1].Message, "1/8")
	assert.Equal(t, "1", step.Change.Annotations[keys.SkipStreak()])
	require.Len(t, step.Failures, 2)
	assert.Equal(t, decide.Count{N: 1, Of: 3, ByUs: true}, step.Failures[1].Count)
	assert.Equal(t, "1", step.Change.Annotations[keys.Failures("t1")])

	after := begun(written(w, step.Change))
	again := planned(t, after, of)
	assert.Contains(t, again.Decisions[1].Message, "2/8", "and that counts from there")
	assert.False(t, recordOf(after, 0).Torn())
}

// After a joint failure the targets are tried one by one; nothing is counted of those that wait.
func TestAfterAJointFailureTargetsAreTriedOneByOne(t *testing.T) {
	t.Parallel()
	alone := attempt(annotate.Attempt{Digest: digestB, Failed: 1, Alone: true})
	for name, c := range map[string]struct {
		w        decide.Workload
		slots    string
		outcomes []decide.Outcome
	}{
		"two that failed together":       {carrying(input(alone), input(alone)), "0.0=b", []decide.Outcome{decide.Refreshed, decide.Waiting}},
		"one that failed, and a new one": {carrying(input(), input(alone)), "1.0=b", []decide.Outcome{decide.Waiting, decide.Refreshed}},
		"the first is held back by a person": {carrying(input(alone, rejected(b, byPerson)), input(alone)), "1.0=b",
			[]decide.Outcome{decide.Held, decide.Refreshed}},
		"nothing has failed: both at once": {carrying(input(), input()), "0.0=b 1.0=b", []decide.Outcome{decide.Refreshed, decide.Refreshed}},
	} {
		step := planned(t, c.w, targets(2))
		assert.Equal(t, c.slots, puts(step.Change), name)
		assert.Equal(t, c.outcomes, outcomes(step.Decisions), name)
		after := written(c.w, step.Change)
		for at, d := range step.Decisions {
			if d.Outcome == decide.Waiting {
				assert.Contains(t, d.Message, "another one's turn", name)
				same := recordOf(c.w, at)
				same.State.Stood = b // latest is noted, since it waits
				assert.Equal(t, same, recordOf(after, at), name)
				assert.Empty(t, d.Events, name)
			}
		}
	}
}

// Who owned a slot by server-side apply is noted in the patch that takes it, and given back from there, whichever tick
// comes to that.
func TestOwnersAreNotedAndReturned(t *testing.T) {
	t.Parallel()
	owned := func(w decide.Workload, appliers ...string) decide.Workload {
		for at := range w.Object.Slots {
			for i := range w.Object.Slots[at] {
				w.Object.Slots[at][i].Appliers = appliers
			}
		}
		return w
	}
	taken := func(w decide.Workload, ours bool) decide.Workload {
		w = written(w, decide.Change{})
		for at := range w.Object.Slots {
			for i := range w.Object.Slots[at] {
				w.Object.Slots[at][i].Ours, w.Object.Slots[at][i].Appliers = ours, nil
			}
		}
		return w
	}
	before := owned(carrying(input(live(a, a)), input(latest(digestA))), "helm", "kubectl")
	assert.Empty(t, rules.ToReturn(before, targets(2)), "nothing is ours")
	patched := taken(written(before, planned(t, before, targets(2)).Change), true)
	both := []string{"helm", "kubectl"}
	assert.Equal(t, map[string][]string{"0.0": both, "0.1": both}, recordOf(patched, 0).State.Owners)
	assert.Equal(t, []decide.SlotOwners{{Binding: 0, Slot: 0, Owners: both}, {Binding: 0, Slot: 1, Owners: both}, {Binding: 1, Slot: 0}}, rules.ToReturn(patched, targets(2)))

	unreadable := taken(patched, true)
	unreadable.Object.Slots[0][1].Problem = failing
	assert.Equal(t, []decide.SlotOwners{{Binding: 0, Slot: 0, Owners: both}, {Binding: 1, Slot: 0}}, rules.ToReturn(unreadable, targets(2)))

	// C comes before the slots are given back: who owned them is not forgotten for what owns them now.
	next := begun(patched)
	next.Bindings[0].Latest, next.Bindings[0].Answers = input(latest(digestC)).Latest, mayRollOut(digestC, nil)
	again := written(next, planned(t, next, targets(2)).Change)
	assert.Equal(t, digestC, recordOf(again, 0).State.Attempted())
	assert.Equal(t, map[string][]string{"0.0": both, "0.1": both}, recordOf(again, 0).State.Owners)

	// They have been given back, and a deployer of another name owns them since.
	given := begun(owned(taken(next, false), "argocd"))
	again = written(given, planned(t, given, targets(2)).Change)
	assert.Equal(t, map[string][]string{"0.0": {"argocd"}, "0.1": {"argocd"}}, recordOf(again, 0).State.Owners)

	// Settled: noted as long as a slot is ours.
	done := func(w decide.Workload) decide.Workload {
		w = begun(w)
		w.Bindings[0].Latest, w.Bindings[0].Answers = input().Latest, nil
		return written(w, planned(t, w, targets(2)).Change)
	}
	assert.Len(t, recordOf(done(patched), 0).State.Owners, 2)
	assert.Empty(t, recordOf(done(taken(patched, false)), 0).State.Owners)
}

// A slot without an owner is noted as one, so that it is given to nobody.
func TestASlotWithoutAnOwnerIsNotedAsOne(t *testing.T) {
	t.Parallel()
	w := carrying(input())
	after := written(w, planned(t, w, targets(1)).Change)
	assert.Contains(t, recordOf(after, 0).State.Owners, "0.0")
	assert.Empty(t, recordOf(after, 0).State.Owners["0.0"])
}

// What a restoration writes is noted with the owners too: it takes the slots again.
func TestARestorationNotesOwners(t *testing.T) {
	t.Parallel()
	w := carrying(input(ours(2), setRollout(decide.Rollout{Fresh: 1, Available: 1, Desired: 2})))
	w.Object.Slots[0][0].Appliers = []string{"helm"}
	w.Bindings[0].Answers = w.Bindings[0].Answers.With(whyNotReady, decide.Answer{Pods: crashing})
	of := targets(1)
	waits := rules.Waits(w, of, planned(t, w, of).Decisions)
	step := rules.Conclude(w, of, waits, make([]decide.Decision, 1))
	require.Equal(t, []decide.Outcome{decide.RolledBack}, outcomes(step.Decisions))
	assert.Equal(t, map[string][]string{"0.0": {"helm"}}, recordOf(written(w, step.Change), 0).State.Owners)
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
	waits := rules.Waits(w, of, steps[0].Decisions)
	rules.Conclude(w, of, waits, steps[0].Decisions)
	assert.Equal(t, labels, w.Object.Labels)
	assert.Equal(t, annotations, w.Object.Annotations)
	assert.Equal(t, slots, w.Object.Slots)
	assert.Zero(t, of[0].Failures, "nor are the targets")
}
