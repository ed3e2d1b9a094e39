package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Where an empty variable means something to the application, it stays empty, beside a slot that is refreshed as well.
func TestAnEmptyVariableThatMeansSomethingIsLeftEmpty(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", "docker.io/tracebloc/x:1"), workloads.Env("api", slot, first), workloads.Env("api", "OPTIONAL", "")))
	left := func(env string) string { return entry("Deployment", "jobs", "api", "env: "+env, "whenEmpty: leave") }
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, left("OPTIONAL")))
	s.Forget()
	for range 2 {
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
	}
	assert.Empty(t, s.API.Writes(), "untouched")

	s.Configure("targets:\n" + targetOf("ingestor", ingestor, left(slot)+left("OPTIONAL")))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	second := s.Push(ingestor, image("second"))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", second, 2)
	optional, listed := workloads.EnvValue(s.Deployment("jobs"), "api", "OPTIONAL")
	assert.True(t, listed)
	assert.Empty(t, optional, "left empty")
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[{"name":"OPTIONAL","value":"`+first+`"}]}]}}}}`)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	optional, _ = workloads.EnvValue(s.Deployment("jobs"), "api", "OPTIONAL")
	assert.Equal(t, second, optional, "what is filled is refreshed")
}
