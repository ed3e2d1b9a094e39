package scenario_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// set is the strategic merge patch that puts a value into the slot of the Deployment "jobs".
func set(value string) string {
	return `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[{"name":"` + slot + `","value":"` + value + `"}]}]}}}}`
}

// I38: a GitOps controller reverted what an updater set, the updater set it again: 18,000 ReplicaSets. After the
// threshold it stops, is loud with the manager's name, and tries once in two hours.
func TestI38AContestedSlotIsPutBackOnceInTwoHours(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Setenv("CONTESTED_THRESHOLD", "2")
	second := s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	revert := func() {
		s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
		s.Settle(workloads.Deployment("jobs"))
	}
	for range 2 {
		revert()
		requireOutcome(t, s.Tick(), 0, "reapplied", "")
		assert.Equal(t, second, live(s))
	}
	revert()
	hour, atHour := 0.0, playClock(s)
	for round := range 2 {
		s.Forget()
		for range 3 {
			atHour(hour + 0.5)
			contested := requireOutcome(t, s.Tick(), 1, "failed", "contested")
			assert.Contains(t, contested.Message, harness.Argo)
			assert.Equal(t, first, live(s))
			hour += 0.5
		}
		assert.Empty(t, slotWrites(s, "deployments", "jobs"), "nothing is patched")
		hour += 0.6
		atHour(hour)
		plan := requireOutcome(t, s.Run("plan"), 1, "failed", "contested")
		tried := requireOutcome(t, s.Tick(), 1, "failed", "contested")
		assert.Equal(t, plan.Message, tried.Message)
		assert.Contains(t, tried.Message, harness.Argo, "the tick that tries names it too")
		assert.Equal(t, second, live(s), "two hours later it is tried")
		assert.Len(t, slotWrites(s, "deployments", "jobs"), 1)
		if round == 0 {
			revert()
		}
	}
	// The deployer has given in: it is green at once, and the count falls by one in two hours.
	for range 2 {
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
	}
	assert.Equal(t, 2, reapplied(t, s))
	atHour(hour + 2.1)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Equal(t, 1, reapplied(t, s))
	assert.Len(t, eventsOf(s, "RefreshContested"), 1)
	requireQuietOnceSettled(t, s, workloads.Deployment("jobs"))
	revert()
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
}

// I53: a GitOps controller reverted the slot in every second tick, and all of them were green, for ever.
func TestI53ARevertInEverySecondTickIsContested(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	atHour := playClock(s)
	for round := range 4 {
		s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
		s.Settle(workloads.Deployment("jobs"))
		atHour(0.5 * float64(round))
		if round == 3 {
			requireOutcome(t, s.Tick(), 1, "failed", "contested")
			break
		}
		requireOutcome(t, s.Tick(), 0, "reapplied", "")
		assert.Equal(t, second, live(s))
		atHour(0.5*float64(round) + 0.25)
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
	}
}

// I75: four deployments in a day, each of which reverted the slot, are none.
func TestI75AFewDeploymentsADayAreNotContested(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	atHour := playClock(s)
	for deployment := range 6 {
		s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
		s.Settle(workloads.Deployment("jobs"))
		atHour(4 * float64(deployment))
		requireOutcome(t, s.Tick(), 0, "reapplied", "")
		atHour(4*float64(deployment) + 3)
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
	}
}

// contested is the Deployment "jobs" whose slot a deployer has reverted once more than it is put back.
func contested(t *testing.T) *harness.Scenario {
	t.Helper()
	s, first := adopted(t)
	s.Setenv("CONTESTED_THRESHOLD", "1")
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	revert := func() {
		s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
		s.Settle(workloads.Deployment("jobs"))
	}
	revert()
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	revert()
	return s
}

// A new digest is no re-application: it leads out of a contest.
func TestI38ANewDigestLeadsOutOfAContest(t *testing.T) {
	t.Parallel()
	s := contested(t)
	requireOutcome(t, s.Tick(), 1, "failed", "contested")
	third := s.Push(ingestor, image("third"))
	harness.RequireExit(t, 0, s.Tick())
	assert.Equal(t, third, live(s))
	assert.Equal(t, third, s.Deployment("jobs").Annotations[recorded])
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
}

// I46: a tag flipped between two digests; a rollout each tick, all green.
func TestI46ATagThatFlipsIsContested(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Setenv("CONTESTED_THRESHOLD", "2")
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	for turn := range 2 {
		s.Push(ingestor, image([]string{"first", "second"}[turn]))
		requireOutcome(t, s.Tick(), 0, "reapplied", "")
	}
	revision := workloads.Revision(s.Deployment("jobs"))
	s.Push(ingestor, image("first"))
	contested := requireOutcome(t, s.Tick(), 1, "failed", "contested")
	assert.Contains(t, contested.Message, "the tag itself")
	assert.Equal(t, revision, workloads.Revision(s.Deployment("jobs")))
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	third := s.Push(ingestor, image("third"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, third, live(s))
}

// What a deployer reverts while it is rolling out counts as a re-application, never as a failed attempt.
func TestI38ARevertDuringTheWaitIsNoFailedAttempt(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Stuck())
	run := s.Start()
	s.Eventually("the rollout has begun", func() bool { return workloads.Revision(s.Deployment("jobs")) == 2 })
	s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
	result := run.Finish()
	requireOutcome(t, result, 0, "waiting", "")
	assert.Contains(t, result.Report.Target("ingestor").Workload("jobs").Message, harness.Argo)
	assert.Equal(t, 1, reapplied(t, s))
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], `"failed"`)
	s.Behave(nil)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	assert.Equal(t, 1, reapplied(t, s), "counted once")
	assert.Equal(t, second, s.Deployment("jobs").Annotations[recorded])
}

// reapplied reads the count of re-applications from the state; 0 where there is none.
func reapplied(t *testing.T, s *harness.Scenario) int {
	t.Helper()
	var stored struct {
		Reapplied int `json:"reapplied"`
	}
	if text := s.Deployment("jobs").Annotations[state]; text != "" {
		require.NoError(t, json.Unmarshal([]byte(text), &stored))
	}
	return stored.Reapplied
}

// I28, I38: eight ticks at once on a contested slot are all loud, and put it back once after two hours.
func TestI28I38EightTicksAtOnceOnAContestedSlot(t *testing.T) {
	t.Parallel()
	s := contested(t)
	for _, result := range eightAtOnce(t, s) {
		requireOutcome(t, result, 1, "failed", "contested")
	}
	assert.Zero(t, slotPatches(s))
	assert.Len(t, eventsOf(s, "RefreshContested"), 1)
	playClock(s)(2.1)
	for _, result := range eightAtOnce(t, s) {
		harness.RequireExit(t, 1, result)
	}
	assert.Equal(t, 1, slotPatches(s))
}

// I28, I38: eight ticks at once on a slot that was reverted put it back once, and count one re-application.
func TestI28I38EightTicksAtOnceOnARevertedSlot(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Setenv("CONTESTED_THRESHOLD", "2")
	second := s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	for range 2 {
		s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
		s.Settle(workloads.Deployment("jobs"))
		for _, result := range eightAtOnce(t, s) {
			harness.RequireExit(t, 0, result)
		}
		assert.Equal(t, 1, slotPatches(s))
		assert.Equal(t, second, live(s))
	}
	s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 1, "failed", "contested")
	assert.Len(t, eventsOf(s, "DigestReapplied"), 2)
}
