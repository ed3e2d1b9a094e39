package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// What init writes for a namespace is a configuration: plan and ticks take it as it is, and follow what floats there.
func TestWhatInitWritesIsAConfiguration(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Push(ingestor, image("first"))
	pinned := s.Push("ghcr.io/tracebloc/a:1", image("pinned"))
	s.Deploy(
		workloads.Deployment("web", workloads.Container("api", ingestor), workloads.Container("side", "ghcr.io/tracebloc/a:1"+"@"+pinned)),
		workloads.StatefulSet("db", workloads.Container("db", ingestor)),
		workloads.DaemonSet("agent", workloads.Container("agent", ingestor)),
		workloads.CronJob("nightly", workloads.Container("job", ingestor)),
	)
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets":[{"name":"pull"}]}`)
	proposed := s.Run("init")
	harness.RequireExit(t, 0, proposed)
	assert.Contains(t, proposed.Stdout, "container side: "+"ghcr.io/tracebloc/a:1"+"@"+pinned+" is pinned by its owner")
	assert.Contains(t, proposed.Stdout, "pullSecrets: [pull]", "as pods get them by their service account")
	assert.Equal(t, proposed.Stdout, s.Run("init").Stdout)
	assert.Empty(t, s.API.Writes())

	s.Configure(proposed.Stdout)
	requireOutcomes(t, s.Run("plan"), 0, "adopted")
	result := s.Tick()
	requireOutcomes(t, result, 0, "adopted")
	assert.Len(t, result.Report.Targets, 1)
	assert.Len(t, result.Report.Targets[0].Workloads, 4)
	assert.Equal(t, proposed.Stdout, s.Run("init").Stdout, "what has been adopted floats still")

	none := s.Run("init", "-l", "app=absent")
	harness.RequireExit(t, 0, none)
	assert.Contains(t, none.Stdout, "targets: []\n")
}

// Who may not list is told what is missing, and where.
func TestInitSaysWhatItMayNotList(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Grant(s.Namespace, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list"}})
	for _, args := range [][]string{{"init"}, {"init", "-A"}} {
		refused := s.Run(args...)
		harness.RequireExit(t, 1, refused)
		assert.Empty(t, refused.Stdout)
		assert.Contains(t, refused.Stderr, "forbids to list statefulsets in ")
		assert.Contains(t, refused.Stderr, "ask for the right to list")
	}
}
