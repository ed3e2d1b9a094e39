package scenario_test

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// confine installs the admission policy that the chart has for this configuration and the program's account, and waits until
// it is in force.
func (r *release) confine(config string) {
	r.t.Helper()
	values := config + "admissionPolicy: {enabled: true}\nserviceAccount: {create: false, name: image-refresh}\n"
	policy := file(r.t, r.Scenario, "policy.yaml", r.run("template", "refresh", "../../chart",
		"--values", file(r.t, r.Scenario, "values.yaml", values), "--show-only", "templates/admissionpolicy.yaml"))
	r.Kubectl("apply", "-f", policy)
	r.t.Cleanup(func() {
		command := exec.CommandContext(context.Background(), r.Cluster.Kubectl(), "--kubeconfig", r.Cluster.Kubeconfig(),
			"delete", "--wait=false", "--ignore-not-found", "-f", policy)
		output, err := command.CombinedOutput()
		assert.NoError(r.t, err, "%s", output)
	})
	r.Eventually("the policy is in force", r.refused)
}

// refused says whether the program's account may not do what RBAC allows it, because of the policy.
func (r *release) refused() bool {
	output, err := exec.CommandContext(r.t.Context(), r.Cluster.Kubectl(), "--kubeconfig", r.Kubeconfig, "--namespace", r.Namespace,
		"patch", "deployment", "deployment", "--dry-run=server", "--patch", `{"spec":{"replicas":0}}`).CombinedOutput()
	return err != nil && strings.Contains(string(output), "nothing of a workload but the slots of its targets")
}

// The whole life of a digest, with an account that may patch nothing but slots, marks and records.
func TestTheAdmissionPolicyLeavesEveryTickAllThatItNeeds(t *testing.T) {
	forEachHelm(t, func(r *release) {
		r.install(applicationConfig)
		r.confine("targets:\n" + everyKind("manager", appImage))
		r.Configure(applicationConfig)
		r.WithoutPlan() // it does not see what a policy refuses
		result := r.Tick()
		harness.RequireExit(r.t, 1, result)
		refused := outcomeOf(r.t, result, "ingestor", "deployment", "failed", "api").Message
		assert.Contains(r.t, refused, "admission policy")
		assert.NotContains(r.t, refused, "grant the verb")
		r.confine(applicationConfig)
		r.Eventually("the policy knows both targets", func() bool { return r.Tick().ExitCode == 0 })
		r.Settle(r.workloads()...)
		digest, reference := r.refresh("second")
		r.requireSlots(digest, reference, r.owners, r.owners) // handed back by a write of managedFields alone
		r.upgrade("--reuse-values", "--set", "note=changed")
		r.tick("reapplied")
		r.tick("unchanged")

		// A bad build is tried, rejected and taken back.
		r.Setenv("ROLLOUT_TIMEOUT", "10s")
		r.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
		r.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "deployment", "api", "env: "+slot)))
		breaks(r.Scenario, crash(), r.Push(ingestor, image("bad")))
		result = r.Tick()
		harness.RequireExit(r.t, 1, result)
		outcomeOf(r.t, result, "ingestor", "deployment", "rolled-back", "rollout-failed")
		value, _ := workloads.EnvValue(r.Deployment("deployment"), "api", slot)
		assert.Equal(r.t, digest, value, "the proven digest is back")
		r.Behave(nil)
		r.Settle(r.workloads()...)
		harness.RequireExit(r.t, 1, r.Tick()) // rejected

		// What cannot be resolved is counted, written down, and cleared.
		unblock := r.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
		for range 3 {
			result = r.Tick()
		}
		harness.RequireExit(r.t, 1, result)
		assert.Contains(r.t, r.Deployment("deployment").Annotations, lastError)
		unblock()
		r.Push(ingestor, image("good"))
		requireOutcomes(r.t, r.Tick(), 0, "refreshed")
		assert.NotContains(r.t, r.Deployment("deployment").Annotations, lastError)
		r.Settle(r.workloads()...)

		// So is a workload that is not settled.
		breaks(r.Scenario, crash(), "changed again")
		r.Kubectl("set", "env", "deployment/deployment", "--containers=side", "MORE=changed again")
		for _, count := range []string{"1", ""} {
			harness.RequireExit(r.t, 0, r.Tick())
			assert.Equal(r.t, count, r.Deployment("deployment").Annotations[streak])
			r.Behave(nil)
			r.Settle(r.workloads()...)
		}
		assert.True(r.t, r.refused(), "and the policy was in force to the end")

		// A person sees in check that it is there, and what is open.
		r.Create(workloads.CronJob("refresh", workloads.Label("app.kubernetes.io/component", "image-refresh"), workloads.Container("image-refresh", "image-refresh")))
		r.Setenv("KUBECONFIG", r.Cluster.Kubeconfig())
		r.Setenv("POD_NAMESPACE", r.Namespace)
		said := map[string]string{}
		for _, line := range r.Run("check").Report.Checks {
			if line.Check == "protection" {
				said[line.Subject] = line.Status
			}
		}
		assert.Equal(r.t, map[string]string{"admissionPolicy": "ok", "networkPolicy": "warning"}, said)
	})
}

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
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "")))
			requireOutcome(t, s.Tick(), 0, "adopted", "")
			s.Push(ingestor, image("second"))
			mutate(s, c.pattern, c.sets)
			s.Settle(workloads.Deployment("jobs"))
			message := requireOutcome(t, s.Tick(), c.exit, c.outcome, c.cause).Message
			assert.Equal(t, c.exit == 1, strings.Contains(message, "webhook"), message)
		})
	}
}

// A refusal at admission is no missing permission, and names who refuses.
func TestARefusalAtAdmissionNamesWhoRefuses(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Deploy(jobs(s.Push(ingestor, image("first"))))
	s.Configure(ingestorConfig)
	denied := apiproxy.Refuse(403, "Forbidden", `admission webhook "rules.example.com" denied the request: only on Mondays`)
	s.API.Inject(apiproxy.Fault{Match: patches, Do: denied})
	refused := requireOutcome(t, s.Tick(), 1, "failed", "api")
	assert.Regexp(t, "webhook rules.example.com.*only on Mondays", refused.Message)
	assert.NotContains(t, refused.Message, "grant the verb")
}
