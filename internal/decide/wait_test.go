package decide_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// underWay is a workload of two replicas on its way: so many are fresh.
func underWay(fresh int) decide.Rollout {
	return decide.Rollout{Fresh: fresh, Available: 2, Desired: 2}
}

// begins is a workload with what was decided for it written, and the wait for that.
func begins(t *testing.T, w decide.Workload) (decide.Workload, decide.Step, decide.Waits) {
	t.Helper()
	of := targets(len(w.Bindings))
	step := planned(t, w, of)
	w = rolling(written(w, step.Change), underWay(0))
	return w, step, rules.Waits(w, of, step.Decisions)
}

// ends is the end of a wait: each that the pods are asked about, they crash.
func ends(w decide.Workload, waits decide.Waits, before []decide.Decision) decide.Step {
	of := targets(len(w.Bindings))
	for at, questions := range rules.ConclusionQuestions(w, of, waits) {
		for _, question := range questions {
			w.Bindings[at].Answers = w.Bindings[at].Answers.With(question, decide.Answer{Pods: crashing})
		}
	}
	return rules.Conclude(w, of, waits, before)
}

// What is waited for: what this tick has put there, or what an earlier one did.
func TestWaitsAreForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	_, _, waits := begins(t, carrying(input(latest(a)), input(latest(a), notify)))
	assert.False(t, waits.Any())

	contested := input(record(b, b), helm, reapplied(3, 2*time.Hour, true))
	_, step, waits := begins(t, carrying(input(), input(latest(a)), contested))
	assert.True(t, waits.Any())
	assert.NotNil(t, step.Decisions[2].Failure)
	assert.Equal(t, []decide.Wait{
		{Digest: digestB, Namespace: "ns", Joint: true},
		{Joint: true},
		{Digest: digestB, Namespace: "ns", Joint: true, Contested: step.Decisions[2].Failure},
	}, waits.Of)

	_, _, waits = begins(t, carrying(input(ours(0)), input(latest(a), unsettled)))
	assert.True(t, waits.Any())
	assert.Equal(t, []decide.Wait{{Digest: digestB, Namespace: "ns"}, {}}, waits.Of, "alone in its rollout")

	stripped, step, _ := begins(t, carrying(input()))
	stripped.Object.Labels, stripped.Object.Annotations = nil, nil // by somebody else, before the wait began
	waits = rules.Waits(stripped, targets(1), step.Decisions)
	concluded := ends(rolling(stripped, input().Facts.Rollout), waits, step.Decisions)
	assert.Equal(t, failure.Contested, causeOf(concluded.Decisions[0].Failure), "what was written counts")
}

// When a wait is over.
func TestAWaitIsOver(t *testing.T) {
	t.Parallel()
	_, _, waits := begins(t, carrying(input(), input(latest(a))))
	type contents = []annotate.Content
	for name, c := range map[string]struct {
		rollout  decide.Rollout
		contents []annotate.Content
		want     bool
	}{
		"under way":                             {underWay(1), contents{b, a}, false},
		"down":                                  {decide.Rollout{}, contents{b, a}, false},
		"settled":                               {input().Facts.Rollout, contents{b, a}, true},
		"OnDelete":                              {decide.Rollout{AwaitsDelete: true}, contents{b, a}, true},
		"given up by the controller":            {decide.Rollout{Failure: "ProgressDeadlineExceeded"}, contents{b, a}, true},
		"somebody has replaced it":              {underWay(1), contents{c, a}, true},
		"somebody has emptied it":               {underWay(1), contents{none, a}, true},
		"somebody has replaced another's":       {underWay(1), contents{b, c}, false},
		"the slot went away":                    {underWay(1), contents{"", a}, true},
		"only its mark could be read: the same": {underWay(1), contents{annotate.Content(b.Mark()), a}, false},
	} {
		assert.Equal(t, c.want, waits.Over(c.rollout, c.contents), name)
	}
}

// Progress is what is fresh beyond what any tick before has seen fresh, in whichever tick it became so (I43, I52), and forgives.
func TestI43I52ProgressIsBeyondWhatAnyTickHasSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before decide.Input
		fresh  int
		want   string
	}{
		{"put, one became fresh", input(), 1, "waiting failed=0 fresh=1"},
		{"put, and none did", input(), 0, "failed failed=1 fresh=0"},
		{"gone on with, one became fresh since, in any tick", input(ours(1)), 2, "waiting failed=0 fresh=2"},
		{"gone on with, and none did", input(ours(1)), 1, "failed failed=2 fresh=1"},
		{"gone on with, and one was lost", input(ours(1)), 0, "failed failed=2 fresh=1"},
	} {
		w, step, waits := begins(t, carrying(c.before))
		got := ends(rolling(w, underWay(c.fresh)), waits, step.Decisions).Decisions[0]
		attempt := got.Record.State.Attempt
		assert.Equal(t, c.want, fmt.Sprintf("%s failed=%d fresh=%d", got.Outcome, attempt.Failed, attempt.Fresh), c.name)
	}
}

// To be told to end is noted of all that is waited for, in a value of its own, and counts nothing.
func TestATickThatIsToldToEndCountsNothing(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, carrying(input(), input()))
	assert.Equal(t, "waiting,waiting", told(ends(w, waits.Interrupted(), step.Decisions)))
	assert.False(t, waits.Of[0].Interrupted)
}

// A target that was not waited for keeps what was decided before, and its record.
func TestTheOthersKeepWhatWasDecided(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, carrying(input(), input(failedB)))
	remember(w, 1, annotate.Record{Mark: a, Recorded: a}) // a person has removed its state since
	concluded := ends(rolling(w, input().Facts.Rollout), waits, step.Decisions)
	assert.Equal(t, "refreshed,rejected recorded:t0=B state:t0=set event:t0=DigestRefreshed", told(concluded))

	w, step, waits = begins(t, begun(counting(carrying(input(ours(0)), input(latest(a), unsettled)), 3)))
	assert.Equal(t, "waiting,waiting streak=4", told(step))
	concluded = ends(w, waits, step.Decisions)
	assert.Equal(t, "failed,waiting state:t0=set event:t0=RolloutFailed", told(concluded), "what was counted before is not counted again")
	assert.Equal(t, "waiting,waiting streak=4", told(step), "what was decided before stays as it is")

	w, step, waits = begins(t, begun(counting(carrying(input()), 3))) // one whose own patch ends the streak counts its progress
	assert.Contains(t, told(ends(rolling(w, underWay(1)), waits, step.Decisions)), "streak=1")
}

// Whose fault a joint failure is, is not known: all targets are restored, those below their own threshold too, none is rejected,
// and the next ticks try one each.
func TestAJointFailureRestoresAll(t *testing.T) {
	t.Parallel()
	const restored = "rolled-back,rolled-back 0.0=A 1.0=A mark:t0=A state:t0=set mark:t1=A state:t1=set " +
		"event:t0=RolloutFailed event:t0=RolledBack event:t1=RolloutFailed event:t1=RolledBack"
	attempts := func(w decide.Workload) (all []annotate.Attempt) {
		for at := range w.Bindings {
			assert.Empty(t, recordOf(w, at).State.Rejected)
			attempt := recordOf(w, at).State.Attempt
			all = append(all, annotate.Attempt{Failed: attempt.Failed, Alone: attempt.Alone})
		}
		return all
	}
	down := decide.Rollout{Desired: 2}
	w, step, waits := begins(t, carrying(input(), input()))
	concluded := ends(rolling(w, down), waits, step.Decisions)
	assert.Equal(t, restored, told(concluded))
	after := written(w, concluded.Change)
	assert.Equal(t, []annotate.Attempt{{Failed: 1, Alone: true}, {Failed: 1, Alone: true}}, attempts(after))

	w, step, waits = begins(t, begun(rolling(after, input().Facts.Rollout))) // restored and settled
	assert.Equal(t, "0.0=B", puts(step.Change))
	after = written(w, ends(rolling(w, down), waits, step.Decisions).Change)
	assert.Len(t, recordOf(after, 0).State.Rejected, 1, "it fails alone, and is rejected")
	assert.Empty(t, recordOf(after, 1).State.Rejected)
	_, step, _ = begins(t, begun(rolling(after, input().Facts.Rollout)))
	assert.Equal(t, "1.0=B", puts(step.Change), "and then the other has its turn")

	w, step, waits = begins(t, carrying(input(ours(2)), input(ours(0))))
	concluded = ends(w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.RolledBack, decide.RolledBack}, outcomes(concluded.Decisions))
	assert.Equal(t, []annotate.Attempt{{Failed: 2, Alone: true}, {Failed: 1, Alone: true}}, attempts(written(w, concluded.Change)))
	w, step, waits = begins(t, carrying(input(ours(1)), input(ours(0)))) // neither is at its threshold
	assert.Empty(t, puts(ends(w, waits, step.Decisions).Change))
	w, step, waits = begins(t, carrying(input(ours(2)), input(latest(a), unsettled))) // the other was not waited for
	concluded = ends(w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.RolledBack, decide.Waiting}, outcomes(concluded.Decisions))
	assert.Len(t, recordOf(written(w, concluded.Change), 0).State.Rejected, 1, "and so its own fault is known")
}

// Two ticks that wait for the same rollout count its failure once (I28, I80): the one that is slower finds another count
// than when its wait began.
func TestI80TwoTicksThatWaitCountOnce(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, carrying(input(ours(0))))
	w = written(w, ends(w, waits, step.Decisions).Change)
	assert.Equal(t, 1, recordOf(w, 0).State.Attempt.Failed)
	assert.Equal(t, "failed", told(ends(w, waits, step.Decisions)), "as loud, and nothing is written")
	_, _, waits = begins(t, begun(w)) // the next tick's wait begins with what is there now
	assert.Equal(t, 2, recordOf(written(w, ends(w, waits, step.Decisions).Change), 0).State.Attempt.Failed)
}
