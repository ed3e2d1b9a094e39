package scenario_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// restoredOnce is the Deployment "jobs" whose latest digest has crashed and was rejected; what ran before is restored.
func restoredOnce(t *testing.T) (s *harness.Scenario, restored, rejected string) {
	t.Helper()
	s = environment.Scenario(t)
	restored = s.Push(ingestor, image("first"))
	s.Deploy(workloads.Deployment("jobs", workloads.Recreate(), workloads.Container("api", ingestor+"@"+restored)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "")))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	rejected = s.Push(ingestor, image("second"))
	behave(s, rejected, crash())
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	return s, restored, rejected
}

// helmSets is an upgrade that renders another image.
func helmSets(s *harness.Scenario, image string) {
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"api","image":"`+image+`"}]}}}}`)
}

// Q4: B was rejected and A restored; an upgrade sets another digest, or the bare tag, from which nodes would start B. A is put
// back, and the tick is as loud as those before and after it: B stays rejected.
func TestQ4WhatAnUpgradeTakesAwayIsPutBackWhereLatestIsRejected(t *testing.T) {
	t.Parallel()
	for name, rendered := range map[string]func(s *harness.Scenario) string{
		"another digest": func(s *harness.Scenario) string {
			return ingestor + "@" + s.Push("ghcr.io/tracebloc/ingestor:other", image("other"))
		},
		"the bare tag": func(*harness.Scenario) string { return ingestor },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, restored, rejected := restoredOnce(t)
			helmSets(s, rendered(s))
			s.Settle(workloads.Deployment("jobs"))
			back := requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
			assert.Contains(t, back.Message, rejected[:19]+" was rejected")
			assert.Contains(t, back.Message, "meanwhile: "+restored[:19]+" is rolled out")
			s.Settle(workloads.Deployment("jobs"))
			d := s.Deployment("jobs")
			assert.Equal(t, ingestor+"@"+restored, workloads.Image(d, "api"))
			assert.Equal(t, label(restored), contentOf(d.Labels[mark]))
			assert.Equal(t, restored, d.Annotations[recorded])
			s.Forget()
			requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
			assert.Empty(t, s.API.Writes(), "nothing is left to do")

			fixed := s.Push(ingestor, image("third"))
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, ingestor+"@"+fixed, workloads.Image(s.Deployment("jobs"), "api"))
		})
	}
}

// Q4: a person chose A, and an upgrade sets another digest: the person's choice stands.
func TestQ4WhatAPersonChoseIsPutBack(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	s.Kubectl("set", "env", "deployment/jobs", slot+"="+first)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "held", "")
	s.Patch(harness.Argo, s.Deployment("jobs"), set(s.Push("ghcr.io/tracebloc/ingestor:other", image("other"))))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	requireRolled(t, s, "jobs", first, 5)
	requireOutcome(t, s.Tick(), 0, "held", "")
}

// Q4 with Q1: what the upgrade sets crashes. Nothing is put on top of it before the bound, and then A is put back.
func TestQ4WhatCrashesIsReplacedAfterTheBound(t *testing.T) {
	t.Parallel()
	s, restored, _ := restoredOnce(t)
	s.Setenv("UNSETTLED_THRESHOLD", "2")
	other := s.Push("ghcr.io/tracebloc/ingestor:other", image("other"))
	s.Behave(nil)
	behave(s, other, crash())
	helmSets(s, ingestor+"@"+other)
	s.Eventually("it is down", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[streak])
	assert.Equal(t, ingestor+"@"+other, workloads.Image(s.Deployment("jobs"), "api"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	s.Settle(workloads.Deployment("jobs"))
	assert.Equal(t, ingestor+"@"+restored, workloads.Image(s.Deployment("jobs"), "api"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	assert.NotContains(t, s.Deployment("jobs").Annotations, streak)
}

// Q4 with I38: a deployer that takes A away again and again is named, and A is put back once in two hours.
func TestQ4ADeployerThatKeepsRevertingIsContested(t *testing.T) {
	t.Parallel()
	s, restored, _ := restoredOnce(t)
	s.Setenv("CONTESTED_THRESHOLD", "1")
	for round := range 2 {
		helmSets(s, ingestor+"@"+s.Push("ghcr.io/tracebloc/ingestor:other-"+strconv.Itoa(round), image("other"+strconv.Itoa(round))))
		s.Settle(workloads.Deployment("jobs"))
		if round == 0 {
			requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
			continue
		}
		s.Forget()
		contested := requireOutcome(t, s.Tick(), 1, "failed", "contested")
		assert.Contains(t, contested.Message, harness.Helm)
		assert.Contains(t, contested.Message, restored[:19])
		assert.Empty(t, slotWrites(s, "deployments", "jobs"), "nothing is patched")
	}
}
