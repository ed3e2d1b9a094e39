package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// owned says who owns a slot that Helm renders, after the program has handed it back.
func (r *release) owned() []string {
	if r.helm == "helm4" {
		return []string{"helm/Apply"}
	}
	return nil // Helm 3 updates: nobody is to find itself the owner of what it does not apply
}

// I29: after a patch by another tool, an upgrade with Helm 4 failed on a conflict, and one with Helm 3 silently
// reverted: every upgrade succeeds, and the next tick heals what it has reverted.
func TestI29UpgradesSucceedAndTheNextTickHeals(t *testing.T) {
	forEachHelm(t, func(t *testing.T, r *release) {
		r.Setenv("CONTESTED_THRESHOLD", "9") // more upgrades than a day has
		r.Configure(applicationConfig)
		old, _ := r.push("old")
		r.install("--set", "digest="+old)
		r.tick("adopted")
		digest, image := r.push("new")
		r.tick("refreshed")
		r.requireSlots(digest, image)
		r.requireOwned(r.owned(), r.owned())

		for _, flags := range [][]string{
			{"--set", "digest=" + old},                                 // unchanged values
			{"--set", "digest=" + old, "--set", "note=changed"},        // changed ones
			{"--reuse-values"},                                         // reused
			{"--reuse-values", "--set", "note=again"},                  // reused, and a change
			{"--reuse-values", "--set", "digest=" + digestOf("other")}, // another digest
		} {
			r.upgrade(flags...)
			for _, object := range r.workloads() {
				value, _ := workloads.EnvValue(object, "api", slot)
				require.NotEqual(t, digest, value, "%v: an upgrade sets the chart's value", flags)
				require.Equal(t, appImage, workloads.Image(object, "api"), flags)
			}
			r.tick("reapplied")
			r.requireSlots(digest, image)
			r.requireOwned(r.owned(), r.owned())
			r.tick("unchanged")
		}

		digest, image = r.push("newer")
		r.tick("refreshed")
		r.upgrade("--reuse-values")
		r.tick("reapplied")
		r.requireSlots(digest, image)
		r.requireOwned(r.owned(), r.owned())
		r.run("rollback", "app", "1")
		r.tick("reapplied")
		r.requireSlots(digest, image)
	})
}

// I29: a chart that renders the live digest through lookup: nothing is reverted, so nothing is to be healed.
func TestI29AChartThatRendersWhatIsLive(t *testing.T) {
	forEachHelm(t, func(t *testing.T, r *release) {
		r.Configure(applicationConfig)
		old, _ := r.push("old")
		r.install("--set", "digest="+old, "--set", "slots=lookup")
		r.tick("adopted")
		for _, build := range []string{"new", "newer"} {
			digest, image := r.push(build)
			r.tick("refreshed")
			r.requireOwned(r.owned(), r.owned())
			revision := workloads.Revision(r.Deployment("deployment"))
			r.upgrade("--reuse-values")
			r.requireSlots(digest, image)
			assert.Equal(t, revision, workloads.Revision(r.Deployment("deployment")), "an upgrade rolls nothing")
			r.tick("unchanged")
			r.upgrade("--reuse-values", "--set", "note="+build)
			r.requireSlots(digest, image)
			r.tick("unchanged")
		}
	})
}

// I29: a chart that leaves the variable out: it is filled, belongs to nobody, and survives upgrades.
func TestI29AChartThatLeavesTheSlotOut(t *testing.T) {
	forEachHelm(t, func(_ *testing.T, r *release) {
		r.Configure(applicationOf("targets:", "  - name: ingestor", "    image: "+ingestor, "    workloads:", everyKind("container: api, env: "+slot)))
		digest, _ := r.push("first")
		r.install("--set", "slots=absent")
		r.tick("refreshed")
		image := r.owned()
		if r.helm == "helm3" {
			image = []string{"helm/Update"} // never ours: no target follows it here
		}
		for _, build := range []string{"new", "newer"} {
			r.requireSlots(digest, appImage)
			r.requireOwned(nil, image)
			r.upgrade("--reuse-values")
			r.requireSlots(digest, appImage)
			r.tick("unchanged")
			r.upgrade("--reuse-values", "--set", "note="+build)
			r.requireSlots(digest, appImage)
			digest, _ = r.push(build)
			r.tick("refreshed")
		}
	})
}
