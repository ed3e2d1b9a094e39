package scenario_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I13, I19: a tick that is killed at any request while it rolls out, gives up and restores is continued by the
// next ones: what was recorded runs again, the bad digest is rejected, and it was rolled out once more at most.
func TestI13I19ATickKilledWhileItRestoresIsContinued(t *testing.T) {
	t.Parallel()
	s, good := appliedBy(t, harness.Helm)
	s.Setenv("ROLLOUT_TIMEOUT", "1s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if fakenode.Runs(pod, good) {
			return fakenode.Ready()
		}
		return fakenode.Failing("CrashLoopBackOff", "boom")
	})
	for n := range tooMany {
		s.Push(ingestor, registries.Index(fmt.Sprintf("bad %d", n), "linux/amd64"))
		s.Settle(jobs(good))
		revision := workloads.Revision(s.Deployment("jobs"))
		s.Forget()
		if !killAt(t, s, apiproxy.Fault{Skip: n, Times: 1}, before) { // which is after the one before
			require.GreaterOrEqual(t, n, 7, "read, patch, hand back, pods, restore, hand back, Events")
			return
		}
		outcome := ""
		for ticks := 0; outcome != "rejected"; ticks++ {
			require.Less(t, ticks, 3, "request %d: the last outcome is %s", n+1, outcome)
			result := s.Tick()
			harness.RequireExit(t, 1, result)
			outcome = result.Report.Target("ingestor").Workload("jobs").Outcome
		}
		requireRolled(t, s, "jobs", good, revision+2)
		assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
		s.Settle(jobs(good))
		s.Forget()
		requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
		assert.Empty(t, s.API.Writes(), "nothing is left to do")
		if t.Failed() {
			t.Fatalf("killed at request %d", n+1)
		}
	}
	t.Fatalf("a tick that restores makes more than %d requests", tooMany)
}
