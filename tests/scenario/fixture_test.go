package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Annotations and labels of the target "ingestor", spelled out a second time on purpose: they are the contract.
const (
	mark      = "tracebloc.io/ingestor-digest"
	recorded  = "tracebloc.io/last-refreshed-ingestor-digest"
	failures  = "tracebloc.io/ingestor-refresh-consecutive-failures"
	lastError = "tracebloc.io/ingestor-refresh-last-error"
	state     = "tracebloc.io/ingestor-refresh-state"
	streak    = "tracebloc.io/refresh-skip-streak"
)

// adopted makes a scenario in which a Deployment runs the digest that its tag means, and one tick has adopted it.
func adopted(t *testing.T, options ...workloads.Option) (s *harness.Scenario, digest string) {
	t.Helper()
	s = environment.Scenario(t)
	digest = s.Push(ingestor, registries.Index("first", "linux/amd64"))
	s.Deploy(jobs(digest, options...))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	return s, digest
}

// refreshedOnce makes a scenario in which a tick has refreshed the Deployment "jobs" from first to second.
func refreshedOnce(t *testing.T, options ...workloads.Option) (s *harness.Scenario, first, second string) {
	t.Helper()
	s, first = adopted(t, options...)
	second = s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	return s, first, second
}

// rejectedOnce makes a scenario in which second was tried, rejected and rolled back to first.
func rejectedOnce(t *testing.T) (s *harness.Scenario, first, second string) {
	t.Helper()
	s, first = adopted(t)
	second = s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	return s, first, second
}

// contested is the Deployment "jobs" whose slot a deployer has reverted once more than it is put back.
func contested(t *testing.T) *harness.Scenario {
	t.Helper()
	s, first, _ := refreshedOnce(t)
	s.Setenv("CONTESTED_THRESHOLD", "1")
	for revert := range 2 {
		s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
		s.Settle(workloads.Deployment("jobs"))
		if revert == 0 {
			requireOutcome(t, s.Tick(), 0, "reapplied", "")
		}
	}
	return s
}

// set is the strategic merge patch that puts a value into the slot of the Deployment "jobs".
func set(value string) string {
	return `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[{"name":"` + slot + `","value":"` + value + `"}]}]}}}}`
}

// requireOutcome asserts exit code, outcome and cause of the target "ingestor" on the Deployment "jobs".
func requireOutcome(t *testing.T, result *product.Result, exit int, outcome, cause string) product.Workload {
	t.Helper()
	harness.RequireExit(t, exit, result)
	workload := result.Report.Target("ingestor").Workload("jobs")
	assert.Equal(t, outcome, workload.Outcome)
	assert.Equal(t, cause, workload.Cause)
	return workload
}

// live is what the slot of the Deployment "jobs" holds.
func live(s *harness.Scenario) string {
	value, _ := workloads.EnvValue(s.Deployment("jobs"), "api", slot)
	return value
}

// requireRolled asserts that a digest is live, recorded, marked and settled, in so many rollouts.
//
// A record is an annotation, and writing one bumps the generation: the controller may lag behind for a moment.
func requireRolled(t *testing.T, s *harness.Scenario, name, digest string, revision int) {
	t.Helper()
	s.Settle(workloads.Deployment(name))
	d := s.Deployment(name)
	value, _ := workloads.EnvValue(d, "api", slot)
	assert.Equal(t, digest, value)
	assert.Equal(t, digest, d.Annotations[recorded])
	assert.Equal(t, label(digest), contentOf(d.Labels[mark]))
	assert.Equal(t, revision, workloads.Revision(d))
}
