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

// planned writes what a plan prints into a file, as somebody does who commits it.
func planned(t *testing.T, s *harness.Scenario, output, file string) string {
	t.Helper()
	s.Forget()
	result := s.Run("plan", "-o", output)
	harness.RequireExit(t, 0, result)
	assert.Empty(t, s.API.Writes())
	path := filepath.Join(s.Dir, file)
	require.NoError(t, os.WriteFile(path, []byte(result.Stdout), 0o600))
	return path
}

// Who deploys by committing takes the digests from a plan: as Helm values, through every Helm and back.
func TestAPlanPrintsHelmValuesThatAnUpgradeTakes(t *testing.T) {
	forEachHelm(t, func(t *testing.T, r *release) {
		r.Configure(strings.ReplaceAll(applicationConfig, "env: "+slot, "env: "+slot+", helmValue: digest"))
		old, _ := r.push("old")
		r.install("--set", "digest="+old)
		r.tick("adopted")
		fresh, image := r.push("new")
		values := planned(t, r.Scenario, "values", "values.yaml")
		text, err := os.ReadFile(values)
		require.NoError(t, err)
		assert.Equal(t, "digest: "+fresh, strings.Split(strings.TrimSpace(string(text)), "\n")[1])
		assert.NotContains(t, string(text), image, "a slot whose value is not named is left out")

		r.upgrade("--values", values)
		for _, object := range r.workloads() {
			value, _ := workloads.EnvValue(object, "api", slot)
			assert.Equal(t, fresh, value)
		}
	})
}

// The same as patches, through kustomize: every slot, of either mode and every kind, and nothing else.
func TestAPlanPrintsPatchesThatKustomizeTakes(t *testing.T) {
	forEachHelm(t, func(t *testing.T, r *release) {
		r.Configure(applicationConfig)
		old, _ := r.push("old")
		r.install("--set", "digest="+old)
		r.tick("adopted")
		fresh, image := r.push("new")
		planned(t, r.Scenario, "patch", "patch.yaml")
		manifests := r.output("get", "manifest", "app")
		require.NoError(t, os.WriteFile(filepath.Join(r.Dir, "app.yaml"), []byte(manifests), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(r.Dir, "kustomization.yaml"), []byte(
			"namespace: "+r.Namespace+"\nresources: [app.yaml]\npatches: [{path: patch.yaml}]\n"), 0o600))
		r.Kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-k", r.Dir)
		r.settle()
		r.requireSlots(fresh, image)
		r.tick("unchanged")

		again := r.Run("plan", "-o", "patch")
		before, err := os.ReadFile(filepath.Join(r.Dir, "patch.yaml"))
		require.NoError(t, err)
		assert.Equal(t, string(before), again.Stdout, "what is committed is whole, and the same until a tag moves")
	})
}

// In values and patches stands what is known to be good: not what a person has taken out, nor what a gate refuses.
func TestAPlanCommitsNoDigestThatARunWouldNotSet(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Configure(strings.Replace(ingestorConfig, "env: "+slot, "env: "+slot+", helmValue: api.digest", 1))
	digests := func() string {
		_, text, _ := strings.Cut(s.Run("plan", "-o", "values").Stdout, "\n")
		return text
	}
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	assert.Equal(t, "api:\n  digest: "+second+"\n", digests())
	s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true")
	assert.Equal(t, "api:\n  digest: "+first+"\n", digests(), "held")
	s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold-")
	s.Push(ingestor, registries.Index("third", "linux/arm64"))
	assert.Equal(t, "api:\n  digest: "+first+"\n", digests(), "lacks a platform")
	s.Site.Proxy.Refuse("ghcr.io", 403)
	assert.Equal(t, "api:\n  digest: "+first+"\n", digests(), "cannot be resolved")
	s.Kubectl("set", "env", "deployment/jobs", slot+"=")
	s.Kubectl("annotate", "deployment", "jobs", recorded+"-")
	assert.Equal(t, "{}\n", digests(), "nothing is known")

	wrong := s.Run("run", "-o", "values")
	harness.RequireExit(t, 2, wrong)
	assert.Empty(t, wrong.Stdout, "there is nothing to commit in a run")
}

// One value cannot hold two digests: where a person holds one of two workloads, it is left out and said, and so is all
// where nothing could be planned.
func TestAPlanLeavesOutAValueThatWorkloadsDisputeAndPrintsNothingWhereItKnowsNothing(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Deploy(workloads.Deployment("one", workloads.Container("api", ingestor+"@"+first)), workloads.Deployment("two", workloads.Container("api", ingestor+"@"+first)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "one", "", "helmValue: d")+entry("Deployment", "two", "", "helmValue: d")))
	harness.RequireExit(t, 0, s.Tick())
	s.Push(ingestor, image("second"))
	s.Kubectl("label", "deployment", "two", "tracebloc.io/refresh-hold=true")
	disputed := s.Run("plan", "-o", "values")
	harness.RequireExit(t, 0, disputed)
	assert.NotContains(t, disputed.Stdout, "sha256:")
	assert.Contains(t, disputed.Stderr, "the value d, whose workloads want different digests")

	for _, output := range []string{"values", "patch"} {
		nowhere := s.Run("plan", "-o", output, "--context", "absent")
		harness.RequireExit(t, 1, nowhere)
		assert.Empty(t, nowhere.Stdout)
	}
}

// For what is held or rejected, the message has since when, by whom, and the command that releases it; each command
// does so when it is run as it is printed.
func TestTheCommandThatReleasesIsPrintedAndWorks(t *testing.T) {
	t.Parallel()
	release := func(t *testing.T, s *harness.Scenario, message string) {
		t.Helper()
		_, command, found := strings.Cut(message, ": kubectl ")
		require.True(t, found, message)
		command, _, _ = strings.Cut(command, " (see ")
		s.Kubectl(strings.Fields(command)...)
		requireOutcome(t, s.Run("plan"), 0, "pending", "")
	}
	t.Run("label", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		s.Push(ingestor, registries.Index("second", "linux/amd64"))
		s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true")
		message := requireOutcome(t, s.Run("plan"), 0, "held", "").Message
		assert.Regexp(t, `by kubectl-label, since 20\d\d-`, message)
		release(t, s, message)
	})
	t.Run("pause", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		s.Push(ingestor, registries.Index("second", "linux/amd64"))
		s.Kubectl("rollout", "pause", "deployment", "jobs")
		message := requireOutcome(t, s.Run("plan"), 0, "held", "").Message
		assert.Regexp(t, `by kubectl\S*, since 20\d\d-`, message)
		release(t, s, message)
	})
	t.Run("hand", func(t *testing.T) {
		t.Parallel()
		s, first := adopted(t)
		s.Push(ingestor, registries.Index("second", "linux/amd64"))
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
		s.Kubectl("set", "env", "deployment/jobs", slot+"="+first)
		s.Settle(workloads.Deployment("jobs"))
		requireOutcome(t, s.Tick(), 0, "held", "")
		message := requireOutcome(t, s.Tick(), 0, "held", "").Message
		assert.Regexp(t, `by a person \(kubectl-set\) at 20\d\d-`, message)
		release(t, s, message)
	})
	t.Run("rejection", func(t *testing.T) {
		t.Parallel()
		s, _, _ := rejectedOnce(t)
		result := s.Run("plan")
		harness.RequireExit(t, 1, result)
		message := result.Report.Target("ingestor").Workload("jobs").Message
		assert.Regexp(t, `rejected at 20\d\d-`, message)
		release(t, s, message)
	})
}
