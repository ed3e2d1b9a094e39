package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
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

// concludes is the end of a wait: each that the pods are asked about, they crash.
func concludes(t *testing.T, w decide.Workload, waits decide.Waits, before []decide.Decision) decide.Step {
	t.Helper()
	of := targets(len(w.Bindings))
	for at, questions := range rules.ConclusionQuestions(w, of, waits) {
		for _, question := range questions {
			w.Bindings[at].Answers = w.Bindings[at].Answers.With(question, decide.Answer{Pods: decide.PodProblems{Reasons: []string{"CrashLoopBackOff"}, Evidence: []bool{true, true, true}, Crashed: []bool{true, true, true}}})
		}
	}
	return rules.Conclude(w, of, waits, before)
}

// What is waited for: what this tick has put there, or what an earlier one did.
func TestWaitsAreForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	_, _, waits := begins(t, carrying(input(latest(digestA)), input(latest(digestA), notify)))
	assert.False(t, waits.Any())

	_, step, waits := begins(t, carrying(input(), input(latest(digestA)), input(record(b, b), deployer("helm"), reapplied(3, 2*time.Hour, true))))
	assert.True(t, waits.Any())
	assert.Equal(t, []decide.Wait{
		{Digest: digestB, Namespace: "ns", Joint: true},
		{Joint: true},
		{Digest: digestB, Namespace: "ns", Joint: true, Contested: step.Decisions[2].Failure},
	}, waits.Of)
	assert.NotNil(t, waits.Of[2].Contested)

	_, _, waits = begins(t, carrying(input(ours(0)), input(latest(digestA), unsettled)))
	assert.True(t, waits.Any())
	assert.Equal(t, []decide.Wait{{Digest: digestB, Namespace: "ns"}, {}}, waits.Of, "alone in its rollout")
}

// When a wait is over.
func TestAWaitIsOver(t *testing.T) {
	t.Parallel()
	_, _, waits := begins(t, carrying(input(), input(latest(digestA))))
	for name, c := range map[string]struct {
		rollout  decide.Rollout
		contents []annotate.Content
		want     bool
	}{
		"under way":                             {underWay(1), []annotate.Content{b, a}, false},
		"down":                                  {decide.Rollout{}, []annotate.Content{b, a}, false},
		"settled":                               {input().Facts.Rollout, []annotate.Content{b, a}, true},
		"OnDelete":                              {decide.Rollout{AwaitsDelete: true}, []annotate.Content{b, a}, true},
		"given up by the controller":            {decide.Rollout{Failure: "ProgressDeadlineExceeded"}, []annotate.Content{b, a}, true},
		"somebody has replaced it":              {underWay(1), []annotate.Content{c, a}, true},
		"somebody has emptied it":               {underWay(1), []annotate.Content{none, a}, true},
		"somebody has replaced another's":       {underWay(1), []annotate.Content{b, c}, false},
		"the slot went away":                    {underWay(1), []annotate.Content{"", a}, true},
		"only its mark could be read: the same": {underWay(1), []annotate.Content{annotate.Content(b.Mark()), a}, false},
	} {
		assert.Equal(t, c.want, waits.Over(c.rollout, c.contents), name)
	}
}

// Progress is what is fresh beyond what any tick before has seen fresh, in whichever tick it became so (I43, I52).
func TestProgressIsBeyondWhatAnyTickHasSeen_I43_I52(t *testing.T) {
	t.Parallel()
	put, goesOn := carrying(input()), carrying(input(ours(1)))
	for name, c := range map[string]struct {
		w    decide.Workload
		end  decide.Rollout
		want decide.Outcome
	}{
		"put, one became fresh":                             {put, underWay(1), decide.Waiting},
		"put, and none did":                                 {put, underWay(0), decide.Failed},
		"gone on with, one became fresh since, in any tick": {goesOn, underWay(2), decide.Waiting},
		"gone on with, and none did":                        {goesOn, underWay(1), decide.Failed},
		"gone on with, and one was lost":                    {goesOn, underWay(0), decide.Failed},
	} {
		w, step, waits := begins(t, c.w)
		concluded := concludes(t, rolling(w, c.end), waits, step.Decisions)
		assert.Equal(t, []decide.Outcome{c.want}, outcomes(concluded.Decisions), name)
		if c.want == decide.Waiting {
			assert.Equal(t, c.end.Fresh, concluded.Decisions[0].Record.State.Attempt.Fresh, name)
			assert.Zero(t, concluded.Decisions[0].Record.State.Attempt.Failed, "progress forgives")
		}
	}
}

// To be told to end is noted of all that is waited for, in a value of its own.
func TestATickThatIsToldToEndCountsNothing(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, carrying(input(), input()))
	told := waits.Interrupted()
	assert.False(t, waits.Of[0].Interrupted)
	assert.True(t, told.Of[0].Interrupted)
	assert.True(t, told.Of[1].Interrupted)
	concluded := concludes(t, w, told, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.Waiting, decide.Waiting}, outcomes(concluded.Decisions))
	assert.True(t, concluded.Change.Empty())
}

// A target that was not waited for keeps what was decided before, and its record.
func TestTheOthersKeepWhatWasDecided(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, carrying(input(), input(rejected(b, byFailure))))
	remember(w, 1, annotate.Record{Mark: a, Recorded: a}) // a person has removed its state since
	concluded := concludes(t, rolling(w, input().Facts.Rollout), waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.Refreshed, decide.Rejected}, outcomes(concluded.Decisions))
	assert.Equal(t, []decide.TargetEvent{{Target: 0, Event: concluded.Decisions[0].Events[0]}}, concluded.Events)
	after := written(w, concluded.Change)
	assert.Equal(t, b, recordOf(after, 0).Recorded)
	assert.Equal(t, recordOf(w, 1), recordOf(after, 1))
	assert.True(t, concluded.Turn)

	w, step, waits = begins(t, begun(counting(carrying(input(ours(0)), input(latest(digestA), unsettled)), 3)))
	assert.Equal(t, "4", step.Change.Annotations[keys.SkipStreak()])
	concluded = concludes(t, w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.Failed, decide.Waiting}, outcomes(concluded.Decisions))
	assert.NotContains(t, concluded.Change.Annotations, keys.SkipStreak(), "what one has counted before the wait is not counted again")
	assert.Equal(t, []decide.Outcome{decide.Waiting, decide.Waiting}, outcomes(step.Decisions), "what was decided before stays as it is")
}

// Whose fault a joint failure is, is not known: all targets are restored, none is rejected, and the next ticks try one each.
func TestAJointFailureRestoresAll(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, carrying(input(), input()))
	crashed := rolling(w, decide.Rollout{Desired: 2})
	concluded := concludes(t, crashed, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.RolledBack, decide.RolledBack}, outcomes(concluded.Decisions))
	assert.Equal(t, "0.0=a 1.0=a", puts(concluded.Change))
	after := written(crashed, concluded.Change)
	for at := range 2 {
		record := recordOf(after, at)
		assert.Equal(t, a.Mark(), record.Mark.Mark())
		assert.Empty(t, record.State.Rejected)
		assert.True(t, record.State.Attempt.Alone)
		assert.Equal(t, 1, record.State.Attempt.Failed)
	}

	// Restored and settled, the next tick tries the first alone; it fails alone, and is rejected.
	next := begun(rolling(after, input().Facts.Rollout))
	w, step, waits = begins(t, next)
	assert.Equal(t, "0.0=b", puts(step.Change))
	concluded = concludes(t, rolling(w, decide.Rollout{Desired: 2}), waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.RolledBack, decide.Waiting}, outcomes(concluded.Decisions))
	after = written(w, concluded.Change)
	assert.Len(t, recordOf(after, 0).State.Rejected, 1)
	assert.Empty(t, recordOf(after, 1).State.Rejected)

	// And then the other has its turn.
	_, step, _ = begins(t, begun(rolling(after, input().Facts.Rollout)))
	assert.Equal(t, []decide.Outcome{decide.Rejected, decide.Refreshed}, outcomes(step.Decisions))
	assert.Equal(t, "1.0=b", puts(step.Change))
}

// Where one target of a rollout is restored, all are, those below their own threshold too.
func TestWhereOneTargetIsRestoredAllAre(t *testing.T) {
	t.Parallel()
	w := carrying(input(ours(2)), input(ours(0)))
	w, step, waits := begins(t, w)
	assert.True(t, waits.Of[1].Joint)
	concluded := concludes(t, w, waits, step.Decisions)
	require.Equal(t, []decide.Outcome{decide.RolledBack, decide.RolledBack}, outcomes(concluded.Decisions))
	after := written(w, concluded.Change)
	assert.Equal(t, 2, recordOf(after, 0).State.Attempt.Failed, "short of its threshold, since nobody is rejected")
	assert.Equal(t, 1, recordOf(after, 1).State.Attempt.Failed)

	w, step, waits = begins(t, carrying(input(ours(1)), input(ours(0)))) // neither is at its threshold
	concluded = concludes(t, w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.Failed, decide.Failed}, outcomes(concluded.Decisions))
	assert.Empty(t, concluded.Change.Slots)

	w, step, waits = begins(t, carrying(input(ours(2)), input(latest(digestA), unsettled))) // the other was not waited for
	concluded = concludes(t, w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.RolledBack, decide.Waiting}, outcomes(concluded.Decisions))
	assert.Len(t, recordOf(written(w, concluded.Change), 0).State.Rejected, 1, "and so its own fault is known")
}

// Two ticks that wait for the same rollout count its failure once (I28, I80): the one that is slower finds another count
// than when its wait began.
func TestTwoTicksThatWaitCountOnce_I80(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, carrying(input(ours(0))))
	first := concludes(t, w, waits, step.Decisions)
	w = written(w, first.Change)
	assert.Equal(t, 1, recordOf(w, 0).State.Attempt.Failed)
	second := concludes(t, w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.Failed}, outcomes(second.Decisions), "as loud")
	assert.True(t, second.Change.Empty())
	assert.Empty(t, second.Events)

	_, _, waits = begins(t, begun(w)) // the next tick's wait begins with what is there now
	third := concludes(t, w, waits, step.Decisions)
	assert.Equal(t, 2, recordOf(written(w, third.Change), 0).State.Attempt.Failed)
}

// Zero replicas prove nothing: what was put there stays attempted until one runs it (I56).
func TestZeroReplicasProveNothing_I56(t *testing.T) {
	t.Parallel()
	zero := decide.Rollout{Settled: true, NoReplica: true}
	w, step, waits := begins(t, rolling(carrying(input()), zero))
	assert.Equal(t, "0.0=b", puts(step.Change))
	require.True(t, waits.Any())
	w = rolling(w, zero)
	assert.True(t, waits.Over(zero, []annotate.Content{b}))
	concluded := concludes(t, w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.Waiting}, outcomes(concluded.Decisions))
	assert.True(t, concluded.Change.Empty(), "neither recorded nor counted")

	w, step, waits = begins(t, begun(w))
	assert.Equal(t, []decide.Outcome{decide.Waiting}, outcomes(step.Decisions))
	assert.False(t, waits.Any(), "the next tick does not wait for what nothing runs")
	assert.True(t, step.Change.Empty())

	crash := decide.Rollout{Available: 0, Desired: 2} // scaled up in the morning
	w, step, waits = begins(t, begun(rolling(w, crash)))
	assert.True(t, waits.Any())
	w = rolling(w, crash)
	for range 2 {
		w = written(w, concludes(t, w, waits, step.Decisions).Change)
		w, step, waits = begins(t, begun(w))
	}
	concluded = concludes(t, w, waits, step.Decisions)
	assert.Equal(t, []decide.Outcome{decide.RolledBack}, outcomes(concluded.Decisions))
	assert.Equal(t, "0.0=a", puts(concluded.Change), "and there is something to go back to")

	proven, step, waits := begins(t, begun(rolling(written(carrying(input()), planned(t, carrying(input()), targets(1)).Change), underWay(1))))
	concluded = concludes(t, rolling(proven, input().Facts.Rollout), waits, step.Decisions)
	assert.Equal(t, b, recordOf(written(proven, concluded.Change), 0).Recorded)
}

// A tick whose own patch ends the skip streak counts the progress of what it has put there.
func TestATickThatClearsTheStreakCountsItsProgress(t *testing.T) {
	t.Parallel()
	w, step, waits := begins(t, begun(counting(carrying(input()), 3)))
	concluded := concludes(t, rolling(w, underWay(1)), waits, step.Decisions)
	assert.Equal(t, "1", concluded.Change.Annotations[keys.SkipStreak()])
	assert.Contains(t, concluded.Decisions[0].Message, "1/8")
}
