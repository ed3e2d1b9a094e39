package scenario_test

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
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
		command := exec.CommandContext(context.Background(), r.Cluster.Kubectl(), "--kubeconfig", r.Cluster.Kubeconfig(), "delete", "--wait=false", "-f", policy)
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
		r.confine(applicationConfig)
		r.tick("adopted")
		digest, reference := r.refresh("second")
		r.requireSlots(digest, reference, r.owners, r.owners) // handed back by a write of managedFields alone
		r.upgrade("--reuse-values", "--set", "note=changed")
		r.tick("reapplied")
		r.tick("unchanged")

		// A bad build is tried, rejected and taken back.
		r.Setenv("ROLLOUT_TIMEOUT", "10s")
		r.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
		r.Behave(inDeployments(r.Push(ingestor, image("bad")), crash()))
		result := r.Tick()
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
		digest = r.Push(ingestor, image("good"))
		harness.RequireExit(r.t, 0, r.Tick())
		assert.NotContains(r.t, r.Deployment("deployment").Annotations, lastError)
		r.Settle(r.workloads()...)
		r.requireSlots(digest, reference, r.owners, r.owners)

		// So is a workload that is not settled.
		r.Behave(inDeployments("changed again", crash()))
		r.Kubectl("set", "env", "deployment/deployment", "--containers=side", "MORE=changed again")
		for _, count := range []string{"1", ""} {
			harness.RequireExit(r.t, 0, r.Tick())
			assert.Equal(r.t, count, r.Deployment("deployment").Annotations[streak])
			r.Behave(nil)
			r.Settle(r.workloads()...)
		}
		assert.True(r.t, r.refused(), "and the policy was in force to the end")
	})
}

// inDeployments makes the pods of Deployments that run a text behave in a way; all others are Ready.
func inDeployments(text string, behaviour fakenode.Behaviour) fakenode.Policy {
	return func(pod *corev1.Pod) fakenode.Behaviour {
		for _, owner := range pod.OwnerReferences {
			if owner.Kind == "ReplicaSet" && fakenode.Runs(pod, text) {
				return behaviour
			}
		}
		return fakenode.Ready()
	}
}
