package scenario_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// confine installs the admission policy that the chart has for this configuration and the program's account, and waits until
// it is in force.
func (r *release) confine(config string) {
	r.t.Helper()
	r.Configure(config)
	values := filepath.Join(r.Dir, "values.yaml")
	text := config + "admissionPolicy: {enabled: true}\nserviceAccount: {create: false, name: image-refresh}\n"
	require.NoError(r.t, os.WriteFile(values, []byte(text), 0o600))
	rendered, err := exec.CommandContext(r.t.Context(), r.path, "template", "refresh", "../../chart", "--namespace", r.Namespace,
		"--values", values, "--show-only", "templates/admissionpolicy.yaml").Output()
	require.NoError(r.t, err)
	file := filepath.Join(r.Dir, "policy.yaml")
	require.NoError(r.t, os.WriteFile(file, rendered, 0o600))
	r.Kubectl("apply", "-f", file)
	r.t.Cleanup(func() {
		command := exec.CommandContext(context.Background(), r.Cluster.Kubectl(), "--kubeconfig", r.Cluster.Kubeconfig(), "delete", "--wait=false", "-f", file)
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
	forEachHelm(t, func(t *testing.T, r *release) {
		old, _ := r.push("old")
		r.install("--set", "digest="+old)
		r.confine(applicationConfig)
		r.tick("adopted")
		digest, built := r.push("new")
		r.tick("refreshed")
		r.requireSlots(digest, built)
		r.requireOwned(r.owned(), r.owned()) // handed back by a write of managedFields alone
		r.upgrade("--reuse-values", "--set", "note=changed")
		r.tick("reapplied")
		r.requireSlots(digest, built)
		r.tick("unchanged")

		// A bad build is tried, rejected and taken back.
		r.Setenv("ROLLOUT_TIMEOUT", "10s")
		r.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
		r.Behave(inDeployments(r.Push(ingestor, image("bad")), crash()))
		result := r.Tick()
		harness.RequireExit(t, 1, result)
		assert.Equal(t, "rolled-back", result.Report.Target("ingestor").Workload("deployment").Outcome)
		value, _ := workloads.EnvValue(r.Deployment("deployment"), "api", slot)
		assert.Equal(t, digest, value, "the proven digest is back")
		r.Behave(nil)
		r.settle()
		harness.RequireExit(t, 1, r.Tick()) // rejected

		// What cannot be asked is counted, written down, and cleared.
		unblock := r.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
		for range 3 {
			result = r.Tick()
		}
		harness.RequireExit(t, 1, result)
		assert.Contains(t, r.Deployment("deployment").Annotations, lastError)
		unblock()
		digest = r.Push(ingestor, image("good"))
		harness.RequireExit(t, 0, r.Tick())
		assert.NotContains(t, r.Deployment("deployment").Annotations, lastError)
		r.settle()
		r.requireSlots(digest, built)

		// So is a workload that is not settled.
		r.Behave(inDeployments("changed again", crash()))
		r.Kubectl("set", "env", "deployment/deployment", "--containers=side", "MORE=changed again")
		requireStreak(t, r, "1")
		r.Behave(nil)
		r.settle()
		requireStreak(t, r, "")

		assert.True(t, r.refused(), "and the policy was in force to the end")
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

// requireStreak runs a tick, and asserts how many in a row have found the Deployment unsettled.
func requireStreak(t *testing.T, r *release, ticks string) {
	t.Helper()
	harness.RequireExit(t, 0, r.Tick())
	assert.Equal(t, ticks, r.Deployment("deployment").Annotations[streak])
}
