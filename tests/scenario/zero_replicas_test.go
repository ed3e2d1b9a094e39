package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// scaledToZero are workloads that nobody runs: adopted while they ran, or when they were at zero already.
var scaledToZero = map[string]func(*testing.T) *sleeper{
	"Deployment":                  func(t *testing.T) *sleeper { return asleep(t, "Deployment", 1) },
	"Deployment, adopted at zero": func(t *testing.T) *sleeper { return asleep(t, "Deployment", 0) },
	"StatefulSet":                 func(t *testing.T) *sleeper { return asleep(t, "StatefulSet", 1) },
}

func asleep(t *testing.T, kind string, adoptedAt int32) *sleeper {
	t.Helper()
	z := sleeperOf(t, func(container workloads.Option) workloads.Object {
		return build(kind, "jobs", workloads.Replicas(adoptedAt), container)
	})
	z.scale("0")
	return z
}

// I56: zero replicas prove nothing. What is put there waits, green, until a replica has run it, and is recorded then.
func TestI56ZeroReplicasProveNothing(t *testing.T) {
	t.Parallel()
	for name, asleep := range scaledToZero {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := asleep(t)
			second := z.Push(ingestor, image("second"))
			z.requirePut(second)
			z.requireAsleep(second)
			z.scale("1")
			z.requireProven(second)
		})
	}
}

// I56: in the morning it crashes: counted, and what was recorded is restored.
func TestI56WhatCrashesWhenItIsScaledUpIsRestored(t *testing.T) {
	t.Parallel()
	for name, asleep := range scaledToZero {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := asleep(t)
			second := z.Push(ingestor, image("second"))
			behave(z.Scenario, second, crash())
			z.requirePut(second)
			z.requireAsleep(second)
			z.scale("1")
			z.Setenv("ROLLOUT_TIMEOUT", "4s")
			z.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
			assert.Contains(t, requireOutcome(t, z.Tick(), 1, "failed", "rollout-failed").Message, "1/2", "it took nothing down")
			assert.Contains(t, requireOutcome(t, z.Tick(), 1, "rolled-back", "rollout-failed").Message, "2/2")
			z.requireRestored()
		})
	}
}

// I56 as it happened: a crashing build was scaled to zero for the night and recorded as rolled out; in the morning there
// was nothing to roll back to.
func TestI56ACrashingBuildThatIsScaledToZeroIsNotRecorded(t *testing.T) {
	t.Parallel()
	z := sleeperOf(t, func(container workloads.Option) workloads.Object { return workloads.Deployment("jobs", container) })
	second := z.Push(ingestor, image("second"))
	behave(z.Scenario, second, crash())
	z.Setenv("ROLLOUT_TIMEOUT", "4s")
	assert.Contains(t, requireOutcome(t, z.Tick(), 1, "failed", "rollout-failed").Message, "1/3")
	z.scale("0")
	z.requireAsleep(second)
	z.scale("1")
	message := requireOutcome(t, z.Tick(), 1, "rolled-back", "rollout-failed").Message
	assert.Contains(t, message, "2/3", "the night has forgotten nothing")
	z.Settle(workloads.Deployment("jobs"))
	z.requireRestored()
}

// I56: a tag that moves on while nobody runs what is there takes the new digest there, and what stood before the first one
// stays what is restored.
func TestI56ATagThatMovesOnAtZeroIsFollowed(t *testing.T) {
	t.Parallel()
	for name, asleep := range scaledToZero {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := asleep(t)
			z.requirePut(z.Push(ingestor, image("second")))
			third := z.Push(ingestor, image("third"))
			behave(z.Scenario, third, crash())
			z.requirePut(third)
			z.requireAsleep(third)
			z.scale("1")
			z.Setenv("ROLLOUT_TIMEOUT", "4s")
			z.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			requireOutcome(t, z.Tick(), 1, "rolled-back", "rollout-failed")
			z.requireRestored()
		})
	}
}

// I28, I56: eight ticks at once at zero replicas put the digest there once, and all are green.
func TestI28I56EightTicksAtOnceAtZero(t *testing.T) {
	t.Parallel()
	z := asleep(t, "Deployment", 1)
	second := z.Push(ingestor, image("second"))
	for _, result := range eightAtOnce(t, z.Scenario) {
		requireOutcome(t, result, 0, "waiting", "")
	}
	assert.Equal(t, 1, slotPatches(z.Scenario))
	z.requireUnproven(second)
	z.requireAsleep(second)
}

// I56: a partition that covers every replica proves as little: all pods run the old digest.
func TestI56APartitionThatCoversEveryReplicaProvesNothing(t *testing.T) {
	t.Parallel()
	for name, crashes := range map[string]bool{"works": false, "crashes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := sleeperOf(t, func(container workloads.Option) workloads.Object {
				return partitioned(2, "jobs", workloads.Replicas(2), container)
			})
			second := z.Push(ingestor, image("second"))
			z.requirePut(second)
			z.requireAsleep(second)
			if crashes {
				behave(z.Scenario, second, crash())
			}
			z.Kubectl("patch", "statefulset/jobs", "-p", `{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}`)
			if !crashes {
				z.requireProven(second)
				return
			}
			z.Setenv("ROLLOUT_TIMEOUT", "4s")
			assert.Contains(t, requireOutcome(t, z.Tick(), 1, "rolled-back", "rollout-failed").Message, "1/3", "it took a pod down")
			z.requireRestored()
		})
	}
}

// I56: nor does a DaemonSet that no node is for.
func TestI56ADaemonSetWithoutANodeProvesNothing(t *testing.T) {
	t.Parallel()
	z := sleeperOf(t, func(container workloads.Option) workloads.Object {
		return workloads.DaemonSet("jobs", workloads.NodeSelector("nowhere", "true"), container)
	})
	second := z.Push(ingestor, image("second"))
	z.requirePut(second)
	z.requireAsleep(second)
	z.Kubectl("patch", "daemonset/jobs", "--type=json", "-p", `[{"op":"remove","path":"/spec/template/spec/nodeSelector"}]`)
	z.requireProven(second)
}

// What was recorded before somebody scaled to zero needs no proof: unchanged, and nothing is written.
func TestWhatIsRecordedIsUnchangedAtZero(t *testing.T) {
	t.Parallel()
	for name, asleep := range scaledToZero {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireQuiet(t, asleep(t).Scenario)
		})
	}
}

// Q15: adopted at zero replicas, scaled up, all run A; B comes and crashes: A is restored.
func TestQ15WhatWasAdoptedAtZeroIsRestored(t *testing.T) {
	t.Parallel()
	z := asleep(t, "Deployment", 0)
	z.scale("1")
	z.Settle(workloads.Deployment("jobs"))
	requireQuiet(t, z.Scenario)
	behave(z.Scenario, z.Push(ingestor, image("second")), crash())
	z.Setenv("ROLLOUT_TIMEOUT", "4s")
	z.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	requireOutcome(t, z.Tick(), 1, "rolled-back", "rollout-failed")
	z.requireRestored()
}
