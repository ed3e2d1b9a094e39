package scenario_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// slotOwners are the managers that own the slot of the Deployment "jobs".
func slotOwners(s *harness.Scenario) []string {
	return workloads.EnvOwners(s.Deployment("jobs"), "api", slot)
}

// isHandBack matches the write that changes nothing but claims.
func isHandBack(r apiproxy.Request) bool {
	return r.Verb == "patch" && strings.Contains(string(r.Body), "managedFields")
}

// appliedBy makes a scenario in which a manager has applied the Deployment "jobs", and one tick has adopted it.
func appliedBy(t *testing.T, fieldManager string) (s *harness.Scenario, digest string) {
	t.Helper()
	s = environment.Scenario(t)
	digest = s.Push(ingestor, image("first"))
	require.NoError(t, s.Apply(fieldManager, jobs(digest)))
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
			second := s.Push(ingestor, image("second"))
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, []string{who + "/Apply"}, slotOwners(s))
			kubectlApply(t, s, who, string(asJSON(t, jobs(first))))
			s.Settle(jobs(first))
			assert.Equal(t, first, live(s))
			requireOutcome(t, s.Tick(), 0, "reapplied", "") // a deployer's, not a person's
			assert.Equal(t, second, live(s))
			assert.Equal(t, []string{who + "/Apply"}, slotOwners(s))
			require.NoError(t, s.Apply(who, jobs(first, workloads.Replicas(2))), "with another change")
		})
	}
}

// The slot of an object that nobody applies is handed to nobody, so that nobody's later apply conflicts.
func TestI29WhereNobodyAppliesTheClaimIsHandedToNobody(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Empty(t, slotOwners(s))
	require.NoError(t, s.Apply(harness.Argo, jobs(first)))
}

// A manager whose entry holds the slot and nothing else: the server drops the entry when we patch, and it has
// to come back.
func TestI29AnEntryThatTheServerDroppedComesBack(t *testing.T) {
	t.Parallel()
	s, first := appliedBy(t, harness.Helm)
	require.NoError(t, s.Apply(harness.Argo, jobs(first)))
	const claim = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"` + slot +
		`\"}":{"f:value":{}}}}}}}}}`
	entries := s.Deployment("jobs").ManagedFields
	for i := range entries {
		if entries[i].Manager == harness.Argo {
			entries[i].FieldsV1.SetRawBytes([]byte(claim))
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"managedFields": entries}})
	require.NoError(t, err)
	s.Patch("test", s.Deployment("jobs"), string(patch))
	require.Equal(t, []string{"argocd-controller/Apply", "helm/Apply"}, slotOwners(s))

	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, []string{"argocd-controller/Apply", "helm/Apply"}, slotOwners(s))
	for _, entry := range s.Deployment("jobs").ManagedFields {
		if entry.Manager == harness.Argo {
			assert.JSONEq(t, claim, string(entry.FieldsV1.GetRawBytes()))
		}
	}
}
