package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// staleSoon is a Deployment whose target is stale after ten days, as the API server counts them.
func staleSoon(t *testing.T, lines ...string) (s *harness.Scenario, atHour func(float64)) {
	t.Helper()
	s, _ = adopted(t)
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api", "env: "+slot), append(lines, "staleAfter: 240h")...))
	atHour = playClock(s)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	return s, atHour
}

// A frozen mirror looks like a quiet one: a tag that has not moved for longer than the target says is loud in each tick, and
// nothing else changes.
func TestATagThatHasNotMovedForTooLongIsStale(t *testing.T) {
	t.Parallel()
	s, atHour := staleSoon(t)
	s.Settle(workloads.Deployment("jobs"))
	s.Forget()
	atHour(239)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	atHour(241)
	for range 2 {
		result := s.Tick()
		requireOutcome(t, result, 1, "unchanged", "")
		target := result.Report.Target("ingestor")
		assert.Equal(t, "stale", target.Cause)
		assert.Zero(t, target.Failures)
		for _, text := range []string{live(s)[:19], "240h", "mirror", "docs/runbook.md#stale"} {
			assert.Contains(t, target.Message, text)
		}
	}
	assert.Contains(t, s.Run("run", "-o", "table").Stdout, "ingestor: stale: ")
	assert.Equal(t, "stale", requireCheck(t, check(t, s, 1), "image", "failed", "").Cause)
	assert.Empty(t, s.API.Writes(), "nothing is counted")
	assert.Empty(t, s.Events())

	second := s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, second, live(s))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	atHour(482)
	requireOutcome(t, s.Tick(), 1, "unchanged", "")

	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], `"seen"`, "and what is of no use is forgotten")
}

// Since when a tag stands for something is remembered whatever a tick makes of it, and a tag that moves is not stale, whether
// or not the workload follows.
func TestStaleIsBesideTheRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines   []string
		hold    bool
		outcome string
	}{
		"held":     {nil, true, "held"},
		"pending":  {[]string{"mode: notify"}, false, "pending"},
		"deferred": {[]string{"minAge: 1000h"}, false, "deferred"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, atHour := staleSoon(t, c.lines...)
			if c.hold {
				s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true")
			}
			s.Push(ingestor, image("second"))
			atHour(241)
			requireOutcome(t, s.Tick(), 0, c.outcome, "")
			atHour(480)
			requireOutcome(t, s.Tick(), 0, c.outcome, "")
			atHour(482)
			result := s.Tick()
			requireOutcome(t, result, 1, c.outcome, "")
			assert.Equal(t, "stale", result.Report.Target("ingestor").Cause)
		})
	}
}
