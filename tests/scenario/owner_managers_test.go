package scenario_test

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// slotOwners are the managers that own the slot of the Deployment "jobs".
func slotOwners(s *harness.Scenario) []string {
	return workloads.EnvOwners(s.Deployment("jobs"), "api", slot)
}

// appliedBy makes a scenario in which a manager has applied the Deployment "jobs", and one tick has adopted it.
func appliedBy(t *testing.T, fieldManager string, options ...workloads.Option) (s *harness.Scenario, digest string) {
	t.Helper()
	s = environment.Scenario(t)
	digest = s.Push(ingestor, registries.Index("first", "linux/amd64"))
	require.NoError(t, s.Apply(fieldManager, jobs(digest, options...)))
	s.Settle(jobs(digest))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	return s, digest
}

// I29: whoever has applied the slot, kubectl, Argo CD or Helm, owns it again and applies again without force.
func TestI29WhoeverAppliesOwnsTheSlotAgain(t *testing.T) {
	t.Parallel()
	for _, who := range []string{harness.Helm, harness.Argo, "kubectl", "kustomize-controller", "somebody-else"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			s, first := appliedBy(t, who)
			second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, []string{who + "/Apply"}, slotOwners(s))
			require.NoError(t, s.Apply(who, jobs(first)))
			s.Settle(jobs(first))
			assert.Equal(t, first, live(s))
			requireOutcome(t, s.Tick(), 0, "reapplied", "")
			assert.Equal(t, second, live(s))
			assert.Equal(t, []string{who + "/Apply"}, slotOwners(s))
			require.NoError(t, s.Apply(who, jobs(first, workloads.Replicas(2))), "with another change")
		})
	}
}

// I29, with the real kubectl.
func TestI29KubectlAppliesServerSideAgain(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, registries.Index("first", "linux/amd64"))
	manifest, err := json.Marshal(jobs(first))
	require.NoError(t, err)
	kubectlApply(t, s, "kubectl", string(manifest))
	s.Settle(jobs(first))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	kubectlApply(t, s, "kubectl", string(manifest))
	s.Settle(jobs(first))
	requireOutcome(t, s.Tick(), 0, "reapplied", "") // a deployer's, not a hand's
	assert.Equal(t, second, live(s))
}

// The slot of an object that nobody applies is handed to nobody, so that nobody's later apply conflicts.
func TestI29WhereNobodyAppliesTheClaimIsHandedToNobody(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, registries.Index("second", "linux/amd64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Empty(t, slotOwners(s))
	require.NoError(t, s.Apply(harness.Argo, jobs(first)))
}

// Two managers that apply the same slot both own it again.
func TestI29TwoManagersThatShareTheSlotOwnItAgain(t *testing.T) {
	t.Parallel()
	s, first := appliedBy(t, harness.Helm)
	require.NoError(t, s.Apply(harness.Argo, jobs(first)))
	s.Push(ingestor, registries.Index("second", "linux/amd64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, []string{"argocd-controller/Apply", "helm/Apply"}, slotOwners(s))
}

// A manager whose entry holds the slot and nothing else: the server drops the entry when we patch, and it has
// to come back.
func TestI29AnEntryThatTheServerDroppedComesBack(t *testing.T) {
	t.Parallel()
	s, first := appliedBy(t, harness.Helm)
	kubectlApply(t, s, harness.Argo, onlySlots("Deployment", "jobs", envSlot(first)))
	entries := s.Deployment("jobs").ManagedFields
	claim := `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"` + slot + `\"}":{"f:value":{}}}}}}}}}`
	for i := range entries {
		if entries[i].Manager == harness.Argo {
			entries[i].FieldsV1.SetRawBytes([]byte(claim))
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"managedFields": entries}})
	require.NoError(t, err)
	s.Patch("test", s.Deployment("jobs"), string(patch))
	require.Equal(t, []string{"argocd-controller/Apply", "helm/Apply"}, slotOwners(s))

	s.Push(ingestor, registries.Index("second", "linux/amd64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, []string{"argocd-controller/Apply", "helm/Apply"}, slotOwners(s))
	for _, entry := range s.Deployment("jobs").ManagedFields {
		if entry.Manager == harness.Argo {
			assert.JSONEq(t, claim, string(entry.FieldsV1.GetRawBytes()))
		}
	}
}

// isHandBack matches the write that changes nothing but claims.
func isHandBack(r apiproxy.Request) bool {
	return r.Verb == "patch" && strings.Contains(string(r.Body), "managedFields")
}

// A crash between the two writes: the slot is changed and ours. The next tick hands it back.
func TestI29ACrashBetweenTheTwoWritesIsMended(t *testing.T) {
	t.Parallel()
	s, first := appliedBy(t, harness.Helm)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	require.True(t, killAt(t, s, apiproxy.Fault{Match: isHandBack, Times: 1}, before))
	assert.Equal(t, second, live(s))
	require.Equal(t, []string{"image-refresh/Update"}, slotOwners(s), "the helper of this test did not kill in time")
	require.Error(t, s.Apply(harness.Helm, jobs(first)), "this is what has to be mended")
	s.Settle(jobs(second))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], "owners", "nothing is owed any more")
	require.NoError(t, s.Apply(harness.Helm, jobs(first)))
}

// The controller, and anybody else, writes at the same time: handing back is tried again.
func TestI29HandingBackIsTriedAgainOnAConflict(t *testing.T) {
	t.Parallel()
	s, first := appliedBy(t, harness.Helm)
	s.Push(ingestor, registries.Index("second", "linux/amd64"))
	collide := faultinject.Before(func() {
		s.Patch("kubectl-annotate", s.Deployment("jobs"), `{"metadata":{"annotations":{"other":"`+rand.Text()+`"}}}`)
	})
	s.API.Inject(apiproxy.Fault{Match: isHandBack, Times: 3, Do: collide})
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Greater(t, len(s.API.Requests(isHandBack)), 3)
	assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
	require.NoError(t, s.Apply(harness.Helm, jobs(first)))
}

// The slot of an init container is handed back too.
func TestI29TheSlotOfAnInitContainerIsHandedBack(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Push(appImage, registries.Index("first", "linux/amd64"))
	application := jobs("", workloads.InitContainer("setup", appImage))
	require.NoError(t, s.Apply(harness.Helm, application))
	s.Settle(application)
	s.Configure(applicationOf("targets: [{name: ingestor, image: \"" + appImage + "\", workloads: [{kind: Deployment, name: jobs, container: setup}]}]"))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	require.Contains(t, workloads.Image(s.Deployment("jobs"), "setup"), "@sha256:")
	require.NoError(t, s.Apply(harness.Helm, application))
	require.Equal(t, appImage, workloads.Image(s.Deployment("jobs"), "setup"))
}
