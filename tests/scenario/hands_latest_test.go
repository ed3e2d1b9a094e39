package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// A person put latest there before a tick did, and it was a bad one. The tag moved back, and the tick held the bad digest,
// green: what it took for thrown out was the good one. Who puts latest there has thrown nothing out.
func TestAHandThatPutsLatestThereThrowsNothingOut(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	s.Kubectl("set", "env", "deployment/jobs", slot+"="+second)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	requireRolled(t, s, "jobs", second, 2)
	assert.Empty(t, s.Events())
	s.Push(ingestor, image("first"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", first, 3)
}

// Q5: latest had been seen, and was not there yet, when a person set something else. It is theirs until the tag moves on
// from what was latest then.
func TestQ5WhatAPersonSetsWhileLatestWaitsIsHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits func(t *testing.T) (*harness.Scenario, string)
	}{
		"since the first observation": {func(t *testing.T) (*harness.Scenario, string) {
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Push(ingestor, image("second"))
			s.Deploy(jobs(first))
			s.Configure(ingestorConfig)
			return s, "adopted"
		}},
		"for its age": {func(t *testing.T) (*harness.Scenario, string) {
			s, _ := adopted(t)
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api", "env: "+slot), "minAge: 1h"))
			s.Push(ingestor, image("second"))
			return s, "deferred"
		}},
		"for a rollout of somebody else's": {func(t *testing.T) (*harness.Scenario, string) {
			s, _ := adopted(t)
			s.Push(ingestor, image("second"))
			s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Pending("0/2 nodes have the volume") })
			s.Kubectl("delete", "pod", "--all", "--wait=false")
			s.Eventually("the pod is away", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
			return s, "waiting"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, outcome := c.waits(t)
			requireOutcome(t, s.Tick(), 0, outcome, "")
			s.Behave(nil)
			chosen := s.Push("ghcr.io/tracebloc/ingestor:hotfix", image("hotfix"))
			s.Kubectl("set", "env", "deployment/jobs", slot+"="+chosen)
			requireHeld(t, s, chosen)
			s.Configure(ingestorConfig)
			requireMovesOn(t, s)
		})
	}
}
