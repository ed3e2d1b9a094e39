package scenario_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

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

// In values stands what is known to be good: not what a person has taken out, nor what a gate refuses. One value cannot hold two
// digests: where workloads want different ones, it is left out and said. Where nothing could be planned, nothing is printed.
func TestAPlanCommitsNoDigestThatARunWouldNotSet(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	container := workloads.Container("api", ingestor+"@"+first)
	s.Deploy(workloads.Deployment("one", container), workloads.Deployment("two", container))
	entries := entry("Deployment", "one", "", "helmValue: api.digest") + entry("Deployment", "two", "", "helmValue: api.digest")
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	requireValues := func(values string) (stderr string) {
		t.Helper()
		plan := s.Run("plan", "-o", "values")
		harness.RequireExit(t, 0, plan)
		_, text, _ := strings.Cut(plan.Stdout, "\n")
		assert.Equal(t, values, text)
		return plan.Stderr
	}
	value := func(digest string) string { return "api:\n  digest: " + digest + "\n" }
	requireValues(value(first))
	requireValues(value(s.Push(ingestor, image("second"))))
	s.Kubectl("label", "deployment", "one", "tracebloc.io/refresh-hold=true")
	assert.Contains(t, requireValues("{}\n"), "the value api.digest, whose workloads want different digests")
	s.Kubectl("label", "deployment", "two", "tracebloc.io/refresh-hold=true")
	requireValues(value(first))
	s.Kubectl("label", "deployment", "one", "two", "tracebloc.io/refresh-hold-")
	s.Push(ingestor, registries.Index("third", "linux/arm64")) // lacks a platform
	requireValues(value(first))
	s.Site.Proxy.Refuse("ghcr.io", 403)
	requireValues(value(first))
	s.Kubectl("set", "image", "deployment", "one", "two", "api="+ingestor)
	s.Kubectl("annotate", "deployment", "one", "two", recorded+"-")
	requireValues("{}\n") // nothing is known

	for args, exit := range map[string]int{"run -o values": 2, "plan -o values --context absent": 1, "plan -o patch --context absent": 1} {
		nothing := s.Run(strings.Fields(args)...)
		harness.RequireExit(t, exit, nothing)
		assert.Empty(t, nothing.Stdout)
	}
}

// A pipeline asks whether something is to be done, and a person for one target, or for what changes.
func TestAPlanIsNarrowedDownAndTellsAPipelineThatChangesArePending(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	harness.RequireExit(t, 0, s.Run("plan", "--detailed-exit-code"))
	assert.Empty(t, s.Run("plan", "--changed-only").Report.Targets)
	s.Push(ingestor, image("second"))
	harness.RequireExit(t, 0, s.Run("plan"))
	harness.RequireExit(t, 3, s.Run("plan", "--detailed-exit-code", "--target", "ingestor"))
	assert.Len(t, s.Run("plan", "--changed-only").Report.Targets, 1)
	wrong := s.Run("plan", "--target", "absent")
	harness.RequireExit(t, 2, wrong)
	assert.Contains(t, wrong.Stderr, `no target \"absent\"`)
	harness.RequireExit(t, 2, s.Run("run", "--detailed-exit-code"))

	values := filepath.Join(s.Dir, "values.yaml")
	require.NoError(t, os.WriteFile(values, []byte("schedule: '*/5 * * * *'\n"+ingestorConfig), 0o600))
	for _, command := range []string{"plan", "check"} {
		harness.RequireExit(t, 0, s.Run(command, "--values", values))
	}
}
