package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// ingestorOnly follows the env slot of each workload of the application.
var ingestorOnly = applicationOf("targets:", "  - name: ingestor", "    image: "+ingestor, "    workloads:", everyKind("container: api, env: "+slot))

// Nothing but slots, our annotations and the claims on them differs before and after a refresh, under a real
// Helm: not a field, and not what anybody else claims.
func TestI29NothingElseChangesUnderHelm(t *testing.T) {
	forEachHelm(t, func(t *testing.T, r *release) {
		r.Configure(applicationConfig)
		old, _ := r.push("old")
		r.install("--set", "digest="+old)
		values := []string{old, appImage}
		before := everything(t, r.Scenario, values...)
		r.tick("adopted")
		assert.Equal(t, before, everything(t, r.Scenario, values...))
		for _, build := range []string{"new", "newer"} {
			digest, image := r.push(build)
			r.tick("refreshed")
			values = append(values, digest, image)
			after := everything(t, r.Scenario, values...)
			if r.helm == "helm3" { // a claim by Update is nothing to hand back: no upgrade conflicts with it
				withoutSlotClaims(before)
				withoutSlotClaims(after)
			}
			require.Equal(t, before, after)
		}
	})
}

// The same for a chart that leaves the slot out.
func TestI29NothingElseChangesWhereTheChartLeavesTheSlotOut(t *testing.T) {
	forEachHelm(t, func(t *testing.T, r *release) {
		r.Configure(ingestorOnly)
		first, _ := r.push("first")
		r.install("--set", "slots=absent")
		r.tick("refreshed")
		before := everything(t, r.Scenario, first)
		second, _ := r.push("second")
		r.tick("refreshed")
		require.Equal(t, before, everything(t, r.Scenario, first, second))
	})
}

// The same under two managers that apply, one of which owns nothing else than the slots.
func TestI29NothingElseChangesUnderTwoManagersThatApply(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, registries.Index("first", "linux/amd64"))
	s.Configure(ingestorOnly)
	r := &release{Scenario: s, t: t}
	partial := ""
	for _, object := range r.applied(harness.Helm) {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		partial += onlySlot(kind, object.GetName(), first)
	}
	kubectlApply(t, s, harness.Argo, partial)
	r.settle()
	before := everything(t, s, first)
	r.tick("adopted")
	require.Equal(t, before, everything(t, s, first))
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	r.tick("refreshed")
	require.Equal(t, before, everything(t, s, first, second))

	// Each applies what it applied before, without force, and the next tick heals what that reverts.
	r.applied(harness.Helm)
	kubectlApply(t, s, harness.Argo, partial)
	r.settle()
	r.tick("reapplied")
	for _, object := range r.workloads() {
		value, _ := workloads.EnvValue(object, "api", slot)
		assert.Equal(t, second, value, object.GetName())
		assert.Equal(t, []string{"argocd-controller/Apply"}, workloads.EnvOwners(object, "api", slot), object.GetName())
	}
}

// applied applies a workload of each kind, without the slot.
func (r *release) applied(fieldManager string) []workloads.Object {
	r.t.Helper()
	options := []workloads.Option{workloads.Container("api", "registry.invalid/api:1"), workloads.Env("api", "NOTE", "x")}
	objects := []workloads.Object{
		workloads.Deployment("deployment", options...), workloads.StatefulSet("statefulset", options...),
		workloads.DaemonSet("daemonset", options...), workloads.CronJob("cronjob", options...),
	}
	for _, object := range objects {
		require.NoError(r.t, r.Apply(fieldManager, object))
	}
	return objects
}

// withoutSlotClaims drops the claims on the slots from managedFields.
func withoutSlotClaims(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, claimed := range v {
			fields, _ := claimed.(map[string]any)
			switch name {
			case `k:{"name":"api"}`:
				delete(fields, "f:image")
			case `k:{"name":"` + slot + `"}`:
				delete(fields, "f:value")
			}
			withoutSlotClaims(claimed)
		}
	case []any:
		for _, item := range v {
			withoutSlotClaims(item)
		}
	}
}
