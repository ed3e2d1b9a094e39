package scenario_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I84: the message of a failed rollout has the words of the workload's own pods, of whichever kind it is, and not those of a canary,
// whose pods carry the labels of the workload's, and one more.
func TestI84OnlyAWorkloadsOwnPodsAreAsked(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Deploy(build(kind, "jobs", workloads.Container("api", ingestor+"@"+first)))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(kind, "jobs", "")))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			second := s.Push(ingestor, image("second"))
			s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
				switch {
				case pod.Labels["track"] == "canary":
					return fakenode.Failing("CrashLoopBackOff", "the canary's own trouble")
				case fakenode.Runs(pod, second):
					return fakenode.Failing("CrashLoopBackOff", "back-off 5m0s")
				}
				return fakenode.Ready()
			})
			canary := workloads.Deployment("canary", workloads.Container("api", ingestor+"@"+first))
			canary.Spec.Selector.MatchLabels = map[string]string{"track": "canary"}
			canary.Spec.Template.Labels = map[string]string{"app.kubernetes.io/name": "jobs", "track": "canary"}
			s.Create(canary)
			s.Eventually("the canary crashes", func() bool {
				pods, err := s.Client.CoreV1().Pods(s.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "track=canary"})
				return err == nil && len(pods.Items) == 1 && len(pods.Items[0].Status.ContainerStatuses) == 1
			})
			s.Setenv("ROLLOUT_TIMEOUT", "2s")
			message := s.Tick().Report.Target("ingestor").Workload("jobs").Message
			assert.Contains(t, message, "pod jobs-")
			assert.Contains(t, message, "api: CrashLoopBackOff: back-off 5m0s, last exit code 1")
			assert.NotContains(t, message, "canary")
		})
	}
}

// I49: where no pod could be made there is none to ask; the workload says why, and the digest is not blamed.
func TestI49AQuotaIsToldInItsOwnWords(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	one := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}
	quotas := s.Client.CoreV1().ResourceQuotas(s.Namespace)
	quota, err := quotas.Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "compute"}, Spec: corev1.ResourceQuotaSpec{Hard: one},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	quota.Status = corev1.ResourceQuotaStatus{Hard: one, Used: one} // its controller does not run here
	_, err = quotas.UpdateStatus(t.Context(), quota, metav1.UpdateOptions{})
	require.NoError(t, err)
	second := s.Push(ingestor, image("second"))
	s.Setenv("ROLLOUT_TIMEOUT", "3s")
	message := requireOutcome(t, s.Tick(), 1, "failed", "not-settled").Message
	for _, text := range []string{"ReplicaFailure: FailedCreate", "exceeded quota: compute", "no pod has the new digest yet"} {
		assert.Contains(t, message, text)
	}
	require.NoError(t, quotas.Delete(t.Context(), "compute", metav1.DeleteOptions{}))
	s.Patch("somebody", s.Deployment("jobs"), `{"metadata":{"annotations":{"example.com/look":"again"}}}`) // its controller backs off otherwise
	s.Settle(s.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	requireRolled(t, s, "jobs", second, 2)
}

// Ninety pods with ninety long reasons, three times: a message names five of them, each cut, and the state stays small, which a
// ReplicaSet copies with each revision.
func TestReasonsOfNinetyPodsAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t, workloads.Recreate(), workloads.Replicas(90))
	s.Setenv("ROLLOUT_TIMEOUT", "4s")
	for _, content := range []string{"second", "third", "fourth"} {
		bad := s.Push(ingestor, image(content))
		s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
			if fakenode.Runs(pod, bad) {
				return fakenode.Failing("CrashLoopBackOff", strings.Repeat("the reason of "+pod.Name+" ", 20))
			}
			return fakenode.Ready()
		})
		rejected := requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
		assert.Less(t, len(rejected.Message), 2500)
		assert.Regexp(t, `and \d\d more\)`, rejected.Message) // a busy machine has not made all ninety yet
		assert.LessOrEqual(t, len(s.Deployment("jobs").Annotations[state]), 8<<10)
		s.Settle(s.Deployment("jobs"))
	}
	assert.Equal(t, 3, strings.Count(s.Deployment("jobs").Annotations[state], `"by":"failure"`))
}

// Told to end while it asks about one image, a tick says of a workload that it has decided about that this is yet to be written.
func TestATickThatIsToldToEndReportsNothingThatItHasNotDone(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	a, b := s.Push("ghcr.io/tracebloc/a:1", image("a1")), s.Push("docker.io/tracebloc/b:1", image("b1"))
	targets := "targets:\n" + targetOf("b", "docker.io/tracebloc/b:1", entry("Deployment", "b", ""))
	s.Deploy(workloads.Deployment("b", workloads.Container("api", "docker.io/tracebloc/b:1@"+b)))
	s.Configure(targets)
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Deploy(workloads.Deployment("a", workloads.Container("api", "ghcr.io/tracebloc/a:1@"+a)))
	s.Configure(targets + targetOf("a", "ghcr.io/tracebloc/a:1", entry("Deployment", "a", "")))
	second := s.Push("docker.io/tracebloc/b:1", image("b2"))
	asked := func(c registries.Call) bool { return c.Reference == second && c.Stage == registries.Get }
	s.Site.Front.Inject(registries.Fault{Match: asked, Do: faultinject.Hang()})
	run := s.Start()
	s.Eventually("the gate has asked", func() bool { return len(s.Site.Front.Calls(asked)) > 0 })
	require.NoError(t, run.Signal(syscall.SIGTERM))
	result := run.Finish()
	harness.RequireExit(t, 1, result)
	outcomeOf(t, result, "a", "a", "waiting", "")
	outcomeOf(t, result, "b", "b", "skipped", "timeout")
	assert.NotContains(t, s.Deployment("a").Labels, "tracebloc.io/a-digest")
}
