package scenario_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// slotPatches counts the writes that have changed a slot.
func slotPatches(s *harness.Scenario) int {
	return len(s.API.Requests(func(r apiproxy.Request) bool { return isSlotPatch(r) && r.Status == 200 }))
}

// I28: eight ticks at once on a rollout that fails: one attempt, one Event, and all are loud.
func TestI28EightTicksAtOnceOnARolloutThatFails(t *testing.T) {
	t.Parallel()
	s, first, latest := moved(t, fakenode.Failing("CrashLoopBackOff", "boom"))
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
	defer concludeTogether(s, 8, latest)()
	for _, result := range eightAtOnce(t, s) {
		assert.Contains(t, requireOutcome(t, result, 1, "failed", "rollout-failed").Message, "1/2")
	}
	assert.Equal(t, 1, slotPatches(s))
	assert.Equal(t, 2, workloads.Revision(s.Deployment("jobs")))
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

// overlapping starts a tick, and a second one in the middle of the first one's wait.
func overlapping(t *testing.T, s *harness.Scenario) (first, second *harness.Run) {
	t.Helper()
	waiting := func(n int) func() bool { return func() bool { return len(s.API.Requests(waits)) >= n } }
	first = s.Start()
	s.Eventually("the first tick waits", waiting(1))
	second = s.Start()
	s.Eventually("the second tick waits", waiting(2))
	return first, second
}

// I28: a tick that begins in the middle of another one's wait waits along, and does nothing a second time; where the first one is
// killed, it finishes its work.
func TestI28ATickThatBeginsInTheMiddleOfAnother(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"both end": false, "the first is killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, latest := moved(t, fakenode.Stuck())
			first, second := overlapping(t, s)
			if killed {
				first.Kill()
			}
			s.Behave(nil)
			harness.RequireExit(t, 0, second.Finish())
			if !killed {
				harness.RequireExit(t, 0, first.Finish())
			}
			assert.Equal(t, 1, slotPatches(s))
			requireRefreshed(t, s, latest, 1)
		})
	}
}

// I28: a tick that reads before another one counts, and decides after it, does not count again; one that reads after another has
// counted is a later tick and counts, whenever its process was started.
func TestI28WhoCountsDependsOnWhenATickHasRead(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Setenv("RESOLVE_FAILURE_THRESHOLD", "4")
	require.NoError(t, s.Site.Delete(ingestor))
	s.Forget()
	release := holdTag(t, s, 1)
	late := s.Start()
	requireAsking(t, s, 1)
	requireFailures(t, s, s.Tick(), 1)
	release()
	requireFailures(t, s, late.Finish(), 1)

	s.Forget()
	released := make(chan struct{})
	s.API.Inject(apiproxy.Fault{Match: reads, Times: 1, Do: faultinject.Hold(released)})
	late = s.Start()
	s.Eventually("it is about to read", func() bool { return len(s.API.Requests(reads)) == 1 })
	requireFailures(t, s, s.Tick(), 2)
	close(released)
	requireFailures(t, s, late.Finish(), 3)
}

// requireFailures asserts how often in a row the tag could not be resolved, as a tick says and as it is stored.
func requireFailures(t *testing.T, s *harness.Scenario, result *product.Result, count int) {
	t.Helper()
	requireOutcome(t, result, 0, "skipped", "not-found")
	assert.Equal(t, count, result.Report.Target("ingestor").Failures)
	assert.Equal(t, strconv.Itoa(count), s.Deployment("jobs").Annotations[failures])
}
