package scenario_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// mutate changes what the program writes to Deployments, as a mutating admission webhook does: what is stored, and answered, is
// not what was written.
func mutate(s *harness.Scenario, pattern, replacement string) {
	expression := regexp.MustCompile(pattern)
	s.API.Inject(apiproxy.Fault{Match: patches, Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		changed := expression.ReplaceAllString(string(body), replacement)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
		next.ServeHTTP(w, r)
	}})
}

// I82: a webhook dropped labels that it did not know, and each tick adopted anew; or annotations, and no failure added up.
func TestI82WhatAWebhookTakesOutIsSaid(t *testing.T) {
	t.Parallel()
	const values = `":{(?:"(?:[^"\\]|\\.)*"[:,]?|null,?)*}`
	for says, takes := range map[string]string{"label " + mark: `"labels` + values, "annotation " + recorded: `"annotations` + values} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			s.Deploy(jobs(s.Push(ingestor, image("first"))))
			s.Push(ingestor, image("second"))
			s.Configure(ingestorConfig)
			mutate(s, takes, `"ownerReferences":[]`)
			for range 2 {
				lost := requireOutcome(t, s.Tick(), 1, "failed", "contested")
				assert.Contains(t, lost.Message, says)
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
		pattern, sets  string
		exit           int
		outcome, cause string
	}{
		"to another repository": {`"image":"ghcr.io`, `"image":"mirror.example.com`, 1, "failed", "contested"},
		"to another digest":     {`("image":"[^"]*)....",`, `${1}0000",`, 1, "failed", "contested"},
		"to another spelling":   {`("image":"[^"]*):0.3@`, `$1@`, 0, "refreshed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			s.Deploy(workloads.Deployment("jobs", workloads.Container("api", ingestor+"@"+s.Push(ingestor, image("first")))))
			s.Configure(byImage())
			requireOutcome(t, s.Tick(), 0, "adopted", "")
			s.Push(ingestor, image("second"))
			mutate(s, c.pattern, c.sets)
			s.Settle(workloads.Deployment("jobs"))
			message := requireOutcome(t, s.Tick(), c.exit, c.outcome, c.cause).Message
			assert.Equal(t, c.exit == 1, strings.Contains(message, "webhook"), message)
		})
	}
}

// policy is one of the API server itself, in the namespace NAME alone.
const policy = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments]}]
  validations:
    - expression: "!has(object.metadata.labels) || !object.metadata.labels.exists(k, k.startsWith('tracebloc.io/'))"
      message: no foreign labels
      reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: NAME
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}}
`

// A refusal at admission is no missing permission, and names who refuses: a webhook or a policy.
func TestARefusalAtAdmissionNamesWhoRefuses(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.WithoutPlan() // it does not see what a policy refuses
	s.Deploy(jobs(s.Push(ingestor, image("first"))))
	s.Configure(ingestorConfig)
	requireRefused := func(says ...string) {
		refused := requireOutcome(t, s.Tick(), 1, "failed", "api")
		for _, text := range says {
			assert.Contains(t, refused.Message, text)
		}
		assert.NotContains(t, refused.Message, "grant the verb")
	}
	denied := apiproxy.Refuse(403, "Forbidden", `admission webhook "rules.example.com" denied the request: only on Mondays`)
	remove := s.API.Inject(apiproxy.Fault{Match: patches, Do: denied})
	requireRefused("rules.example.com", "only on Mondays")
	remove()

	s.Kubectl("apply", "-f", file(t, s, "policy.yaml", strings.ReplaceAll(policy, "NAME", s.Namespace)))
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
	requireRefused("admission policy "+s.Namespace, "no foreign labels")
}
