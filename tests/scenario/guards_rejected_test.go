package scenario_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

func crash() fakenode.Behaviour {
	return fakenode.Failing("CrashLoopBackOff", "back-off restarting failed container")
}

func unpullable() fakenode.Behaviour {
	return fakenode.Failing("ImagePullBackOff", "401 Unauthorized")
}

// I13: a container was never ready, and each tick rolled the same bad digest again. Attempts are counted for one rollout; a
// new digest starts from zero by itself.
func TestI13ADigestThatIsNeverReadyIsRolledOnceAndRejected(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	d := workloads.Deployment("jobs", workloads.Container("api", jobsManager), workloads.Env("api", slot, first))
	s.Deploy(d)
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	second := s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "3")
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
		assert.Equal(t, 2, workloads.Revision(s.Deployment("jobs")), "waited for, not rolled again")
	}
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	requireRolled(t, s, "jobs", first, 3)
	s.Push(ingestor, image("third"))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], `"failed"`)
}

// I15: one shared counter; a failing DaemonSet locked out every other workload. Counters are per target and
// workload.
func TestI15AFailingDaemonSetLocksNobodyElseOut(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	other := s.Push(pairA, image("a1"))
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		s.Deploy(build(kind, "fine", workloads.Container("one", ingestor+"@"+first)))
	}
	s.Deploy(workloads.DaemonSet("broken", workloads.Container("one", ingestor+"@"+first), workloads.Container("two", pairA+"@"+other)))
	s.Configure("targets:\n" +
		targetOf("ingestor", ingestor, entry("DaemonSet", "broken", "one")+entry("Deployment", "fine", "")+entry("StatefulSet", "fine", "")) +
		targetOf("a", pairA, entry("DaemonSet", "broken", "two")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	second := s.Push(ingestor, image("second"))
	s.Behave(inDaemonSets(second, crash()))
	s.Setenv("ROLLOUT_TIMEOUT", "10s")
	result := s.Tick()
	harness.RequireExit(t, 1, result)
	outcomeOf(t, result, "ingestor", "broken", "rolled-back", "rollout-failed")
	outcomeOf(t, result, "ingestor", "fine", "refreshed", "")
	assert.Equal(t, second, s.StatefulSet("fine").Annotations[recorded])
	assert.NotContains(t, s.Deployment("fine").Annotations[state], `"rejected"`)

	moved := s.Push(pairA, image("a2"))
	s.Settle(s.DaemonSet("broken"))
	result = s.Tick()
	harness.RequireExit(t, 1, result)
	outcomeOf(t, result, "ingestor", "broken", "rejected", "rollout-failed")
	outcomeOf(t, result, "a", "broken", "refreshed", "")
	assert.Equal(t, pairA+"@"+moved, workloads.Image(s.DaemonSet("broken"), "two"))
	assert.Equal(t, ingestor+"@"+first, workloads.Image(s.DaemonSet("broken"), "one"))
}

// I34: pods could not pull for a while. In env mode the digest is not what they pull: loud, nothing is counted, and it settles
// by itself.
func TestI34LayersThatComeLater(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Failing("ErrImagePull", "manifest unknown"))
	s.Setenv("ROLLOUT_TIMEOUT", "6s")
	failed := requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	assert.Contains(t, failed.Message, "ErrImagePull: manifest unknown")
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], `"failed"`)
	assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded])
	s.Behave(nil)
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	harness.RequireExit(t, 0, s.Tick())
	requireRolled(t, s, "jobs", second, 2)
	s.Push(ingestor, image("third"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
}

// I39: a single replica with Recreate got a digest that could not be pulled: down until a person woke up. It is
// restored at the first failure, tried again next tick, and rejected at the threshold.
func TestI39RecreateIsRestoredAtTheFirstFailedPullAndTriedAgain(t *testing.T) {
	t.Parallel()
	s, first := adopted(t, workloads.Recreate())
	second := s.Push(ingestor, image("second"))
	behave(s, second, unpullable())
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
	restored := requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	assert.Contains(t, restored.Message, "1/2")
	assert.Contains(t, restored.Message, "401 Unauthorized")
	assert.Contains(t, restored.Message, "tries again")
	requireRolled(t, s, "jobs", first, 3)

	rejected := requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	assert.Contains(t, rejected.Message, "2/2")
	requireRolled(t, s, "jobs", first, 5)
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	}
	requireRolled(t, s, "jobs", first, 5)
	assert.Len(t, eventsOf(s, "RolledBack"), 2)
}

// Q18: what was restored is not up: loud until it is.
func TestQ18WhatWasRestoredAndIsNotUpIsLoud(t *testing.T) {
	t.Parallel()
	s, first := adopted(t, workloads.Recreate())
	second := s.Push(ingestor, image("second"))
	var down atomic.Bool
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		switch {
		case fakenode.Runs(pod, second):
			down.Store(true)
			return unpullable()
		case down.Load():
			return fakenode.Stuck()
		}
		return fakenode.Ready()
	})
	s.Setenv("ROLLOUT_TIMEOUT", "4s")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	}
	assert.Equal(t, first, live(s))
	s.Behave(nil)
	s.Settle(s.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, second, live(s))
}

// I34 with I39: the pull works by the time of the second try.
func TestI34I39TheSecondTryWorks(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t, workloads.Recreate())
	second := s.Push(ingestor, image("second"))
	behave(s, second, unpullable())
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	s.Behave(nil)
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", second, 4)
	s.Push(ingestor, image("third"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], `"failed"`)
}

// I39: what crashes took the service down and will again: rejected at once.
func TestI39ACrashThatTookTheServiceDownIsRejectedAtOnce(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Deployment", "DaemonSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Deploy(build(kind, "jobs", workloads.Recreate(), workloads.Container("api", ingestor+"@"+first)))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(kind, "jobs", "")))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			second := s.Push(ingestor, image("second"))
			behave(s, second, crash())
			s.Setenv("ROLLOUT_TIMEOUT", "6s")
			restored := requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
			assert.Contains(t, restored.Message, "1/3")
			assert.Contains(t, restored.Message, "rejected")
			s.Settle(look(s, kind, "jobs"))
			requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
			assert.Equal(t, ingestor+"@"+first, workloads.Image(look(s, kind, "jobs"), "api"))
			assert.Equal(t, label(first), contentOf(look(s, kind, "jobs").GetLabels()[mark]), "the mark moves with the slot")
			third := s.Push(ingestor, image("third"))
			s.Setenv("ROLLOUT_TIMEOUT", "30s")
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, third, look(s, kind, "jobs").GetAnnotations()[recorded])
		})
	}
}

// A StatefulSet's controller does not replace a pod that never became Ready: the message names the pod and the
// command that deletes it, and that command is what is missing.
func TestAStuckPodOfAStatefulSetIsNamedWithTheCommand(t *testing.T) {
	t.Parallel()
	s, first := crashingSet(t)
	restored := requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	assert.Contains(t, restored.Message, "kubectl delete pod -n "+s.Namespace+" jobs-1")
	assert.NotContains(t, restored.Message, "jobs-0")
	assert.Equal(t, ingestor+"@"+first, workloads.Image(s.StatefulSet("jobs"), "api"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")

	s.Kubectl("delete", "pod", "-n", s.Namespace, "jobs-1", "--wait=false")
	s.Settle(workloads.StatefulSet("jobs"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	s.Push(ingestor, image("third"))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
}

// crashingSet is a StatefulSet of two pods whose tag has moved on to a digest that crashes.
func crashingSet(t *testing.T) (s *harness.Scenario, first string) {
	t.Helper()
	s = environment.Scenario(t)
	first = s.Push(ingestor, image("first"))
	s.Deploy(workloads.StatefulSet("jobs", workloads.Replicas(2), workloads.Container("api", ingestor+"@"+first)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("StatefulSet", "jobs", "")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	behave(s, s.Push(ingestor, image("second")), crash())
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	return s, first
}
