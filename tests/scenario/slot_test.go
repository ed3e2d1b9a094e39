package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I17: NotFound and RBAC denials were treated as "in progress": green for ever.
func TestI17AForbiddenVerbIsNamed(t *testing.T) {
	t.Parallel()
	for verb, verbs := range map[string][]string{"get": {"patch", "watch", "list"}, "patch": {"get", "watch", "list"}} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			s, digest := adopted(t)
			s.Push(ingestor, image("second"))
			s.Grant(s.Namespace, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: verbs})
			var message string
			s.Eventually(verb+" is forbidden", func() bool { // RBAC takes a moment to hear of the change
				result := s.Tick()
				failed := result.Report.Target("ingestor").Workload("jobs")
				message = failed.Message
				return result.ExitCode == 1 && failed.Cause == "api"
			})
			for _, part := range []string{verb, "deployments", s.Namespace} {
				assert.Contains(t, message, part)
			}
			if verb == "patch" {
				assert.Equal(t, digest, live(s))
			}
		})
	}
}

// I23: two workloads ran different builds of one image, because only one was reconciled.
func TestI23OneResolveServesEverySlot(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Deploy(jobs(first), workloads.Deployment("other",
		workloads.Container("api", jobsManager), workloads.Env("api", slot, first),
		workloads.Container("side", jobsManager), workloads.Env("side", slot, "ghcr.io/tracebloc/ingestor@"+first)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api", "env: "+slot)+
		entry("Deployment", "other", "api", "env: "+slot)+entry("Deployment", "other", "side", "env: "+slot, "envValue: reference")))
	harness.RequireExit(t, 0, s.Tick())
	second := s.Push(ingestor, image("second"))
	s.Forget()
	harness.RequireExit(t, 0, s.Tick())
	requireRolled(t, s, "jobs", second, 2)
	requireRolled(t, s, "other", second, 2)
	value, _ := workloads.EnvValue(s.Deployment("other"), "side", slot)
	assert.Equal(t, "ghcr.io/tracebloc/ingestor@"+second, value)
	assert.Len(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1, "resolved once")
	assert.Len(t, slotWrites(s, "deployments", "other"), 1, "one patch a workload")
}
