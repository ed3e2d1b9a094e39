package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Each kind of workload in each mode: adopted as it is, refreshed in one patch and one rollout, recorded, and
// then left alone. One resolve serves them all.
func TestEveryKindInEveryMode(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]struct {
		container func(digest string) []workloads.Option
		entry     []string
		read      func(workloads.Object) string
		value     func(digest string) string
	}{
		"image": {
			container: func(digest string) []workloads.Option {
				return []workloads.Option{workloads.Container("main", ingestor+"@"+digest)}
			},
			read:  func(o workloads.Object) string { return workloads.Image(o, "main") },
			value: func(digest string) string { return ingestor + "@" + digest },
		},
		"image of an init container": {
			container: func(digest string) []workloads.Option {
				return []workloads.Option{workloads.InitContainer("main", ingestor+"@"+digest), workloads.Container("other", jobsManager)}
			},
			read:  func(o workloads.Object) string { return workloads.Image(o, "main") },
			value: func(digest string) string { return ingestor + "@" + digest },
		},
		"digest in an environment variable": {
			container: func(digest string) []workloads.Option {
				return []workloads.Option{workloads.Container("main", jobsManager), workloads.Env("main", slot, digest)}
			},
			entry: []string{"env: " + slot},
			read:  variable,
			value: func(digest string) string { return digest },
		},
		"reference in an environment variable": {
			container: func(digest string) []workloads.Option {
				return []workloads.Option{workloads.Container("main", jobsManager), workloads.Env("main", slot, "ghcr.io/tracebloc/ingestor@"+digest)}
			},
			entry: []string{"env: " + slot, "envValue: reference"},
			read:  variable,
			value: func(digest string) string { return "ghcr.io/tracebloc/ingestor@" + digest },
		},
		"variable of an init container": {
			container: func(digest string) []workloads.Option {
				return []workloads.Option{workloads.InitContainer("main", jobsManager), workloads.Env("main", slot, digest), workloads.Container("other", jobsManager)}
			},
			entry: []string{"env: " + slot},
			read:  variable,
			value: func(digest string) string { return digest },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			entries := ""
			for _, kind := range kinds {
				s.Deploy(build(kind, "app", append(mode.container(first), workloads.Replicas(2))...))
				entries += entry(kind, "app", "main", mode.entry...)
			}
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
			requireOutcomes(t, s.Tick(), 0, "adopted")

			second := s.Push(ingestor, image("second"))
			before := map[string]int{}
			for _, kind := range kinds {
				before[kind] = rollouts(t, s, kind, "app")
			}
			s.Forget()
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			assert.Len(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1, "resolved once")
			for _, kind := range kinds {
				requireKindRolled(t, s, kind, before[kind], mode.read, mode.value(second), second)
			}
			assert.Empty(t, s.API.Requests(apiproxy.Verb("watch", "cronjobs")), "a CronJob has no rollout to wait for")
			s.Settle(workloads.Deployment("app"))
			requireQuiet(t, s)
		})
	}
}

func variable(o workloads.Object) string {
	value, _ := workloads.EnvValue(o, "main", slot)
	return value
}

func requireKindRolled(t *testing.T, s *harness.Scenario, kind string, before int, read func(workloads.Object) string, value, digest string) {
	t.Helper()
	o := look(s, kind, "app")
	assert.Equal(t, value, read(o), kind)
	assert.Equal(t, digest, o.GetAnnotations()[recorded], kind)
	assert.Equal(t, label(digest), contentOf(o.GetLabels()[mark]), kind)
	assert.NotContains(t, workloads.Template(o).Annotations, recorded, "%s: remembering rolls nothing", kind)
	resource := map[string]string{"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "CronJob": "cronjobs"}[kind]
	assert.Len(t, slotWrites(s, resource, "app"), 1, kind)
	if kind != "CronJob" {
		assert.Equal(t, before+1, rollouts(t, s, kind, "app"), "%s: one rollout", kind)
	}
}

// A workload in another namespace works where the Role there says so; where it does not, the permission and the
// namespace are named, and the other workload goes on.
func TestAWorkloadInAnotherNamespace(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	other, err := s.Cluster.Namespace(t.Context(), "other")
	require.NoError(t, err)
	s.Deploy(workloads.DaemonSet("agent", workloads.InNamespace(other), workloads.Container("main", ingestor+"@"+first)))
	s.Configure(ingestorConfig + "  - name: agent\n    image: " + ingestor + "\n    workloads: [{kind: DaemonSet, name: agent, namespace: " + other + "}]\n")
	second := s.Push(ingestor, image("second"))

	result := s.Tick()
	harness.RequireExit(t, 1, result)
	refused := outcomeOf(t, result, "agent", "agent", "failed", "api")
	assert.Contains(t, refused.Message, "daemonsets")
	assert.Contains(t, refused.Message, other)
	outcomeOf(t, result, "ingestor", "jobs", "refreshed", "")

	s.Grant(other, harness.Rules()...)
	s.Eventually("the Role is in force", func() bool {
		return s.Tick().Report.Target("agent").Workload("agent").Outcome == "adopted"
	})
	result = s.Tick()
	harness.RequireExit(t, 0, result)
	outcomeOf(t, result, "agent", "agent", "refreshed", "")
	assert.Equal(t, other, result.Report.Target("agent").Workload("agent").Namespace)
	agent, err := s.Client.AppsV1().DaemonSets(other).Get(t.Context(), "agent", getOptions)
	require.NoError(t, err)
	assert.Equal(t, ingestor+"@"+second, workloads.Image(agent, "main"))
}
