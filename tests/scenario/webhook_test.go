package scenario_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	registration "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// webhook has the API server ask about each change of a Deployment of the scenario by the program.
func webhook(t *testing.T, s *harness.Scenario, answer func(*appsv1.Deployment, *admissionv1.AdmissionResponse) []patchOperation) {
	t.Helper()
	s.WithoutPlan() // a plan does not see what a webhook does to a write
	var asked atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(true)
		var review admissionv1.AdmissionReview
		var deployment appsv1.Deployment
		if json.NewDecoder(r.Body).Decode(&review) != nil || json.Unmarshal(review.Request.Object.Raw, &deployment) != nil {
			http.Error(w, "no review", http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if strings.HasPrefix(review.Request.UserInfo.Username, "system:serviceaccount:"+s.Namespace) {
			if operations := answer(&deployment, review.Response); len(operations) > 0 {
				kind := admissionv1.PatchTypeJSONPatch
				review.Response.Patch, _ = json.Marshal(operations)
				review.Response.PatchType = &kind
			}
		}
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	none, always := registration.SideEffectClassNone, registration.Fail
	configurations := s.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	_, err := configurations.Create(t.Context(), &registration.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: s.Namespace},
		Webhooks: []registration.MutatingWebhook{{
			Name: "rules.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none, FailurePolicy: &always,
			ClientConfig: registration.WebhookClientConfig{
				URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.Namespace}},
			Rules: []registration.RuleWithOperations{{
				Operations: []registration.OperationType{registration.Update},
				Rule:       registration.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, configurations.Delete(context.Background(), s.Namespace, metav1.DeleteOptions{}))
	})
	s.Eventually("the webhook is asked", func() bool {
		s.Kubectl("patch", "deployment/jobs", "--dry-run=server", "-p", `{"metadata":{"labels":{"probe":"`+rand.Text()+`"}}}`)
		return asked.Load()
	})
}

func escaped(key string) string { return strings.ReplaceAll(key, "/", "~1") }

// I82: a webhook dropped labels that it did not know, and each tick adopted anew; or annotations, and no failure added up.
func TestI82WhatAWebhookTakesOutIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes func(*appsv1.Deployment) []patchOperation
		says  string
	}{
		"the label": {func(d *appsv1.Deployment) []patchOperation {
			if d.Labels[mark] == "" {
				return nil
			}
			return []patchOperation{{Op: "remove", Path: "/metadata/labels/" + escaped(mark)}}
		}, "label " + mark},
		"the annotations": {func(d *appsv1.Deployment) (operations []patchOperation) {
			for key := range d.Annotations {
				if strings.HasPrefix(key, "tracebloc.io/") {
					operations = append(operations, patchOperation{Op: "remove", Path: "/metadata/annotations/" + escaped(key)})
				}
			}
			return operations
		}, "annotation " + recorded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Push(ingestor, image("second"))
			s.Deploy(jobs(first))
			s.Configure(ingestorConfig)
			webhook(t, s, func(d *appsv1.Deployment, _ *admissionv1.AdmissionResponse) []patchOperation { return c.takes(d) })
			for range 2 {
				lost := requireOutcome(t, s.Tick(), 1, "failed", "contested")
				assert.Contains(t, lost.Message, c.says)
				assert.Contains(t, lost.Message, "webhook")
				s.Settle(workloads.Deployment("jobs"))
			}
		})
	}
}

// A webhook that sets the slot to something else fights with us; one that spells the same image in another way does not.
func TestI82ASlotThatAWebhookSets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sets  func(image string) string
		exit  int
		cause string
	}{
		"to another repository": {func(image string) string { return strings.Replace(image, "ghcr.io", "mirror.example.com", 1) }, 1, "contested"},
		"to another digest":     {func(image string) string { return image[:len(image)-4] + "0000" }, 1, "contested"},
		"to another spelling":   {func(image string) string { return strings.Replace(image, ":0.3@", "@", 1) }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Deploy(workloads.Deployment("jobs", workloads.Container("api", ingestor+"@"+first)))
			s.Configure(byImage())
			requireOutcome(t, s.Tick(), 0, "adopted", "")
			second := s.Push(ingestor, image("second"))
			webhook(t, s, func(d *appsv1.Deployment, _ *admissionv1.AdmissionResponse) []patchOperation {
				if was := d.Spec.Template.Spec.Containers[0].Image; strings.Contains(was, second) {
					return []patchOperation{{Op: "replace", Path: "/spec/template/spec/containers/0/image", Value: c.sets(was)}}
				}
				return nil
			})
			s.Settle(workloads.Deployment("jobs"))
			outcome := map[int]string{0: "refreshed", 1: "failed"}[c.exit]
			result := requireOutcome(t, s.Tick(), c.exit, outcome, c.cause)
			if c.exit == 1 {
				assert.Contains(t, result.Message, "webhook")
			}
		})
	}
}

// A refusal at admission is no missing permission, and names who refuses.
func TestARefusalAtAdmissionNamesWhoRefuses(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Deploy(jobs(first))
	s.Configure(ingestorConfig)
	webhook(t, s, func(_ *appsv1.Deployment, response *admissionv1.AdmissionResponse) []patchOperation {
		response.Allowed, response.Result = false, &metav1.Status{Code: http.StatusForbidden, Message: "only on Mondays"}
		return nil
	})
	refused := requireOutcome(t, s.Tick(), 1, "failed", "api")
	assert.Contains(t, refused.Message, "rules.example.com")
	assert.Contains(t, refused.Message, "only on Mondays")
	assert.NotContains(t, refused.Message, "grant the verb")
}

// One API server among several may not know a new pod's token yet: it is asked again, once.
func TestOne401IsAskedAgain(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	unauthorized := apiproxy.Refuse(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("get", "deployments"), Times: 1, Do: unauthorized})
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("get", "deployments"), Do: unauthorized})
	s.Forget()
	requireOutcome(t, s.Tick(), 1, "failed", "api")
	assert.Len(t, s.API.Requests(apiproxy.Verb("get", "deployments")), 2, "asked again once")
}

// The same for a policy of the API server itself.
func TestARefusalByAPolicyNamesThePolicy(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.WithoutPlan() // nor what a policy refuses
	s.Deploy(jobs(s.Push(ingestor, image("first"))))
	s.Configure(ingestorConfig)
	file := filepath.Join(s.Dir, "policy.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments]}]
  validations: [{expression: "!has(object.metadata.labels) || !object.metadata.labels.exists(k, k.startsWith('tracebloc.io/'))", message: no foreign labels, reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: NAME
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}}
`, "NAME", s.Namespace)), 0o600))
	s.Kubectl("apply", "-f", file)
	policies := s.Client.AdmissionregistrationV1()
	t.Cleanup(func() {
		assert.NoError(t, policies.ValidatingAdmissionPolicyBindings().Delete(context.Background(), s.Namespace, metav1.DeleteOptions{}))
		assert.NoError(t, policies.ValidatingAdmissionPolicies().Delete(context.Background(), s.Namespace, metav1.DeleteOptions{}))
	})
	s.Eventually("the policy is in force", func() bool {
		d := s.Deployment("jobs")
		d.Labels["tracebloc.io/probe"] = "x"
		_, err := s.Client.AppsV1().Deployments(s.Namespace).Update(t.Context(), d, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "no foreign labels")
	})
	refused := requireOutcome(t, s.Tick(), 1, "failed", "api")
	assert.Contains(t, refused.Message, "admission policy "+s.Namespace)
	assert.Contains(t, refused.Message, "no foreign labels")
	assert.NotContains(t, refused.Message, "grant the verb")
}
