package scenario_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fault"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/kubelet"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// eightAtOnce runs eight ticks that have all begun, and read nothing yet, before any of them goes on.
func eightAtOnce(t *testing.T, s *harness.Scenario) []*product.Result {
	t.Helper()
	s.Forget()
	reads := apiproxy.Verb("get", "deployments")
	released := make(chan struct{})
	defer s.API.Inject(apiproxy.Fault{Match: reads, Times: 8, Do: fault.Hold(released)})()
	runs := make([]*harness.Run, 8)
	for i := range runs {
		runs[i] = s.Start()
	}
	s.Eventually("all eight have begun", func() bool { return len(s.API.Requests(reads)) >= 8 })
	close(released)
	results := make([]*product.Result, len(runs))
	for i, run := range runs {
		results[i] = run.Finish()
	}
	return results
}

// slotPatches counts the writes that have changed a slot.
func slotPatches(s *harness.Scenario) int {
	return len(s.API.Requests(func(r apiproxy.Request) bool { return isSlotPatch(r) && r.Status == 200 }))
}

// I28: eight ticks at once on a moved tag, whose pods take their time: one rollout, one record, one Event.
func TestI28EightTicksAtOnceOnSlowPods(t *testing.T) {
	t.Parallel()
	s, _, latest := moved(t, kubelet.ReadyAfter(3*time.Second))
	for _, result := range eightAtOnce(t, s) {
		harness.RequireExit(t, 0, result)
	}
	assert.Equal(t, 1, slotPatches(s))
	requireRefreshed(t, s, latest)
	assert.Len(t, eventsOf(s, "DigestRefreshed"), 1)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
}

// I28: eight ticks at once on a rollout that fails: one attempt, one Event, and all are loud.
func TestI28EightTicksAtOnceOnARolloutThatFails(t *testing.T) {
	t.Parallel()
	s, first, latest := moved(t, kubelet.Failing("CrashLoopBackOff", "boom"))
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
	for _, result := range eightAtOnce(t, s) {
		requireOutcome(t, result, 1, "failed", "rollout-failed")
	}
	assert.Equal(t, 1, slotPatches(s))
	assert.Equal(t, 2, workloads.Revision(s.Deployment("jobs")))
	assert.Contains(t, s.Deployment("jobs").Annotations[state], `"failed":1`)
	assert.Len(t, eventsOf(s, "RolloutFailed"), 1)
	assert.Equal(t, latest, live(s))

	// The second time reaches the threshold: restored once, rejected once, and again all are loud.
	for _, result := range eightAtOnce(t, s) {
		harness.RequireExit(t, 1, result)
	}
	assert.Equal(t, 1, slotPatches(s))
	requireRolled(t, s, "jobs", first, 3)
	assert.Len(t, eventsOf(s, "RolledBack"), 1)
	assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
}

// I28: eight ticks at once on a workload that is not settled: one count.
func TestI28EightTicksAtOnceOnAnUnsettledWorkload(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, registries.Index("second", "linux/amd64"))
	behave(s, first, kubelet.Stuck())
	s.Eventually("the pod is not ready", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	for _, count := range []string{"1", "2"} {
		for _, result := range eightAtOnce(t, s) {
			requireOutcome(t, result, 0, "waiting", "")
		}
		assert.Equal(t, count, s.Deployment("jobs").Annotations[streak])
	}
	assert.Equal(t, 0, slotPatches(s))
}

// overlapping starts a tick, and a second one in the middle of the first one's wait.
func overlapping(t *testing.T, s *harness.Scenario) (first, second *harness.Run) {
	t.Helper()
	waiting := func(n int) func() bool {
		return func() bool { return len(s.API.Requests(apiproxy.Verb("watch", "deployments"))) >= n }
	}
	first = s.Start()
	s.Eventually("the first tick waits", waiting(1))
	second = s.Start()
	s.Eventually("the second tick waits", waiting(2))
	return first, second
}

// I28: a tick that begins in the middle of another one's wait waits along, and does nothing a second time.
func TestI28ATickThatBeginsInTheMiddleOfAnother(t *testing.T) {
	t.Parallel()
	s, _, latest := moved(t, kubelet.Stuck())
	first, second := overlapping(t, s)
	s.Behave(nil)
	harness.RequireExit(t, 0, first.Finish())
	harness.RequireExit(t, 0, second.Finish())
	assert.Equal(t, 1, slotPatches(s))
	requireRefreshed(t, s, latest)
	assert.Len(t, eventsOf(s, "DigestRefreshed"), 1)
}

// The same where the rollout fails: the second tick was running when the first one counted.
func TestI28AFailureIsCountedOnceByTicksThatOverlap(t *testing.T) {
	t.Parallel()
	s, _, _ := moved(t, kubelet.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "4s")
	first, second := overlapping(t, s)
	requireOutcome(t, first.Finish(), 1, "failed", "rollout-failed")
	assert.Contains(t, s.Deployment("jobs").Annotations[state], `"failed":1`)
	requireOutcome(t, second.Finish(), 1, "failed", "rollout-failed")
	assert.Contains(t, s.Deployment("jobs").Annotations[state], `"failed":1`)
	requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	assert.Contains(t, s.Deployment("jobs").Annotations[state], `"failed":2`)
	assert.Equal(t, 1, slotPatches(s))
	assert.Len(t, eventsOf(s, "RolloutFailed"), 2)
}

// The first of two overlapping ticks is killed: the second one finishes its work.
func TestI28TheOverlappingTickFinishesWhatAKilledOneBegan(t *testing.T) {
	t.Parallel()
	s, _, latest := moved(t, kubelet.Stuck())
	first, second := overlapping(t, s)
	first.Kill()
	s.Behave(nil)
	requireOutcome(t, second.Finish(), 0, "refreshed", "")
	requireRefreshed(t, s, latest)
	assert.Len(t, eventsOf(s, "DigestRefreshed"), 1)
}

// I28: ticks that are started together count once, also where one of them gets its first turn only when another is done.
func TestI28ATickThatIsHeldUpBeforeItBeginsDoesNotCountAgain(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Site.Proxy.Refuse("ghcr.io", 403)
	late := s.Start()
	require.NoError(t, late.Signal(syscall.SIGSTOP))
	requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	require.NoError(t, late.Signal(syscall.SIGCONT))
	requireOutcome(t, late.Finish(), 0, "skipped", "proxy")
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
	requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	assert.Equal(t, "2", s.Deployment("jobs").Annotations[failures], "one that is started later is another tick")
}
