package decide_test

import (
	"strconv"
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

// When what the registries answered for a target's workloads is one digest (I42).
func TestAgree_I42(t *testing.T) {
	t.Parallel()
	of := func(digest image.Digest) decide.Latest { return decide.Latest{Digest: digest} }
	no := decide.Latest{Failure: failing}
	worse := decide.Latest{Failure: &failure.Error{Cause: failure.NotFound, Message: "404"}}
	type answers = [][]decide.Latest
	for _, c := range []struct {
		name     string
		answers  answers
		own      bool // the target follows each container's own image
		digest   image.Digest
		cause    failure.Cause
		unasked  bool
		each     []image.Digest
		failures []failure.Cause
	}{
		{"one workload", answers{{of(digestB)}}, false, digestB, "", false, []image.Digest{digestB}, []failure.Cause{""}},
		{"two, and all agree", answers{{of(digestB)}, {of(digestB)}}, false, digestB, "", false, []image.Digest{digestB, digestB}, []failure.Cause{"", ""}},
		{"one credential fails: its workload alone stays behind", answers{{of(digestB)}, {no}}, false, "", failure.Proxy, false,
			[]image.Digest{digestB, ""}, []failure.Cause{"", failure.Proxy}},
		{"two credentials of one workload, and one fails", answers{{of(digestB), no}}, false, "", failure.Proxy, false, []image.Digest{""}, []failure.Cause{failure.Proxy}},
		{"two credentials of one workload agree", answers{{of(digestB), of(digestB)}}, false, digestB, "", false, []image.Digest{digestB}, []failure.Cause{""}},
		{"two credentials of one workload see two images", answers{{of(digestB), of(digestC)}}, false, "", failure.BadResponse, false,
			[]image.Digest{""}, []failure.Cause{failure.BadResponse}},
		{"two workloads see two images", answers{{of(digestB)}, {of(digestC)}}, false, "", failure.BadResponse, false,
			[]image.Digest{digestB, digestC}, []failure.Cause{"", ""}},
		{"two workloads, each with an image of its own", answers{{of(digestB)}, {of(digestC)}}, true, "", "", false, []image.Digest{digestB, digestC}, []failure.Cause{"", ""}},
		{"the worst is said", answers{{no}, {worse}}, false, "", failure.Worst(no.Failure, worse.Failure).Cause, false,
			[]image.Digest{"", ""}, []failure.Cause{failure.Proxy, failure.NotFound}},
		{"one workload could not be worked with", answers{nil, {of(digestB)}}, false, digestB, "", false, []image.Digest{"", digestB}, []failure.Cause{"", ""}},
		{"none could: not asked", answers{nil, nil}, false, "", "", true, []image.Digest{"", ""}, []failure.Cause{"", ""}},
	} {
		before := decide.Target{Name: "t0", Threshold: 3}
		target, each := decide.Agree(before, !c.own, c.answers)
		assert.Equal(t, c.digest, target.Digest, c.name)
		assert.Equal(t, !c.unasked, target.Asked, c.name)
		assert.Equal(t, c.cause, causeOf(target.Failure), c.name)
		assert.Equal(t, "t0", target.Name, c.name)
		require.Len(t, each, len(c.answers), c.name)
		for at, latest := range each {
			assert.Equal(t, c.each[at], latest.Digest, c.name)
			assert.Equal(t, c.failures[at], causeOf(latest.Failure), c.name)
		}
	}
}

func causeOf(failed *failure.Error) failure.Cause {
	if failed == nil {
		return failure.None
	}
	return failed.Cause
}

// When an operator must look because of a target.
func TestNeedsAttention(t *testing.T) {
	t.Parallel()
	few, enough := decide.Count{N: 2, Of: 3}, decide.Count{N: 3, Of: 3}
	all := []decide.Outcome{
		decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Pending, decide.Held, decide.Deferred, decide.Waiting, decide.Skipped,
	}
	assert.False(t, decide.NeedsAttention(few, all))
	for _, outcome := range []decide.Outcome{decide.Rejected, decide.RolledBack, decide.Failed, "unknown"} {
		assert.True(t, decide.NeedsAttention(few, []decide.Outcome{decide.Held, outcome}), outcome)
	}
	for _, outcome := range all {
		assert.Equal(t, outcome != decide.Held, decide.NeedsAttention(enough, []decide.Outcome{decide.Held, outcome}), "%s, and not resolved for too long", outcome)
	}
	assert.False(t, decide.NeedsAttention(enough, []decide.Outcome{decide.Held, decide.Held}), "all held by people")
	assert.False(t, decide.NeedsAttention(enough, nil))
}

// A target's failures in a row, as the workload counts them that holds its counters: what is counted, what is written, and
// what becomes of a workload that was skipped (I1, I2, I24).
func TestFailuresInARow(t *testing.T) {
	t.Parallel()
	const count, lastError = "p/t0-refresh-consecutive-failures", "p/t0-refresh-last-error"
	says := "proxy: " + failing.Advice()
	noted := annotate.State{Stood: b, Refused: &annotate.Refusal{Digest: digestB, Why: "linux/arm64"}}.String()
	unresolved, fine, gated := input(unknown), input(latest(digestA)), input(gateSaysNo)
	type texts = map[string]string
	for _, c := range []struct {
		name          string
		in            decide.Input
		began, stored int
		want          decide.Count
		annotations   texts
		outcome       decide.Outcome
		events        int
	}{
		{"it fails", unresolved, 0, 0, decide.Count{N: 1, Of: 3, ByUs: true}, texts{count: "1"}, decide.Skipped, 0},
		{"it fails again", unresolved, 1, 1, decide.Count{N: 2, Of: 3, ByUs: true}, texts{count: "2"}, decide.Skipped, 0},
		{"at the threshold", unresolved, 2, 2, decide.Count{N: 3, Of: 3, ByUs: true}, texts{count: "3", lastError: says}, decide.Failed, 1},
		{"another tick has counted since", unresolved, 0, 1, decide.Count{N: 1, Of: 3}, texts{}, decide.Skipped, 0},
		{"another tick has counted since, to the threshold", unresolved, 2, 3, decide.Count{N: 3, Of: 3}, texts{lastError: says}, decide.Failed, 0},
		{"another tick has resolved it since", unresolved, 2, 0, decide.Count{N: 0, Of: 3}, texts{}, decide.Skipped, 0},
		{"resolved", fine, 2, 2, decide.Count{Of: 3}, texts{count: ""}, decide.Unchanged, 0},
		{"resolved all the while", fine, 0, 0, decide.Count{Of: 3}, texts{}, decide.Unchanged, 0},
		{"a gate said no", gated, 0, 0, decide.Count{N: 1, Of: 3, ByUs: true}, texts{count: "1", keys.State("t0"): noted}, decide.Skipped, 0},
		{"a gate said no, at the threshold, I24", gated, 2, 2, decide.Count{N: 3, Of: 3, ByUs: true},
			texts{count: "3", lastError: "platform-missing: linux/arm64", keys.State("t0"): noted}, decide.Failed, 1},
	} {
		w := counting(begun(counting(carrying(c.in), 0, c.began)), 0, c.stored)
		of := targets(1)
		of[0].Failure = c.in.Latest.Failure
		planned, steps := rules.Plan(of, []*decide.Workload{&w})
		assert.Equal(t, c.want, planned[0].Failures, c.name)
		assert.Equal(t, []decide.TargetFailure{{Target: 0, Count: c.want}}, steps[0].Failures, c.name)
		assert.Equal(t, []decide.Outcome{c.outcome}, outcomes(steps[0].Decisions), c.name)
		if text, wrote := steps[0].Change.Annotations[lastError]; wrote {
			assert.Contains(t, text, c.annotations[lastError], c.name)
			c.annotations[lastError] = text
		}
		assert.Equal(t, c.annotations, steps[0].Change.Annotations, c.name)
		assert.Len(t, steps[0].Events, c.events, c.name)
		for _, event := range steps[0].Events {
			assert.Equal(t, decide.ResolveFailing, event.Event.Reason, c.name)
			assert.Equal(t, 0, event.Target, c.name)
		}
	}
}

// A change of state is one Event: a target that goes on failing beyond its threshold is not told of again, whatever else is
// written to its workload meanwhile.
func TestATargetThatGoesOnFailingIsSaidOnce(t *testing.T) {
	t.Parallel()
	of := targets(2)
	of[0].Failure = failing
	w := begun(counting(carrying(input(unknown), input(unsettled, latest(digestA))), 4, 3))
	step := planned(t, w, of)
	assert.Equal(t, decide.Failed, step.Decisions[0].Outcome)
	assert.Equal(t, "5", step.Change.Annotations[keys.SkipStreak()], "something else is written")
	assert.NotContains(t, step.Change.Annotations, keys.Failures("t0"))
	assert.Empty(t, step.Events)
}

// The last error is that of now, and goes with the last failure.
func TestTheLastErrorIsThatOfNow(t *testing.T) {
	t.Parallel()
	w := counting(carrying(input(unknown)), 0, 3)
	w.Object.Annotations[keys.LastError("t0")] = "dns: the name does not resolve"
	of := targets(1)
	of[0].Failure = failing
	step := planned(t, begun(w), of)
	assert.Equal(t, map[string]string{keys.LastError("t0"): "proxy: " + failing.Advice()}, step.Change.Annotations)
	w.Bindings[0].Latest = decide.Latest{Digest: digestA}
	step = planned(t, begun(w), targets(1))
	assert.Equal(t, map[string]string{keys.LastError("t0"): "", keys.Failures("t0"): ""}, step.Change.Annotations)
}

// What is known of a target that was not asked for stays (I17): nothing has shown that its streak is over.
func TestATargetThatWasNotAskedForKeepsItsCount(t *testing.T) {
	t.Parallel()
	broken := input(func(in *decide.Input) {
		in.Slots = []decide.Slot{problem(failure.SlotInvalid)}
		in.Latest = decide.Latest{}
	})
	w := begun(counting(carrying(broken), 0, 2))
	of := targets(1)
	of[0].Asked = false
	planned, steps := rules.Plan(of, []*decide.Workload{&w})
	assert.Equal(t, decide.Count{N: 2, Of: 3}, planned[0].Failures)
	assert.True(t, steps[0].Change.Empty())
	w = begun(counting(w, 0, 7)) // a threshold that was larger once
	planned, _ = rules.Plan(of, []*decide.Workload{&w})
	assert.Equal(t, decide.Count{N: 3, Of: 3}, planned[0].Failures)
}

// Where a target's home could not be read, nobody knows how often it has failed before: this time counts.
func TestATargetWhoseHomeIsUnreadable(t *testing.T) {
	t.Parallel()
	other := carrying(input(unknown))
	other.Homes = nil
	other = begun(other)
	plan := func(failed *failure.Error, threshold int) ([]decide.Target, []*decide.Step) {
		of := targets(1)
		of[0].Failure, of[0].Threshold = failed, threshold
		return rules.Plan(of, []*decide.Workload{nil, &other})
	}
	planned, steps := plan(failing, 3)
	assert.Nil(t, steps[0])
	assert.Equal(t, decide.Count{N: 1, Of: 3, ByUs: true}, planned[0].Failures)
	assert.Equal(t, []decide.Outcome{decide.Skipped}, outcomes(steps[1].Decisions))
	assert.Empty(t, steps[1].Failures)
	assert.True(t, steps[1].Change.Empty(), "its counters do not stand here")
	_, steps = plan(failing, 1)
	assert.Equal(t, []decide.Outcome{decide.Failed}, outcomes(steps[1].Decisions))
	planned, _ = plan(nil, 3)
	assert.Equal(t, decide.Count{Of: 3}, planned[0].Failures)
}

// A target has failed at its threshold on all of its workloads, wherever its counters stand, and other targets have not.
func TestATargetAtItsThresholdHasFailedEverywhere(t *testing.T) {
	t.Parallel()
	home, away := counting(carrying(input(unknown), input(unknown)), 0, 2, 0), carrying(input(unknown), input(unknown))
	away.Homes = nil
	home, away = begun(home), begun(away)
	of := targets(2)
	of[0].Failure, of[1].Failure = failing, failing
	planned, steps := rules.Plan(of, []*decide.Workload{&away, &home})
	assert.True(t, planned[0].Failures.Reached())
	assert.False(t, planned[1].Failures.Reached())
	for _, step := range steps {
		assert.Equal(t, []decide.Outcome{decide.Failed, decide.Skipped}, outcomes(step.Decisions))
	}
	assert.Empty(t, steps[0].Events)
	assert.Len(t, steps[1].Events, 1)
	assert.Zero(t, of[0].Failures, "the targets as they were resolved stay")
}

// A gate has refused latest, and the next tick asks none, because the workload is not settled: what it has said goes on counting,
// in a streak that it is in (Q19).
func TestARefusalGoesOnCounting_Q19(t *testing.T) {
	t.Parallel()
	for began, want := range map[int]decide.Count{0: {Of: 3}, 1: {N: 2, Of: 3, ByUs: true}, 2: {N: 3, Of: 3, ByUs: true}} {
		w := counting(carrying(input(unsettled)), 0, began)
		remember(w, 0, annotate.Record{Mark: a, Recorded: a, State: annotate.State{Stood: b, Refused: &annotate.Refusal{Digest: digestB, Why: "linux/arm64"}}})
		w = begun(w)
		of := targets(1)
		of[0].Digest = digestB
		planned, steps := rules.Plan(of, []*decide.Workload{&w})
		assert.Equal(t, want, planned[0].Failures)
		assert.Equal(t, []decide.Outcome{decide.Waiting}, outcomes(steps[0].Decisions))
		if began > 0 {
			assert.Equal(t, failure.PlatformMissing, causeOf(planned[0].Failure))
		}
		of[0].Digest = digestC // which no gate has refused
		planned, _ = rules.Plan(of, []*decide.Workload{&w})
		assert.Zero(t, planned[0].Failures.N)
	}
}

// What the gates say on any workload counts for the target, and the worst is what it fails with.
func TestGatesCountForTheTarget_I24(t *testing.T) {
	t.Parallel()
	home, away := carrying(input(latest(digestA))), carrying(input(gateSaysNo))
	away.Homes = nil
	home, away = begun(home), begun(away)
	planned, steps := rules.Plan(targets(1), []*decide.Workload{&home, &away})
	assert.Equal(t, failure.PlatformMissing, causeOf(planned[0].Failure))
	assert.Equal(t, decide.Count{N: 1, Of: 3, ByUs: true}, planned[0].Failures)
	assert.Equal(t, "1", steps[0].Change.Annotations[keys.Failures("t0")], "where its counters stand")
	assert.Equal(t, []decide.Outcome{decide.Unchanged}, outcomes(steps[0].Decisions))
	assert.Equal(t, []decide.Outcome{decide.Skipped}, outcomes(steps[1].Decisions))
	assert.Equal(t, map[string]string{keys.State("t0"): annotate.State{Stood: b, Refused: &annotate.Refusal{Digest: digestB, Why: "linux/arm64"}}.String()}, steps[1].Change.Annotations)

	for cause, want := range map[failure.Cause]failure.Cause{failure.Proxy: failure.PlatformMissing, failure.Unauthorized: failure.Unauthorized} {
		both := targets(1)
		both[0].Failure = &failure.Error{Cause: cause, Message: "of another workload's credential"}
		planned, _ = rules.Plan(both, []*decide.Workload{&home, &away})
		assert.Equal(t, want, causeOf(planned[0].Failure))
	}
}

// several are so many workloads with a target each, the first of which have waited for their turn for so many minutes; 0:
// not yet.
func several(waited ...int) []*decide.Workload {
	var all []*decide.Workload
	for at, minutes := range waited {
		w := carryingFrom(at, input(func(in *decide.Input) {
			if since := now.Add(-time.Duration(minutes) * time.Minute); minutes > 0 {
				in.Record.State.TurnSince = &since
			}
		}))
		all = append(all, &w)
	}
	return all
}

// Who has waited longest for a turn goes first, and then the configuration's order counts (I57).
func TestTurns_I57(t *testing.T) {
	t.Parallel()
	fresh := func(w *decide.Workload) {
		w.Bindings[0].Latest = decide.Latest{Digest: digestA}
	}
	for _, c := range []struct {
		name   string
		limit  int
		waited []int
		idle   []int // these have nothing to roll
		rolls  []int
		turns  []int
	}{
		{"no limit", 0, []int{0, 0, 0}, nil, []int{0, 1, 2}, []int{0, 1, 2}},
		{"as many as there is room for", 3, []int{0, 0, 0}, nil, []int{0, 1, 2}, []int{0, 1, 2}},
		{"the configuration's order", 2, []int{0, 0, 0}, nil, []int{0, 1}, []int{0, 1}},
		{"who has waited goes first", 1, []int{0, 0, 5}, nil, []int{2}, []int{2}},
		{"who has waited longest goes first", 2, []int{3, 9, 5}, nil, []int{1, 2}, []int{1, 2}},
		{"as long: the configuration's order", 1, []int{0, 5, 5}, nil, []int{1}, []int{1}},
		{"then who has not waited yet", 2, []int{0, 0, 5}, nil, []int{0, 2}, []int{0, 2}},
		{"who has nothing to roll takes no place", 1, []int{0, 9, 0}, []int{0, 1}, []int{2}, []int{2}},
		{"a place is left for who wants one later", 2, []int{0, 0}, []int{1}, []int{0}, []int{0, 1}},
		{"none is left", 1, []int{0, 0}, []int{1}, []int{0}, []int{0}},
	} {
		workloads := several(c.waited...)
		for _, at := range c.idle {
			fresh(workloads[at])
		}
		limited := rules
		limited.MaxRollouts = c.limit
		_, steps := limited.Plan(targets(len(workloads)), workloads)
		var rolls, turns []int
		for at, step := range steps {
			if len(step.Change.Slots) > 0 {
				rolls = append(rolls, at)
			}
			if step.Turn {
				turns = append(turns, at)
			}
		}
		assert.Equal(t, c.rolls, rolls, c.name)
		assert.Equal(t, c.turns, turns, c.name)
	}
}

// A plan says how many ticks its rollouts take: some begin now, and some only after a first observation.
func TestPace_I57(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ most, now, later, ticks int }{
		{10, 0, 0, 0},
		{10, 1, 0, 1},
		{10, 10, 0, 1},
		{10, 11, 0, 2},
		{10, 12, 0, 2},
		{1, 3, 0, 3},
		{0, 12, 0, 1},
		{10, 0, 10, 2},
		{10, 0, 11, 3},
		{0, 0, 11, 2},
		{10, 5, 5, 2},
		{10, 12, 8, 2},
		{10, 12, 9, 3},
	} {
		rollouts, ticks := decide.Tick{MaxRollouts: c.most}.Pace(c.now, c.later)
		assert.Equal(t, c.now+c.later, rollouts, "%+v", c)
		assert.Equal(t, c.ticks, ticks, "%+v", c)
	}
}

// A workload that cannot be read takes no place and has no step.
func TestAnUnreadableWorkloadTakesNoPlace(t *testing.T) {
	t.Parallel()
	workloads := several(0, 0)
	workloads[0] = nil
	limited := rules
	limited.MaxRollouts = 1
	_, steps := limited.Plan(targets(2), workloads)
	assert.Nil(t, steps[0])
	assert.Equal(t, []decide.Outcome{decide.Refreshed}, outcomes(steps[1].Decisions))
}

// What waits for its turn notes since when, once, and counts nothing; what comes later in its place does not wait anew.
func TestWhoWaitsForItsTurnNotesSinceWhen_I57(t *testing.T) {
	t.Parallel()
	workloads := several(0, 0)
	two := carryingFrom(1, input(), input(latest(digestA)))
	workloads[1] = &two
	limited := rules
	limited.MaxRollouts = 1
	_, steps := limited.Plan(targets(3), workloads)
	step := steps[1]
	assert.Equal(t, []decide.Outcome{decide.Waiting, decide.Unchanged}, outcomes(step.Decisions))
	assert.Contains(t, step.Decisions[0].Message, "MAX_ROLLOUTS")
	assert.Empty(t, step.Change.Slots)
	assert.Empty(t, step.Change.Labels)
	require.Len(t, step.Change.Annotations, 1, "and nothing else is written")
	after := begun(written(two, step.Change))
	state := recordOf(after, 0).State
	assert.Equal(t, annotate.State{TurnSince: &now, Stood: b}, state)
	assert.Equal(t, annotate.State{}, recordOf(after, 1).State)

	later := limited
	later.Now = now.Add(time.Hour)
	fighting := several(90)[0] // another has waited longer still
	_, steps = later.Plan(targets(3), []*decide.Workload{fighting, &after})
	assert.True(t, steps[1].Change.Empty(), "it waits since then, and that is written once")
	after.Bindings[0].Latest, after.Bindings[0].Answers = decide.Latest{Digest: digestC}, mayRollOut(digestC, nil)
	_, steps = later.Plan(targets(3), []*decide.Workload{fighting, &after})
	state = recordOf(written(after, steps[1].Change), 0).State
	assert.Equal(t, annotate.State{TurnSince: &now, Stood: c}, state, "whatever digest it waits for")

	_, steps = later.Plan(targets(3), []*decide.Workload{several(0)[0], &after})
	assert.Equal(t, []decide.Outcome{decide.Waiting}, outcomes(steps[0].Decisions))
	assert.Nil(t, recordOf(written(after, steps[1].Change), 0).State.TurnSince, "and then its turn has come")
}

// Nobody waits for ever: with a place for one, and a tag that moves in each tick, every workload has its turn (I57).
func TestEveryWorkloadHasItsTurn_I57(t *testing.T) {
	t.Parallel()
	workloads := several(0, 0, 0)
	limited := rules
	limited.MaxRollouts = 1
	var order []int
	for tick := range 6 {
		limited.Now = now.Add(time.Duration(tick) * time.Minute)
		for _, w := range workloads {
			latest := image.Digest("sha256:" + strings.Repeat(strconv.Itoa(tick), 64))
			w.Bindings[0].Latest, w.Bindings[0].Answers = decide.Latest{Digest: latest}, mayRollOut(latest, nil)
			*w = begun(rolling(*w, input().Facts.Rollout))
		}
		_, steps := limited.Plan(targets(3), workloads)
		for at, step := range steps {
			if len(step.Change.Slots) > 0 {
				order = append(order, at)
			}
			*workloads[at] = written(*workloads[at], step.Change)
		}
	}
	assert.Equal(t, []int{0, 1, 2, 0, 1, 2}, order)
}

// A workload that is decided again keeps its turn, or has none still.
func TestDecidedAgainTheTurnStays(t *testing.T) {
	t.Parallel()
	w := carrying(input())
	assert.Equal(t, "0.0=b", puts(rules.Again(targets(1), w, true).Change))
	none := rules.Again(targets(1), w, false)
	assert.Empty(t, none.Change.Slots)
	assert.False(t, none.Turn)
	assert.Equal(t, []decide.Outcome{decide.Waiting}, outcomes(none.Decisions))
}

// A workload that is decided again is decided with what the whole tick knows: its targets' failures, counted anew where
// their counters stand, and as they were where these stand elsewhere.
func TestDecidedAgainFailuresAreCountedAnew(t *testing.T) {
	t.Parallel()
	home := begun(counting(carrying(input(unknown)), 0, 2))
	of := targets(1)
	of[0].Failure = failing
	known, steps := rules.Plan(of, []*decide.Workload{&home})
	require.Equal(t, []decide.Outcome{decide.Failed}, outcomes(steps[0].Decisions))

	cleared := counting(home, 0, 0) // another tick has resolved it
	again := rules.Again(known, cleared, true)
	assert.Equal(t, []decide.Outcome{decide.Skipped}, outcomes(again.Decisions))
	assert.Equal(t, decide.Count{Of: 3}, again.Failures[0].Count)
	assert.NotContains(t, again.Change.Annotations, keys.Failures("t0"))

	away := home
	away.Homes = nil
	again = rules.Again(known, begun(away), true)
	assert.Equal(t, []decide.Outcome{decide.Failed}, outcomes(again.Decisions))
	assert.Empty(t, again.Failures, "its counters stand elsewhere")
}

// A workload that a person has undone waits for its turn like any other: since when is written once, and is not rewound
// with the rest (I44, I57).
func TestAnUndoneWorkloadWaitsForItsTurnToo_I57(t *testing.T) {
	t.Parallel()
	undone := carryingFrom(1, input(live(a), record(b, a), person("kubectl"), latest(digestC)))
	limited := rules
	limited.MaxRollouts = 1
	for tick := range 2 {
		limited.Now = now.Add(time.Duration(tick) * time.Minute)
		_, steps := limited.Plan(targets(2), []*decide.Workload{several(90)[0], &undone})
		require.Equal(t, []decide.Outcome{decide.Waiting}, outcomes(steps[1].Decisions))
		assert.Equal(t, tick > 0, steps[1].Change.Empty(), "tick %d writes %v", tick, steps[1].Change)
		undone = begun(written(undone, steps[1].Change))
	}
	require.NotNil(t, recordOf(undone, 0).State.TurnSince)
}

// What is latest is remembered in every row but the first, and since when; and a target is stale while that has been the same
// for longer than it says, on whichever of its workloads that was seen first.
func TestStale(t *testing.T) {
	t.Parallel()
	const allowed = time.Hour
	policy := func(in *decide.Input) { in.Policy.StaleAfter = allowed }
	seen := func(digest image.Digest, ago time.Duration) func(*decide.Input) {
		return func(in *decide.Input) { in.Record.State.Seen = &annotate.Seen{Digest: digest, Since: now.Add(-ago)} }
	}
	for name, c := range map[string]struct {
		in    decide.Input
		since time.Duration
	}{
		"fresh":              {input(latest(digestA), policy, seen(digestA, allowed)), allowed},
		"held":               {input(held, policy, seen(digestB, allowed)), allowed},
		"refreshed":          {input(policy, seen(digestB, allowed)), allowed},
		"rejected":           {input(policy, rejected(b, byFailure), seen(digestB, allowed)), allowed},
		"rejected, put back": {input(policy, live(c), rejected(b, byFailure), seen(digestB, allowed)), allowed},
		"adopted":            {input(policy, record(none, none)), 0},
		"moved":              {input(policy, held, seen(digestA, allowed)), 0},
		"a person":           {input(policy, record(b, b), person("kubectl"), seen(digestB, allowed)), allowed},
	} {
		got := decide.Decide(c.in).Record.State.Seen
		require.NotNil(t, got, name)
		assert.Equal(t, annotate.Seen{Digest: c.in.Latest.Digest, Since: now.Add(-c.since)}, *got, name)
	}
	unresolved := input(unknown, policy, seen(digestA, allowed))
	assert.Equal(t, unresolved.Record.State.Seen, decide.Decide(unresolved).Record.State.Seen)

	for name, c := range map[string]struct {
		first, second decide.Input
		stale         bool
	}{
		"longer on one of two":                {input(seen(digestB, allowed)), input(seen(digestB, allowed+time.Second)), true},
		"as long as that":                     {input(seen(digestB, allowed)), input(seen(digestB, 0)), false},
		"longer, of what was latest before":   {input(seen(digestA, 2*allowed)), input(seen(digestA, 2*allowed)), false},
		"longer, and latest is unknown":       {input(unknown, seen(digestA, 2*allowed)), input(unknown), false},
		"nothing remembered":                  {input(), input(), false},
		"longer on one that is held, as said": {input(held, seen(digestB, 2*allowed)), input(held), true},
	} {
		of := targets(1)
		of[0].Policy.StaleAfter = allowed
		first, second := carrying(c.first), carrying(c.second)
		second.Homes = nil
		got, steps := rules.Plan(of, []*decide.Workload{&first, &second})
		assert.Equal(t, c.stale, got[0].Stale != nil, name)
		assert.Zero(t, got[0].Failures.N, name)
		assert.Len(t, steps, 2, name)
		of[0].Policy.StaleAfter = 0
		got, _ = rules.Plan(of, []*decide.Workload{&first, &second})
		assert.Nil(t, got[0].Stale, name)
	}
}
