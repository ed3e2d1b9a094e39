package scenario_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I29: after a patch by another tool, an upgrade with Helm 4 failed on a conflict, and one with Helm 3 silently
// reverted: every upgrade succeeds, and the next tick heals what it has reverted.
func TestI29UpgradesSucceedAndTheNextTickHeals(t *testing.T) {
	forEachHelm(t, func(r *release) {
		r.Setenv("CONTESTED_THRESHOLD", "9") // more upgrades than a day has
		first := r.install(applicationConfig)
		before := everything(r.t, r.Scenario, r.slots...)
		r.tick("adopted")
		assert.Equal(r.t, before, everything(r.t, r.Scenario, r.slots...))
		digest, reference := r.refresh("second")
		r.requireSlots(digest, reference, r.owners, r.owners)

		for _, flags := range [][]string{
			{"--set", "digest=" + first},                               // unchanged values
			{"--set", "digest=" + first, "--set", "note=changed"},      // changed ones
			{"--reuse-values"},                                         // reused
			{"--reuse-values", "--set", "note=again"},                  // reused, and a change
			{"--reuse-values", "--set", "digest=" + digestOf("other")}, // another digest
		} {
			r.upgrade(flags...)
			for _, object := range r.workloads() {
				value, _ := workloads.EnvValue(object, "api", slot)
				require.NotEqual(r.t, digest, value, "%v: an upgrade sets the chart's value", flags)
				require.Equal(r.t, appImage, workloads.Image(object, "api"), flags)
			}
			r.tick("reapplied")
			r.requireSlots(digest, reference, r.owners, r.owners)
			r.tick("unchanged")
		}

		digest, reference = r.refresh("third")
		for _, revert := range [][]string{{"upgrade", "app", application, "--reuse-values"}, {"rollback", "app", "1"}} {
			r.run(revert...)
			r.tick("reapplied")
			r.requireSlots(digest, reference, r.owners, r.owners)
		}
	})
}

// I29: a chart that renders the live digest through lookup: nothing is reverted, so nothing is to be healed.
func TestI29AChartThatRendersWhatIsLive(t *testing.T) {
	forEachHelm(t, func(r *release) {
		r.install(applicationConfig, "--set", "slots=lookup")
		r.tick("adopted")
		for _, build := range []string{"second", "third"} {
			digest, reference := r.refresh(build)
			revision := workloads.Revision(r.Deployment("deployment"))
			r.upgrade("--reuse-values")
			assert.Equal(r.t, revision, workloads.Revision(r.Deployment("deployment")), "an upgrade rolls nothing")
			r.tick("unchanged")
			r.upgrade("--reuse-values", "--set", "note="+build)
			r.tick("unchanged")
			r.requireSlots(digest, reference, r.owners, r.owners)
		}
	})
}

// I29: a chart that leaves the variable out: it is filled, belongs to nobody, and survives upgrades.
func TestI29AChartThatLeavesTheSlotOut(t *testing.T) {
	forEachHelm(t, func(r *release) {
		digest := r.install("targets:\n"+everyKind("ingestor", ingestor, "env: "+slot), "--set", "slots=absent")
		r.tick("refreshed")
		imageOwners := workloads.ImageOwners(r.Deployment("deployment"), "api") // Helm: no target follows it here
		require.Len(r.t, imageOwners, 1)
		for _, build := range []string{"second", "third"} {
			r.upgrade("--reuse-values")
			r.tick("unchanged")
			r.upgrade("--reuse-values", "--set", "note="+build)
			r.requireSlots(digest, appImage, nil, imageOwners)
			digest, _ = r.refresh(build)
		}
		r.requireSlots(digest, appImage, nil, imageOwners)
	})
}

// Who deploys by committing takes the digests from a plan: as Helm values, and as patches through kustomize, with every slot,
// of either mode and every kind, and nothing else.
func TestAPlanPrintsValuesThatHelmTakesAndPatchesThatKustomizeTakes(t *testing.T) {
	forEachHelm(t, func(r *release) {
		r.install(strings.ReplaceAll(applicationConfig, "env: "+slot, "env: "+slot+", helmValue: digest"))
		r.tick("adopted")
		planned := func(output string) string {
			r.Forget()
			result := r.Run("plan", "-o", output)
			harness.RequireExit(r.t, 0, result)
			assert.Empty(r.t, r.API.Writes())
			return result.Stdout
		}
		digest, reference := r.push("second")
		values := planned("values")
		assert.Contains(r.t, values, "\ndigest: "+digest+"\n")
		assert.NotContains(r.t, values, reference, "a slot whose value is not named is left out")
		r.upgrade("--values", file(r.t, r.Scenario, "values.yaml", values))
		for _, object := range r.workloads() {
			value, _ := workloads.EnvValue(object, "api", slot)
			assert.Equal(r.t, digest, value)
		}

		patch := planned("patch")
		file(r.t, r.Scenario, "patch.yaml", patch)
		file(r.t, r.Scenario, "app.yaml", r.run("get", "manifest", "app"))
		kustomization := "namespace: " + r.Namespace + "\nresources: [app.yaml]\npatches: [{path: patch.yaml}]\n"
		folder := filepath.Dir(file(r.t, r.Scenario, "kustomization.yaml", kustomization))
		r.Kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-k", folder)
		r.Settle(r.workloads()...)
		r.tick("unchanged") // every slot holds the newest digest
		assert.Equal(r.t, patch, planned("patch"), "what is committed is whole, and the same until a tag moves")
	})
}
