package scenario_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// confine installs the admission policy that the chart has for this configuration and the program's account, and waits until
// it is in force.
func (r *release) confine(config string) {
	r.t.Helper()
	values := config + "admissionPolicy: {enabled: true}\nserviceAccount: {create: false, name: image-refresh}\n"
	policy := file(r.t, r.Scenario, "policy.yaml", r.run("template", "refresh", "../../chart",
		"--values", file(r.t, r.Scenario, "values.yaml", values), "--show-only", "templates/admissionpolicy.yaml"))
	clusterWide(r.t, r.Scenario, policy)
	r.Eventually("the policy is in force", r.refused)
}

// clusterWide applies a file with what belongs to the whole cluster, until the test ends.
func clusterWide(t *testing.T, s *harness.Scenario, file string) {
	t.Helper()
	s.Kubectl("apply", "-f", file)
	t.Cleanup(func() {
		command := exec.CommandContext(context.Background(), s.Cluster.Kubectl(), "--kubeconfig", s.Cluster.Kubeconfig(),
			"delete", "--wait=false", "--ignore-not-found", "-f", file)
		output, err := command.CombinedOutput()
		assert.NoError(t, err, "%s", output)
	})
}

// refused says whether the program's account may not do what RBAC allows it, because of the policy.
func (r *release) refused() bool {
	output, err := exec.CommandContext(r.t.Context(), r.Cluster.Kubectl(), "--kubeconfig", r.Kubeconfig, "--namespace", r.Namespace,
		"patch", "deployment", "deployment", "--dry-run=server", "--patch", `{"spec":{"replicas":0}}`).CombinedOutput()
	return err != nil && strings.Contains(string(output), "nothing of a workload but the slots of its targets")
}

// lets asserts that the policy lets the program's account do what a check asks for, for each workload.
func (r *release) lets(patch string) {
	r.t.Helper()
	lines := linesOf(check(r.t, r.Scenario, 0), "admission", "ok", "")
	assert.Len(r.t, lines, len(kinds))
	for _, line := range lines {
		assert.Equal(r.t, "a dry run of "+patch+", as system:serviceaccount:"+r.Namespace+":image-refresh: accepted", line.Message)
	}
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
		assert.Len(r.t, linesOf(check(r.t, r.Scenario, 1), "admission", "failed", ""), len(kinds))
		r.confine(applicationConfig)
		r.Eventually("the policy knows both targets", func() bool { return r.Tick().ExitCode == 0 })
		r.Settle(r.workloads()...)
		r.push("one that is superseded")
		r.lets("the next patch")
		digest, reference := r.refresh("second")
		r.requireSlots(digest, reference, r.owners, r.owners) // handed back by a write of managedFields alone
		r.upgrade("--reuse-values", "--set", "note=changed")
		r.tick("reapplied")
		r.tick("unchanged")
		r.lets("a patch that changes nothing, since none is due")

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
func mutate(s *harness.Scenario, pattern, replacement string) (remove func()) {
	expression := regexp.MustCompile(pattern)
	return s.API.Inject(apiproxy.Fault{Match: patches, Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
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

// A policy has something against every new digest. A check says so in the tick before: of workloads that no tick has seen yet, and
// of those that have to wait for their turn, a person or an age.
func TestCheckNamesThePolicyThatRefuses(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.WithoutPlan() // it does not see what a policy refuses
	digest := s.Push(ingestor, image("first"))
	s.Push(ingestor, image("second"))
	s.Deploy(jobs(digest), workloads.Deployment("other", workloads.Container("api", jobsManager), workloads.Env("api", slot, digest)))
	follow := func(line string) {
		both := entry("Deployment", "jobs", "api", "env: "+slot) + entry("Deployment", "other", "api", "env: "+slot)
		s.Configure("targets:\n" + targetOf("ingestor", ingestor, both, line))
	}
	follow("mode: apply")
	s.Setenv("MAX_ROLLOUTS", "1")
	require.Len(t, linesOf(check(t, s, 0), "admission", "ok", ""), 2)
	policy := "today." + s.Namespace
	clusterWide(t, s, file(t, s, "policy.yaml", `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: `+policy+`}
spec:
  matchConstraints: {`+updatesIn(s, "resourceRules")+`}
  validations: [{expression: object.spec.template == oldObject.spec.template, message: not today}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: `+policy+`}
spec: {policyName: `+policy+`, validationActions: [Deny]}
`))
	s.Eventually("the policy is in force", func() bool { return s.Run("check").ExitCode == 1 })
	for _, tick := range []struct {
		line     string
		exit     int
		outcomes []string
	}{
		{"mode: apply", 0, []string{"adopted", "adopted"}},
		{"mode: apply", 1, []string{"failed", "waiting"}},
		{"mode: notify", 0, []string{"pending", "pending"}},
		{"minAge: 24h", 0, []string{"deferred", "deferred"}},
	} {
		follow(tick.line)
		for _, name := range []string{"jobs", "other"} {
			before := s.Deployment(name).ObjectMeta
			line := requireCheck(t, check(t, s, 1), "admission", "failed", "Deployment "+s.Namespace+"/"+name)
			assert.Equal(t, "api", line.Cause)
			assert.Regexp(t, "the next patch, as system.*policy "+policy+" refuses.*not today", line.Message)
			assert.Equal(t, before, s.Deployment(name).ObjectMeta, "nothing is stored")
		}
		result := s.Tick()
		harness.RequireExit(t, tick.exit, result)
		s.Settle(workloads.Deployment("jobs"), workloads.Deployment("other"))
		for i, name := range []string{"jobs", "other"} {
			assert.Equal(t, tick.outcomes[i], result.Report.Target("ingestor").Workload(name).Outcome)
		}
	}
}

// updatesIn is how admission policies and webhooks are to be asked about changes of the scenario's Deployments: rules is the name
// of the field for what they are asked about.
func updatesIn(s *harness.Scenario, rules string) string {
	return "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + s.Namespace + "}}, " +
		rules + ": [{apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [UPDATE]}]"
}

// webhook is the configuration of a webhook that answers so; where it answers nothing, it is not there.
func webhook(t *testing.T, s *harness.Scenario, kind, answer string) string {
	t.Helper()
	client := "service: {namespace: " + s.Namespace + ", name: absent}"
	if answer != "" {
		authority, err := pki.NewAuthority("webhook")
		require.NoError(t, err)
		certificate, err := authority.Issue("127.0.0.1")
		require.NoError(t, err)
		address, stop, err := faultinject.Listen(t.Context(), faultinject.AnyPort, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var review struct{ Request struct{ UID string } }
			if json.NewDecoder(r.Body).Decode(&review) != nil {
				panic(http.ErrAbortHandler)
			}
			_, _ = fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,%s}}`, review.Request.UID, answer)
		}), &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, stop()) })
		client = "url: 'https://" + address + "/', caBundle: " + base64.StdEncoding.EncodeToString(authority.PEM())
	}
	return `
apiVersion: admissionregistration.k8s.io/v1
kind: ` + kind + `WebhookConfiguration
metadata: {name: rules.` + s.Namespace + `}
webhooks:
  - {name: rules.example.com, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {` + client + `}, ` + updatesIn(s, "rules") + `}
`
}

// What webhooks make of a patch is said before a tick sends it, also where none is due yet; and a tick finds the same.
func TestCheckNamesTheWebhook(t *testing.T) {
	t.Parallel()
	drop := `[{"op":"remove","path":"/metadata/labels/` + strings.ReplaceAll(mark, "/", "~1") + `"}]`
	for name, c := range map[string]struct{ kind, answer, cause, says string }{
		"that refuses":      {"Validating", `"allowed":false,"status":{"message":"only on Mondays"}`, "api", "webhook rules.example.com refuses.*only on Mondays"},
		"that is not there": {"Validating", "", "api", "cannot call the admission webhook rules.example.com"},
		"that drops a key": {"Mutating", `"allowed":true,"patchType":"JSONPatch","patch":"` + base64.StdEncoding.EncodeToString([]byte(drop)) + `"`,
			"contested", "webhook or policy changes what is written.*label " + mark},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := adopted(t)
			s.WithoutPlan() // it does not see what a webhook does
			requireCheck(t, check(t, s, 0), "admission", "ok", "jobs")
			clusterWide(t, s, file(t, s, "webhook.yaml", webhook(t, s, c.kind, c.answer)))
			s.Eventually("the webhook is in force", func() bool { return s.Run("check").ExitCode == 1 })
			for _, due := range []string{"since none is due", "the next patch"} {
				line := requireCheck(t, check(t, s, 1), "admission", "failed", "jobs")
				assert.Equal(t, c.cause, line.Cause)
				assert.Regexp(t, due+".*"+c.says, line.Message)
				s.Push(ingestor, image("second"))
			}
			assert.Regexp(t, c.says, requireOutcome(t, s.Tick(), 1, "failed", c.cause).Message)
		})
	}
}

// A webhook without sideEffects, as old configurations have them, is asked by no dry run, and has nothing against a tick.
func TestCheckWarnsOfAWebhookThatTakesNoDryRun(t *testing.T) {
	t.Parallel()
	s, _, _ := behindTag(t, ingestor, image("first"), image("second"))
	s.API.Inject(apiproxy.Fault{
		Match: func(r apiproxy.Request) bool { return r.Query.Get("dryRun") == "All" },
		Do:    apiproxy.Refuse(400, "BadRequest", `admission webhook "rules.example.com" does not support dry run`),
	})
	line := requireCheck(t, check(t, s, 0), "admission", "warning", "jobs")
	assert.Contains(t, line.Message, "webhook rules.example.com takes no dry run")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
}
