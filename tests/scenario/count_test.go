package scenario_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I48: a clock was hours ahead for one tick; until real time caught up no tick counted anything, green. What an earlier
// version has stored about that counts for nothing.
func TestI48WhoCountedInTheFutureStopsNothing(t *testing.T) {
	t.Parallel()
	t.Run("resolve failures", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		require.NoError(t, s.Site.Delete(ingestor))
		for count := 1; count <= 3; count++ {
			countInTheFuture(t, s)
			result := s.Tick()
			harness.RequireExit(t, count/3, result)
			assert.Equal(t, count, result.Report.Target("ingestor").Failures)
			assert.Equal(t, strconv.Itoa(count), s.Deployment("jobs").Annotations[failures])
		}
		assert.Contains(t, s.Deployment("jobs").Annotations[lastError], "not-found: ")
	})
	t.Run("skip streak", func(t *testing.T) {
		t.Parallel()
		s := unsettled(t)
		for count := 1; count <= 2; count++ {
			countInTheFuture(t, s)
			requireOutcome(t, s.Tick(), 0, "waiting", "")
			assert.Equal(t, strconv.Itoa(count), s.Deployment("jobs").Annotations[streak])
		}
		countInTheFuture(t, s)
		requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	})
	t.Run("attempts", func(t *testing.T) {
		t.Parallel()
		s, first := adopted(t)
		behave(s, s.Push(ingestor, image("second")), crash())
		s.Setenv("ROLLOUT_TIMEOUT", "1s")
		s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
		assert.Contains(t, requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed").Message, "1/2")
		countInTheFuture(t, s)
		assert.Contains(t, requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed").Message, "2/2")
		requireRolled(t, s, "jobs", first, 3)
	})
	t.Run("re-applications", func(t *testing.T) {
		t.Parallel()
		s, first := adopted(t)
		s.Setenv("CONTESTED_THRESHOLD", "1")
		s.Push(ingestor, image("second"))
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
		for _, outcome := range []string{"reapplied", "failed"} {
			s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
			s.Settle(workloads.Deployment("jobs"))
			countInTheFuture(t, s)
			result := s.Tick()
			assert.Equal(t, outcome, result.Report.Target("ingestor").Workload("jobs").Outcome)
		}
	})
}

// I80: two ticks within a second are two ticks, however a clock is rounded: here it stands still.
func TestI80TicksWithinASecondCountEach(t *testing.T) {
	t.Parallel()
	t.Run("resolve failures", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		require.NoError(t, s.Site.Delete(ingestor))
		stopTheClock(s)
		for count := 1; count <= 2; count++ {
			requireFailures(t, s, s.Tick(), count)
		}
	})
	t.Run("skip streak", func(t *testing.T) {
		t.Parallel()
		s := unsettled(t)
		stopTheClock(s)
		for count := 1; count <= 2; count++ {
			requireOutcome(t, s.Tick(), 0, "waiting", "")
			assert.Equal(t, strconv.Itoa(count), s.Deployment("jobs").Annotations[streak])
		}
	})
	t.Run("attempts", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		behave(s, s.Push(ingestor, image("second")), crash())
		s.Setenv("ROLLOUT_TIMEOUT", "1s")
		stopTheClock(s)
		for _, count := range []string{"1/3", "2/3"} {
			assert.Contains(t, requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed").Message, count)
		}
	})
}

// I27: what was counted in one counter says nothing of another one: a tick that loses the race for the target's failures
// counts the failed rollout all the same.
func TestACountThatIsLostIsThatCountersAlone(t *testing.T) {
	t.Parallel()
	s, _, latest := moved(t, fakenode.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	defer concludeTogether(s, 2, latest)()
	first := s.Start()
	s.Eventually("the first tick waits", func() bool { return len(s.API.Requests(waits)) >= 1 })
	s.Site.Proxy.Refuse("ghcr.io", 403)
	second := s.Start() // it counts a failure to resolve, while the first waits
	for _, run := range []*harness.Run{first, second} {
		assert.Contains(t, requireOutcome(t, run.Finish(), 1, "failed", "rollout-failed").Message, "1/3")
	}
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
	s.Setenv("ROLLOUT_TIMEOUT", "1s")
	assert.Contains(t, requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed").Message, "2/3")
	assert.Equal(t, "2", s.Deployment("jobs").Annotations[failures])
}

// Q7: one tick restores a service that went down, while another one waits for what took it down: one count, one
// restoration, and nothing is put back.
func TestQ7OneTickRestoresWhileAnotherWaits(t *testing.T) {
	t.Parallel()
	s, first := adopted(t, workloads.Recreate())
	second := s.Push(ingestor, image("second"))
	behave(s, second, crash())
	s.Settle(jobs(first))
	s.Forget()
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	remove := concludeTogether(s, 2, second)
	one, other := overlapping(t, s)
	for _, run := range []*harness.Run{one, other} {
		requireOutcome(t, run.Finish(), 1, "rolled-back", "rollout-failed")
	}
	remove()
	assert.Equal(t, 2, slotPatches(s), "the attempt and its restoration")
	requireRolled(t, s, "jobs", first, 3)
	assert.Len(t, eventsOf(s, "RolloutFailed"), 1)
	assert.Len(t, eventsOf(s, "RolledBack"), 1)
	s.Forget()
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	assert.Zero(t, slotPatches(s))
}

// unsettled is the Deployment "jobs" whose tag has moved while its pod is not ready, with a threshold of three ticks.
func unsettled(t *testing.T) *harness.Scenario {
	t.Helper()
	s, first := adopted(t)
	s.Setenv("UNSETTLED_THRESHOLD", "3")
	behave(s, first, fakenode.Stuck())
	s.Eventually("the pod is not ready", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	return s
}

// stopTheClock has the API server date all its answers alike, but for watches.
func stopTheClock(s *harness.Scenario) {
	s.API.Inject(apiproxy.Fault{
		Match: func(r apiproxy.Request) bool { return r.Verb != "watch" },
		Do:    faultinject.Header("Date", time.Now().UTC().Format(http.TimeFormat)),
	})
}
