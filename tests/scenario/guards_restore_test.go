package scenario_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// inDaemonSets makes the pods of DaemonSets that run a digest behave in a way; all others are Ready.
func inDaemonSets(digest string, behaviour fakenode.Behaviour) fakenode.Policy {
	return func(pod *corev1.Pod) fakenode.Behaviour {
		for _, owner := range pod.OwnerReferences {
			if owner.Kind == "DaemonSet" && fakenode.Runs(pod, digest) {
				return behaviour
			}
		}
		return fakenode.Ready()
	}
}

// Two targets changed in the rollout that failed, and whose fault it is, is not known: both are restored, then
// tried one a tick. The innocent one is recorded, the culprit is rejected.
func TestAJointFailureIsTriedOneTargetATick(t *testing.T) {
	t.Parallel()
	for name, culprit := range map[string]string{"the first one's fault": "a", "the second one's fault": "b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := pair(t)
			before := workloads.Template(s.Deployment("jobs")).Spec.Containers
			digests := map[string]string{"a": s.Push(pairA, image("a2")), "b": s.Push(pairB, image("b2"))}
			innocent := map[string]string{"a": "b", "b": "a"}[culprit]
			breaks(s, crash(), digests[culprit])
			s.Setenv("ROLLOUT_TIMEOUT", "10s")
			s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")

			result := s.Tick()
			requireOutcomes(t, result, 1, "rolled-back")
			assert.Contains(t, result.Report.Target("a").Workload("jobs").Message, "one by one")
			assert.Equal(t, before, workloads.Template(s.Deployment("jobs")).Spec.Containers, "both are restored")
			s.Settle(workloads.Deployment("jobs"))

			outcomes := map[string][]string{}
			for range 2 {
				s.Forget()
				result := s.Tick()
				tries := 1 // of one target
				if result.Report.Target(culprit).Workload("jobs").Outcome == "rolled-back" {
					tries++ // and its restoration
				}
				assert.Len(t, slotWrites(s, "deployments", "jobs"), tries)
				for _, target := range []string{"a", "b"} {
					outcomes[target] = append(outcomes[target], result.Report.Target(target).Workload("jobs").Outcome)
				}
				s.Settle(workloads.Deployment("jobs"))
			}
			assert.Contains(t, outcomes[innocent], "refreshed")
			assert.Contains(t, outcomes[culprit], "rolled-back")
			result = s.Tick()
			harness.RequireExit(t, 1, result)
			outcomeOf(t, result, innocent, "jobs", "unchanged", "")
			outcomeOf(t, result, culprit, "jobs", "rejected", "rollout-failed")
			d := s.Deployment("jobs")
			assert.Equal(t, digests[innocent], d.Annotations["tracebloc.io/last-refreshed-"+innocent+"-digest"])
			assert.NotEqual(t, digests[culprit], d.Annotations["tracebloc.io/last-refreshed-"+culprit+"-digest"])

			s.Push(map[string]string{"a": pairA, "b": pairB}[culprit], image("fixed"))
			s.Setenv("ROLLOUT_TIMEOUT", "30s")
			result = s.Tick()
			harness.RequireExit(t, 0, result)
			outcomeOf(t, result, culprit, "jobs", "refreshed", "")
		})
	}
}

// Where nothing was ever recorded but a tag, there is no digest to restore, and the message says so. A new digest
// leads out.
func TestNothingToRestoreIsSaid(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	followed(t, s, ingestor, workloads.Deployment("jobs", workloads.Container("api", ingestor)))
	bad := s.Push(ingestor, image("bad"))
	behave(s, bad, crash())
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	failed := requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	assert.Contains(t, failed.Message, "no recorded digest to restore")
	assert.Equal(t, ingestor+"@"+bad, workloads.Image(s.Deployment("jobs"), "api"), "never a tag where a digest was")
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	good := s.Push(ingestor, image("good"))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, good, s.Deployment("jobs").Annotations[recorded])
}

// ROLLBACK=false: rejected, loud, and left in place.
func TestWithoutRollbackTheDigestIsRejectedAndLeftInPlace(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]workloads.Option{"rolling": nil, "Recreate": {workloads.Recreate()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first := adopted(t, options...)
			second := s.Push(ingestor, image("second"))
			behave(s, second, crash())
			s.Setenv("ROLLBACK", "false")
			s.Setenv("ROLLOUT_TIMEOUT", "2s")
			s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			failed := requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
			assert.Contains(t, failed.Message, "ROLLBACK")
			for range 2 {
				requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
			}
			assert.Equal(t, second, live(s))
			assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded])
			assert.Equal(t, 2, workloads.Revision(s.Deployment("jobs")))
			third := s.Push(ingestor, image("third"))
			s.Setenv("ROLLOUT_TIMEOUT", "30s")
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			requireRolled(t, s, "jobs", third, 3)
		})
	}
}

// Pods that may not be read give no reasons: the message says so, and everything else works.
func TestPodsThatMayNotBeReadAreSaidSo(t *testing.T) {
	t.Parallel()
	rules := slices.DeleteFunc(harness.Rules(), func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "pods") })
	s := environment.Scenario(t, rules...)
	first := s.Push(ingestor, registries.Index("first", "linux/amd64"))
	s.Deploy(jobs(first))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	second := s.Push(ingestor, image("second"))
	behave(s, second, crash())
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
	failed := requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	assert.Contains(t, failed.Message, "may not be read")
	assert.NotContains(t, failed.Message, "CrashLoopBackOff")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	requireRolled(t, s, "jobs", first, 3)
}

// A newer digest than the one that is stuck replaces it in the same rollout's stead: nobody waits for a bad one.
func TestI45ANewerDigestReplacesOurUnfinishedOne(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	behave(s, second, crash())
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")

	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	result := s.Tick()
	requireOutcome(t, result, 1, "failed", "rollout-failed")
	assert.Equal(t, 1, result.Report.Target("ingestor").Failures, "both are counted")
	unblock()

	third := s.Push(ingestor, image("third"))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", third, 3)
	assert.NotEqual(t, first, third)
}

// A service that is down is restored at the first failure, also where the controller has stopped a pod before the slot
// is handed back: what counts is how many pods served before the patch.
func TestAServiceThatGoesDownAtOnceIsRestoredAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	s, first := crashingSet(t)
	s.API.Inject(apiproxy.Fault{Match: isHandBack, Times: 1, Do: faultinject.Before(func() {
		assert.Eventually(t, func() bool {
			set, err := s.Client.AppsV1().StatefulSets(s.Namespace).Get(t.Context(), "jobs", metav1.GetOptions{})
			return err == nil && set.Status.AvailableReplicas == 1
		}, 20*time.Second, 50*time.Millisecond, "the controller stops a pod")
	})})
	requireSetRestored(t, s, first)
}

// I19, I39: a tick that is killed after its patch leaves nothing out that it would have done: the next one knows who served
// before, and restores at the first failure.
func TestI39ASetThatWentDownUnderAKilledTickIsRestored(t *testing.T) {
	t.Parallel()
	s, first := crashingSet(t)
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	killed := s.Start()
	s.Eventually("a pod is down", func() bool { return s.StatefulSet("jobs").Status.AvailableReplicas < 2 })
	killed.Kill()
	s.Setenv("ROLLOUT_TIMEOUT", "3s")
	requireSetRestored(t, s, first)
}

// I39: the same where the tick that patched saw progress, and the failure came later.
func TestI39ASetWhoseSecondPodFailsIsRestored(t *testing.T) {
	t.Parallel()
	s, first := crashingSet(t)
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	second := s.Push(ingestor, image("third"))
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if fakenode.Runs(pod, second) && strings.HasSuffix(pod.Name, "-0") {
			return crash()
		}
		return fakenode.Ready()
	})
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	requireSetRestored(t, s, first)
}

// I11, I45: a digest that is tried as a cure, and is none, took nothing down: it is neither restored nor rejected for that,
// and is fine once whatever kept the pods from being ready has gone.
func TestI11I45ACureThatIsNoneIsNotBlamed(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Setenv("UNSETTLED_THRESHOLD", "1")
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Stuck() })
	s.Kubectl("rollout", "restart", "deployment", "jobs")
	s.Kubectl("delete", "pods", "--all", "--wait=false")
	s.Eventually("no pod is ready", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	cure := s.Push(ingestor, image("cure"))
	failed := requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	assert.Contains(t, failed.Message, "attempt 1/3")
	assert.Equal(t, cure, live(s))
	s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Ready() })
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
}

// requireSetRestored runs a tick that puts the digest back into the StatefulSet of crashingSet.
func requireSetRestored(t *testing.T, s *harness.Scenario, digest string) {
	t.Helper()
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	assert.Equal(t, ingestor+"@"+digest, workloads.Image(s.StatefulSet("jobs"), "api"))
}
