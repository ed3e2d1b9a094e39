package scenario_test

import (
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

// onTwoPlatforms is the Deployment "jobs", in image mode, that runs a build for two platforms and is adopted.
func onTwoPlatforms(t *testing.T, options ...workloads.Option) (s *harness.Scenario, first string) {
	t.Helper()
	s = environment.Scenario(t)
	first = s.Push(ingestor, registries.Index("first", "linux/amd64", "linux/arm64"))
	s.Deploy(workloads.Deployment("jobs", append(options, workloads.Container("api", ingestor+"@"+first))...))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "")))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	s.Settle(workloads.Deployment("jobs")) // otherwise the next tick waits for the controller first
	return s, first
}

// Q11: Recreate, B has crashed and is down, and its tick was killed; the tag moves to a C that a gate refuses. B is counted and
// A restored all the same.
func TestQ11WhatIsDownIsRestoredThoughAGateRefusesLatest(t *testing.T) {
	t.Parallel()
	s, first := onTwoPlatforms(t, workloads.Recreate())
	second := s.Push(ingestor, registries.Index("second", "linux/amd64", "linux/arm64"))
	behave(s, second, crash())
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	require.True(t, killAt(t, s, apiproxy.Fault{Match: waits}, before))
	s.Push(ingestor, registries.Index("third", "linux/amd64"))
	result := s.Tick()
	restored := requireOutcome(t, result, 1, "rolled-back", "rollout-failed")
	assert.Contains(t, restored.Message, second[:19]+" failed, attempt 1/3")
	assert.Equal(t, 1, result.Report.Target("ingestor").Failures, "what the gate says counts beside")
	s.Settle(workloads.Deployment("jobs"))
	assert.Equal(t, ingestor+"@"+first, workloads.Image(s.Deployment("jobs"), "api"))
	requireOutcome(t, s.Tick(), 0, "skipped", "platform-missing")
	requireOutcome(t, s.Tick(), 1, "failed", "platform-missing")
}

// Q14: recorded long ago, no state; its pods crash for reasons of their own. No digest is blamed, whatever the tag says.
func TestQ14PodsThatCrashLongAfterTheirRolloutBlameNoDigest(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	s.Kubectl("annotate", "deployment/jobs", state+"-")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	s.Setenv("UNSETTLED_THRESHOLD", "2")
	s.Behave(func(*corev1.Pod) fakenode.Behaviour { return crash() })
	s.Kubectl("delete", "pods", "--all", "--wait=false")
	s.Eventually("it is down", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	}
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], "rejected")
	assert.Equal(t, second, live(s))
	s.Behave(nil)
	s.Kubectl("delete", "pods", "--all", "--wait=false")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	requireRolled(t, s, "jobs", second, 2)
	assert.NotEqual(t, first, second)
}

// Q17: C is put there, and its tick is killed, or waits; a deployer reverts to D, which crashes. After the bound C is put there
// again.
func TestQ17WhatWasRevertedBeforeItWasProvenIsPutThereAgain(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"the tick is killed": true, "the tick waits": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := adopted(t)
			s.Settle(workloads.Deployment("jobs")) // otherwise the next tick waits for the controller first
			s.Setenv("UNSETTLED_THRESHOLD", "2")
			third := s.Push(ingestor, image("third"))
			behave(s, third, fakenode.Stuck())
			other := s.Push("ghcr.io/tracebloc/ingestor:other", image("other"))
			if killed {
				require.True(t, killAt(t, s, apiproxy.Fault{Match: waits}, before))
				s.Patch(harness.Helm, s.Deployment("jobs"), set(other))
			} else {
				run := s.Start()
				s.Eventually("it is put there", func() bool { return live(s) == third })
				s.Forget()
				s.Eventually("it waits", func() bool { return len(s.API.Requests(waits)) >= 1 })
				s.Patch(harness.Helm, s.Deployment("jobs"), set(other))
				requireOutcome(t, run.Finish(), 0, "waiting", "")
			}
			behave(s, other, crash())
			s.Kubectl("delete", "pods", "--all", "--wait=false")
			s.Eventually("it is down", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
			requireOutcome(t, s.Tick(), 0, "waiting", "")
			requireOutcome(t, s.Tick(), 0, "reapplied", "")
			assert.Equal(t, third, live(s))
			assert.Equal(t, third, s.Deployment("jobs").Annotations[recorded])
		})
	}
}

// Q19: a gate refuses latest in one tick, and the workload is not settled in the next, in turn. Nothing has said yes to latest,
// so the streak goes on, and reaches its threshold.
func TestQ19AStreakOutlivesTicksThatAskNoGate(t *testing.T) {
	t.Parallel()
	s, first := onTwoPlatforms(t)
	s.Push(ingestor, registries.Index("second", "linux/amd64"))
	for count := 1; count <= 5; count++ {
		refused, outcome := count%2 == 1, "waiting"
		s.Behave(nil)
		if refused {
			s.Settle(workloads.Deployment("jobs"))
			outcome = map[bool]string{false: "skipped", true: "failed"}[count >= 3]
		} else {
			behave(s, first, fakenode.Stuck())
			s.Kubectl("delete", "pods", "--all", "--wait=false")
			s.Eventually("it is not settled", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
		}
		result := s.Tick()
		harness.RequireExit(t, min(1, count/3), result)
		target := result.Report.Target("ingestor")
		assert.Equal(t, outcome, target.Workload("jobs").Outcome)
		assert.Equal(t, min(3, count), target.Failures)
		assert.Equal(t, "platform-missing", target.Cause)
	}
	s.Push(ingestor, registries.Index("third", "linux/amd64", "linux/arm64"))
	result := s.Tick()
	requireOutcome(t, result, 0, "refreshed", "")
	assert.Zero(t, result.Report.Target("ingestor").Failures)
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
}
