package scenario_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Each kind of workload in each mode, applied by two managers: adopted as it is, refreshed in one patch and one rollout,
// recorded, owned as before, and then left alone. One resolve serves them all.
func TestEveryKindInEveryMode(t *testing.T) {
	t.Parallel()
	other := workloads.Container("other", jobsManager)
	for name, mode := range map[string]struct {
		keys []string
		with func(digest string) []workloads.Option
	}{
		"image": {nil, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.Container("main", ingestor+"@"+digest)}
		}},
		"image of an init container": {nil, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.InitContainer("main", ingestor+"@"+digest), other}
		}},
		"digest in an environment variable": {[]string{"env: " + slot}, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.Container("main", jobsManager), workloads.Env("main", slot, digest)}
		}},
		"reference in an environment variable": {[]string{"env: " + slot, "envValue: reference"}, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.Container("main", jobsManager), workloads.Env("main", slot, "ghcr.io/tracebloc/ingestor@"+digest)}
		}},
		"variable of an init container": {[]string{"env: " + slot}, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.InitContainer("main", jobsManager), workloads.Env("main", slot, digest), other}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			entries := ""
			for _, kind := range kinds {
				for _, manager := range []string{harness.Helm, harness.Argo} {
					require.NoError(t, s.Apply(manager, build(kind, "app", append(mode.with(first), workloads.Replicas(2))...)))
				}
				s.Settle(build(kind, "app"))
				entries += entry(kind, "app", "main", mode.keys...)
			}
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
			fields := everything(t, s, first)
			requireOutcomes(t, s.Tick(), 0, "adopted")
			require.Equal(t, fields, everything(t, s, first))

			before := map[string]int{}
			for _, kind := range kinds {
				before[kind] = rollouts(t, s, kind, "app")
			}
			latest := s.Push(ingestor, image("second"))
			s.Forget()
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			assert.Len(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1, "resolved once")
			assert.Empty(t, s.API.Requests(apiproxy.Verb("watch", "cronjobs")), "a CronJob has no rollout to wait for")
			for _, kind := range kinds {
				o, wanted := look(s, kind, "app"), build(kind, "app", mode.with(latest)...)
				assert.Equal(t, variable(wanted), variable(o), kind)
				assert.Equal(t, workloads.Image(wanted, "main"), workloads.Image(o, "main"), kind)
				assert.Equal(t, latest, o.GetAnnotations()[recorded], kind)
				assert.Equal(t, label(latest), contentOf(o.GetLabels()[mark]), kind)
				assert.Len(t, slotWrites(s, strings.ToLower(kind)+"s", "app"), 1, kind)
				if kind != "CronJob" {
					assert.Equal(t, before[kind]+1, rollouts(t, s, kind, "app"), "%s: one rollout", kind)
				}
			}
			s.Settle(workloads.Deployment("app"))
			require.Equal(t, fields, everything(t, s, first, latest))
			requireQuiet(t, s)
		})
	}
}

func variable(o workloads.Object) string {
	value, _ := workloads.EnvValue(o, "main", slot)
	return value
}

// A workload in another namespace works where the Role there says so; where it does not, the permission and the
// namespace are named, and the other workload goes on.
func TestAWorkloadInAnotherNamespace(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	other, err := s.Cluster.Namespace(t.Context(), "other")
	require.NoError(t, err)
	s.Deploy(workloads.DaemonSet("agent", workloads.InNamespace(other), workloads.Container("main", ingestor+"@"+first)))
	s.Configure(ingestorConfig + targetOf("agent", ingestor, entry("DaemonSet", "agent", "", "namespace: "+other)))
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
	assert.Equal(t, other, outcomeOf(t, result, "agent", "agent", "refreshed", "").Namespace)
	agent, err := s.Client.AppsV1().DaemonSets(other).Get(t.Context(), "agent", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, ingestor+"@"+second, workloads.Image(agent, "main"))
}
