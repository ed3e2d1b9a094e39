package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// requirePace asserts how many rollouts a plan predicts, and how many ticks they take.
func requirePace(t *testing.T, s *harness.Scenario, rollouts, ticks int) {
	t.Helper()
	plan := s.Run("plan")
	assert.Equal(t, []int{rollouts, ticks}, []int{plan.Report.Rollouts, plan.Report.Ticks}, plan.Stdout)
}

// I57: a plan says how many workloads are to be rolled, and how many ticks that takes under MAX_ROLLOUTS.
func TestI57APlanTellsHowManyTicksItsRolloutsTake(t *testing.T) {
	t.Parallel()
	q := queueOf(t, 3)
	requirePace(t, q.Scenario, 0, 0)
	q.move(0)
	requirePace(t, q.Scenario, 3, 1)
	for limit, ticks := range map[string]int{"0": 1, "1": 3, "2": 2, "3": 1} {
		q.Setenv("MAX_ROLLOUTS", limit)
		requirePace(t, q.Scenario, 3, ticks)
	}
	q.Setenv("MAX_ROLLOUTS", "2")
	assert.Regexp(t, `\n3 rollouts, in 2 ticks\n$`, q.Run("plan", "-o", "table").Stdout)
	for left := 3; left > 0; left -= 2 {
		q.tick(min(2, left))
		requirePace(t, q.Scenario, max(0, left-2), left/2)
	}
}

// Of a workload that was never seen, a plan also tells what the tick after the first would do, and counts its rollouts.
func TestAPlanTellsWhatFollowsAFirstObservation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		latest   registries.Content
		says     string
		rollouts int
		outcome  string
	}{
		"a refresh": {registries.Index("second", "linux/amd64"), "the tick after would report refreshed: ", 1, "refreshed"},
		"a gate":    {registries.Index("second", "linux/arm64"), "the tick after would report skipped (platform-missing): ", 0, "skipped"},
		"nothing":   {registries.Index("first", "linux/amd64"), "the tick after would report unchanged", 0, "unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, registries.Index("first", "linux/amd64"))
			s.Deploy(jobs(first))
			s.Push(ingestor, c.latest)
			s.Configure(ingestorConfig)
			s.Forget()
			planned := requireOutcome(t, s.Run("plan"), 0, "adopted", "")
			assert.Contains(t, planned.Message, c.says)
			assert.Empty(t, s.API.Writes())
			requirePace(t, s, c.rollouts, 2*c.rollouts)
			harness.RequireExit(t, 0, s.Tick())
			s.Settle(workloads.Deployment("jobs"))
			result := s.Tick()
			assert.Equal(t, c.outcome, result.Report.Target("ingestor").Workload("jobs").Outcome)
		})
	}
}
