package decide_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// When what the registries answered for a target's workloads is one digest (I42). Workloads stand apart by a bar, and the answers
// to the credentials of one by a space.
func TestI42Agree(t *testing.T) {
	t.Parallel()
	answers := map[string]decide.Latest{
		"B": {Digest: digestB}, "C": {Digest: digestC}, "proxy": {Failure: failing}, "404": {Failure: &failure.Error{Cause: failure.NotFound}},
	}
	told := func(latest decide.Latest) string {
		if latest.Failure != nil {
			return string(latest.Failure.Cause)
		}
		return letter(annotate.Of(latest.Digest))
	}
	for _, c := range []struct{ name, answers, want string }{
		{"one workload", "B", "B: B"},
		{"two, and all agree", "B|B", "B: B B"},
		{"one credential fails: its workload alone stays behind", "B|proxy", "proxy: B proxy"},
		{"two credentials of one workload, and one fails", "B proxy", "proxy: proxy"},
		{"two credentials of one workload agree", "B B", "B: B"},
		{"two credentials of one workload see two images", "B C", "bad-response: bad-response"},
		{"two workloads see two images", "B|C", "bad-response: B C"},
		{"two workloads, each with an image of its own", "own B|C", "-: B C"},
		{"the worst is said", "proxy|404", "not-found: proxy not-found"},
		{"one workload could not be worked with", "|B", "B: - B"},
		{"none could: not asked", "|", "not asked: - -"},
	} {
		texts, own := strings.CutPrefix(c.answers, "own ")
		var all [][]decide.Latest
		for _, workload := range strings.Split(texts, "|") {
			var latests []decide.Latest
			for _, answer := range strings.Fields(workload) {
				latests = append(latests, answers[answer])
			}
			all = append(all, latests)
		}
		target, each := decide.Agree(decide.Target{Name: "t0", Threshold: 3}, !own, all)
		got := told(decide.Latest{Digest: target.Digest, Failure: target.Failure}) + ":"
		if !target.Asked {
			got = "not asked:"
		}
		for _, latest := range each {
			got += " " + told(latest)
		}
		assert.Equal(t, c.want, got, c.name)
		assert.Equal(t, "t0", target.Name, c.name)
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
	quiet := []decide.Outcome{
		decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Pending, decide.Deferred, decide.Waiting, decide.Skipped,
	}
	assert.False(t, decide.NeedsAttention(few, append(quiet, decide.Held)))
	for _, outcome := range []decide.Outcome{decide.Rejected, decide.RolledBack, decide.Failed, "unknown"} {
		assert.True(t, decide.NeedsAttention(few, []decide.Outcome{decide.Held, outcome}), outcome)
	}
	for _, outcome := range quiet {
		assert.True(t, decide.NeedsAttention(enough, []decide.Outcome{decide.Held, outcome}), "%s, and not resolved for too long", outcome)
	}
	assert.False(t, decide.NeedsAttention(enough, []decide.Outcome{decide.Held, decide.Held}), "all held by people")
	assert.False(t, decide.NeedsAttention(enough, nil))
}

// A target's failures in a row, as the workload counts them that holds its counters: what is counted, what is written, and
// what becomes of a workload that was skipped (I1, I2, I24). Beyond the threshold it is not said again, but the last error is
// that of now.
func TestFailuresInARow(t *testing.T) {
	t.Parallel()
	unresolved, fine, gated := input(unknown), input(latest(a)), input(gateSaysNo)
	notAsked := input(slots(problem(failure.SlotInvalid)), func(in *decide.Input) { in.Latest = decide.Latest{} })
	for _, c := range []struct {
		name          string
		in            decide.Input
		began, stored int
		count, want   string
	}{
		{"it fails", unresolved, 0, 0, "1/3 by us", "skipped failures:t0=1"},
		{"it fails again", unresolved, 1, 1, "2/3 by us", "skipped failures:t0=2"},
		{"at the threshold", unresolved, 2, 2, "3/3 by us", "failed failures:t0=3 error:t0=proxy event:t0=ResolveFailing"},
		{"beyond it, and for another reason", unresolved, 3, 3, "3/3", "failed error:t0=proxy"},
		{"another tick has counted since", unresolved, 0, 1, "1/3", "skipped"},
		{"another tick has counted since, to the threshold", unresolved, 2, 3, "3/3", "failed error:t0=proxy"},
		{"another tick has resolved it since", unresolved, 2, 0, "0/3", "skipped"},
		{"resolved", fine, 2, 2, "0/3", "unchanged failures:t0="},
		{"resolved all the while", fine, 0, 0, "0/3", "unchanged"},
		{"a gate said no", gated, 0, 0, "1/3 by us", "skipped failures:t0=1 state:t0=set"},
		{"a gate said no, at the threshold, I24", gated, 2, 2, "3/3 by us",
			"failed failures:t0=3 error:t0=platform-missing state:t0=set event:t0=ResolveFailing"},
		{"not asked for: nothing has shown that it is over, I17", notAsked, 2, 2, "2/3", "failed"},
		{"not asked for, and the threshold was larger once", notAsked, 7, 7, "3/3", "failed"},
	} {
		w := counting(begun(counting(carrying(c.in), 0, c.began)), 0, c.stored)
		of := targets(1)
		of[0].Failure, of[0].Asked = c.in.Latest.Failure, c.in.Slots[0].Problem == nil
		planned, steps := rules.Plan(of, []*decide.Workload{&w})
		assert.Equal(t, c.count, countOf(planned[0]), c.name)
		assert.Equal(t, []decide.TargetFailure{{Target: 0, Count: planned[0].Failures}}, steps[0].Failures, c.name)
		assert.Equal(t, c.want, told(*steps[0]), c.name)
		assert.Zero(t, of[0].Failures, "the targets as they were resolved stay")
	}
}

func countOf(target decide.Target) string {
	return target.Failures.String() + map[bool]string{true: " by us"}[target.Failures.ByUs]
}

// The last error goes with the last failure.
func TestTheLastErrorGoes(t *testing.T) {
	t.Parallel()
	w := counting(carrying(input(latest(a))), 0, 3)
	w.Object.Annotations[keys.LastError("t0")] = "dns: the name does not resolve"
	assert.Equal(t, "unchanged failures:t0= error:t0=", told(planned(t, begun(w), targets(1))))
}

// Where a target's counters stand elsewhere, or could not be read, it has failed on all of its workloads at its threshold all the
// same, and other targets have not.
func TestCountersElsewhere(t *testing.T) {
	t.Parallel()
	away := carrying(input(unknown), input(unknown))
	away.Homes = nil
	away = begun(away)
	home := begun(counting(carrying(input(unknown), input(unknown)), 0, 2, 0))
	of := targets(2)
	of[0].Failure, of[1].Failure = failing, failing
	planned, steps := rules.Plan(of, []*decide.Workload{&away, &home})
	assert.Equal(t, []string{"3/3 by us", "1/3 by us"}, []string{countOf(planned[0]), countOf(planned[1])})
	assert.Equal(t, "failed,skipped", told(*steps[0]))
	assert.Equal(t, "failed,skipped failures:t0=3 error:t0=proxy failures:t1=1 event:t0=ResolveFailing", told(*steps[1]))

	of[0].Threshold = 1
	planned, steps = rules.Plan(of, []*decide.Workload{nil, &away})
	assert.Nil(t, steps[0])
	assert.Equal(t, "1/3 by us", countOf(planned[1]), "nobody knows how often it has failed before: this time counts")
	assert.Equal(t, "failed,skipped", told(*steps[1]))
}

// A gate has refused latest, and the next tick asks none, because the workload is not settled: what it has said goes on counting,
// in a streak that it is in (Q19).
func TestQ19ARefusalGoesOnCounting(t *testing.T) {
	t.Parallel()
	for began, want := range map[int]string{0: "0/3", 1: "2/3 by us", 2: "3/3 by us"} {
		w := counting(carrying(input(unsettled)), 0, began)
		refused := annotate.State{Stood: b, Refused: &annotate.Refusal{Digest: digestB, Why: "linux/arm64"}}
		remember(w, 0, annotate.Record{Mark: a, Recorded: a, State: refused})
		w = begun(w)
		of := targets(1)
		planned, steps := rules.Plan(of, []*decide.Workload{&w})
		assert.Equal(t, want, countOf(planned[0]))
		assert.Equal(t, began > 0, causeOf(planned[0].Failure) == failure.PlatformMissing)
		assert.Equal(t, decide.Waiting, steps[0].Decisions[0].Outcome)
		held := counting(carrying(input()), 0, began)
		refused.Rejected = []annotate.Rejection{{Digest: b, By: annotate.ByPerson}} // who wants it no more, refused or not
		remember(held, 0, annotate.Record{Mark: a, Recorded: a, State: refused})
		planned, _ = rules.Plan(of, []*decide.Workload{new(begun(held))})
		assert.Equal(t, "0/3", countOf(planned[0]))
		of[0].Digest = digestC // which no gate has refused
		planned, _ = rules.Plan(of, []*decide.Workload{&w})
		assert.Equal(t, "0/3", countOf(planned[0]))
	}
}

// What the gates say on any workload counts for the target, and the worst is what it fails with.
func TestI24GatesCountForTheTarget(t *testing.T) {
	t.Parallel()
	home, away := carrying(input(latest(a))), carrying(input(gateSaysNo))
	away.Homes = nil
	home, away = begun(home), begun(away)
	for cause, want := range map[failure.Cause]failure.Cause{
		failure.None: failure.PlatformMissing, failure.Proxy: failure.PlatformMissing, failure.Unauthorized: failure.Unauthorized,
	} {
		of := targets(1)
		if cause != failure.None {
			of[0].Failure = &failure.Error{Cause: cause, Message: "of another workload's credential"}
		}
		planned, steps := rules.Plan(of, []*decide.Workload{&home, &away})
		assert.Equal(t, want, causeOf(planned[0].Failure))
		assert.Equal(t, "1/3 by us", countOf(planned[0]))
		assert.Equal(t, "unchanged failures:t0=1", told(*steps[0]), "where its counters stand")
		assert.Equal(t, "skipped state:t0=set", told(*steps[1]))
	}
}

// several are so many workloads with a target each, the first of which have waited for their turn for so many minutes; 0:
// not yet.
func several(waited ...int) (all []*decide.Workload) {
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

// limited are the rules of a tick that rolls so many workloads.
func limited(most int) decide.Tick { return decide.Tick{Keys: keys, Now: now, MaxRollouts: most} }

// Who has waited longest for a turn goes first, and then the configuration's order counts (I57).
func TestI57Turns(t *testing.T) {
	t.Parallel()
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
			workloads[at].Bindings[0].Latest = decide.Latest{Digest: digestA}
		}
		_, steps := limited(c.limit).Plan(targets(len(workloads)), workloads)
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
	unreadable := several(0, 0)
	unreadable[0] = nil
	_, steps := limited(1).Plan(targets(2), unreadable)
	assert.Equal(t, "refreshed 0.0=B mark:t1=B state:t1=set", told(*steps[1]), "what could not be read takes no place")
}

// A plan says how many ticks its rollouts take: some begin now, and some only after a first observation.
func TestI57Pace(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]int{ // at most, now, later; and so many ticks
		{10, 0, 0, 0}, {10, 1, 0, 1}, {10, 10, 0, 1}, {10, 11, 0, 2}, {1, 3, 0, 3}, {0, 12, 0, 1}, {10, 0, 10, 2}, {10, 0, 11, 3},
		{0, 0, 11, 2}, {10, 5, 5, 2}, {10, 12, 8, 2}, {10, 12, 9, 3},
	} {
		rollouts, ticks := decide.Tick{MaxRollouts: c[0]}.Pace(c[1], c[2])
		assert.Equal(t, c[1]+c[2], rollouts, c)
		assert.Equal(t, c[3], ticks, c)
	}
}

// What waits for its turn notes since when, once, and counts nothing; what comes later in its place does not wait anew. So does a
// workload that a person has undone: it is not rewound with the rest (I44).
func TestI57WhoWaitsForItsTurnNotesSinceWhen(t *testing.T) {
	t.Parallel()
	for name, inputs := range map[string][]decide.Input{
		"another one's turn": {input(), input(latest(a))},
		"undone":             {input(live(a), record(b, a), person, latest(c))},
	} {
		w := carryingFrom(1, inputs...)
		for tick := range 3 {
			rules := limited(1)
			rules.Now = now.Add(time.Duration(tick) * time.Minute)
			_, steps := rules.Plan(targets(3), []*decide.Workload{several(90)[0], &w}) // another has waited longer still
			require.Contains(t, steps[1].Decisions[0].Message, "MAX_ROLLOUTS", name)
			assert.Empty(t, steps[1].Change.Slots, name)
			assert.Equal(t, tick == 1, steps[1].Change.Empty(), "%s: tick %d writes %s", name, tick, told(*steps[1]))
			w = begun(written(w, steps[1].Change))
			assert.Equal(t, &now, recordOf(w, 0).State.TurnSince, "whatever digest it waits for")
			if tick == 1 {
				w.Bindings[0].Latest, w.Bindings[0].Answers = decide.Latest{Digest: digestD}, mayRollOut(digestD, nil)
			}
		}
		_, steps := limited(1).Plan(targets(3), []*decide.Workload{several(0)[0], &w})
		assert.Equal(t, "waiting state:t0=set no turn", told(*steps[0]), name)
		assert.Nil(t, recordOf(written(w, steps[1].Change), 0).State.TurnSince, "and then its turn has come")
	}
}

// A workload that is decided again keeps its turn, or has none still, and its targets' failures are counted anew where their
// counters stand, and are as they were where these stand elsewhere.
func TestDecidedAgain(t *testing.T) {
	t.Parallel()
	w := carrying(input())
	assert.Equal(t, "refreshed 0.0=B mark:t0=B state:t0=set", told(rules.Again(targets(1), w, true)))
	assert.Equal(t, "waiting state:t0=set no turn", told(rules.Again(targets(1), w, false)))

	home := begun(counting(carrying(input(unknown)), 0, 2))
	of := targets(1)
	of[0].Failure = failing
	known, _ := rules.Plan(of, []*decide.Workload{&home})
	again := rules.Again(known, counting(home, 0, 0), true) // another tick has resolved it
	assert.Equal(t, "skipped", told(again))
	assert.Equal(t, decide.Count{Of: 3}, again.Failures[0].Count)
	home.Homes = nil
	assert.Equal(t, "failed failures:t0=", told(rules.Again(known, begun(home), true)), "they are counted elsewhere")
}

// What is latest is remembered in every row but the first, and since when; and a target is stale while that has been the same
// for longer than it says, on whichever of its workloads that was seen first.
func TestStale(t *testing.T) {
	t.Parallel()
	const allowed = time.Hour
	policy := func(in *decide.Input) { in.Policy.StaleAfter = allowed }
	seen := func(content annotate.Content, ago time.Duration) func(*decide.Input) {
		return func(in *decide.Input) {
			in.Record.State.Seen = &annotate.Seen{Digest: content.Digest(), Since: now.Add(-ago)}
		}
	}
	for name, c := range map[string]struct {
		in    decide.Input
		since time.Duration
	}{
		"fresh":              {input(latest(a), policy, seen(a, allowed)), allowed},
		"held":               {input(held, policy, seen(b, allowed)), allowed},
		"refreshed":          {input(policy, seen(b, allowed)), allowed},
		"rejected":           {input(policy, failedB, seen(b, allowed)), allowed},
		"rejected, put back": {input(policy, live(c), failedB, seen(b, allowed)), allowed},
		"adopted":            {input(policy, noRecord), 0},
		"moved":              {input(policy, held, seen(a, allowed)), 0},
		"a person":           {input(policy, record(b, b), person, seen(b, allowed)), allowed},
		"unresolved":         {input(unknown, policy, seen(a, allowed)), allowed},
	} {
		got := decide.Decide(c.in).Record.State.Seen
		assert.Equal(t, &annotate.Seen{Digest: cmp.Or(c.in.Latest.Digest, digestA), Since: now.Add(-c.since)}, got, name)
	}
	for name, c := range map[string]struct {
		first, second decide.Input
		stale         bool
	}{
		"longer on one of two":                {input(seen(b, allowed)), input(seen(b, allowed+time.Second)), true},
		"as long as that":                     {input(seen(b, allowed)), input(seen(b, 0)), false},
		"longer, of what was latest before":   {input(seen(a, 2*allowed)), input(seen(a, 2*allowed)), false},
		"longer, and latest is unknown":       {input(unknown, seen(a, 2*allowed)), input(unknown), false},
		"nothing remembered":                  {input(), input(), false},
		"longer on one that is held, as said": {input(held, seen(b, 2*allowed)), input(held), true},
	} {
		first, second := carrying(c.first), carrying(c.second)
		second.Homes = nil
		for _, after := range []time.Duration{allowed, 0} {
			of := targets(1)
			of[0].Policy.StaleAfter = after
			got, _ := rules.Plan(of, []*decide.Workload{&first, &second})
			assert.Equal(t, c.stale && after > 0, got[0].Stale != nil, name)
			assert.Zero(t, got[0].Failures.N, name)
		}
	}
}
