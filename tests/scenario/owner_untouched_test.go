package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
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
	r := &release{Scenario: environment.Scenario(t), t: t}
	old, _ := r.push("old")
	r.Configure(applicationConfig)
	apply := func() {
		slots := ""
		for _, object := range withoutSlots() {
			require.NoError(t, r.Apply(harness.Helm, object))
			slots += onlySlots(object.GetObjectKind().GroupVersionKind().Kind, object.GetName(), "image: "+appImage, envSlot(old))
		}
		kubectlApply(t, r.Scenario, harness.Argo, slots)
		r.settle()
	}
	apply()
	argo := []string{"argocd-controller/Apply"}
	values := []string{old, appImage}
	before := everything(t, r.Scenario, values...)
	r.tick("adopted")
	require.Equal(t, before, everything(t, r.Scenario, values...))
	digest, image := r.push("new")
	r.tick("refreshed")
	require.Equal(t, before, everything(t, r.Scenario, append(values, digest, image)...))
	r.requireOwned(argo, argo)

	apply() // each what it applied before, and without force
	r.tick("reapplied")
	r.requireSlots(digest, image)
	r.requireOwned(argo, argo)
}

// withoutSlots is the application as one manager applies it who knows nothing of its slots.
func withoutSlots() []workloads.Object {
	options := []workloads.Option{workloads.Container("side", "registry.invalid/side:1"), workloads.Env("side", "NOTE", "x")}
	return []workloads.Object{
		workloads.Deployment("deployment", options...), workloads.StatefulSet("statefulset", options...),
		workloads.DaemonSet("daemonset", options...), workloads.CronJob("cronjob", options...),
	}
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
