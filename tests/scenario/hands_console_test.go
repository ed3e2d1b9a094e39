package scenario_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// A rollback at a console was put back within a tick: whoever sits there is a person.
func TestAConsoleIsAPersonsHand(t *testing.T) {
	t.Parallel()
	for _, console := range []string{"k9s", "Mozilla", "node-fetch", "OpenLens", "dashboard", "headlamp-server", "rancher"} {
		t.Run(console, func(t *testing.T) {
			t.Parallel()
			s, first, _ := refreshedOnce(t)
			s.Patch(console, s.Deployment("jobs"), set(first))
			requireHeld(t, s, first)
			requireMovesOn(t, s)
		})
	}
}

// An Apply manager may claim beside a person what the person has set: whose change it was is the newest claim's.
func TestTheNewestClaimSaysWhoseChangeItWas(t *testing.T) {
	t.Parallel()
	s, first, second := refreshedOnce(t)
	s.Kubectl("set", "env", "deployment/jobs", slot+"="+first)
	time.Sleep(1100 * time.Millisecond)                                                          // claims have whole seconds
	require.NoError(t, s.Apply(harness.Argo, jobs(first, workloads.Annotation("release", "2")))) // an apply that changes nothing has no time
	s.Settle(workloads.Deployment("jobs"))
	require.ElementsMatch(t, []string{"kubectl-set/Update", "argocd-controller/Apply"}, workloads.EnvOwners(s.Deployment("jobs"), "api", slot))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	assert.Equal(t, second, live(s))
}

// A person who holds a workload may put there what they like, another tag as well.
func TestAHeldSlotWithAnotherTagIsHeld(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", ingestor+"@"+first)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Kubectl("label", "deployment/jobs", "tracebloc.io/refresh-hold=true")
	s.Kubectl("set", "image", "deployment/jobs", "api=ghcr.io/tracebloc/ingestor:0.2")
	s.Settle(workloads.Deployment("jobs"))
	s.Forget()
	held := requireOutcome(t, s.Tick(), 0, "held", "")
	assert.Contains(t, held.Message, "refresh-hold")
	assert.Empty(t, s.API.Writes(), "untouched")
	s.Kubectl("label", "deployment/jobs", "tracebloc.io/refresh-hold-")
	requireOutcome(t, s.Tick(), 1, "failed", "slot-mismatch")
}
