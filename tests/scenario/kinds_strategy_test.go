package scenario_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// OnDelete: the new digest is put there once, runs as somebody deletes the old pods, is not counted meanwhile,
// and recorded once every pod runs it.
func TestOnDeleteWaitsUncountedUntilThePodsAreDeleted(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"StatefulSet", "DaemonSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Deploy(build(kind, "jobs", workloads.OnDelete(), workloads.Replicas(2), workloads.Container("main", ingestor+"@"+first)))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(kind, "jobs", "")))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			second := s.Push(ingestor, image("second"))
			s.Setenv("UNSETTLED_THRESHOLD", "2")
			for range 4 {
				waiting := requireOutcome(t, s.Tick(), 0, "waiting", "")
				assert.Contains(t, waiting.Message, "OnDelete")
				o := look(s, kind, "jobs")
				assert.Equal(t, ingestor+"@"+second, workloads.Image(o, "main"))
				assert.Equal(t, first, o.GetAnnotations()[recorded], "no pod runs it yet")
				assert.NotContains(t, o.GetAnnotations(), streak)
				assert.NotContains(t, o.GetAnnotations()[state], `"failed"`)
			}
			assert.Len(t, slotWrites(s, map[string]string{"StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}[kind], "jobs"), 1)
			s.Kubectl("delete", "pod", "-l", "app.kubernetes.io/name=jobs", "--wait=false")
			s.Eventually("every pod runs the new digest", func() bool {
				if kind == "DaemonSet" {
					return workloads.Settled(s.DaemonSet("jobs"))
				}
				// The revision that an OnDelete StatefulSet calls current never changes.
				status := s.StatefulSet("jobs").Status
				return status.UpdatedReplicas == 2 && status.AvailableReplicas == 2
			})
			harness.RequireExit(t, 0, s.Tick())
			assert.Equal(t, second, look(s, kind, "jobs").GetAnnotations()[recorded])
			requireQuiet(t, s)
		})
	}
}

// A partition keeps pods below it on the old revision; they are not waited for, as long as one replica is above it.
func TestAPartitionIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, partition := range []int32{1, 2} {
		t.Run(fmt.Sprint(partition), func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Deploy(partitioned(partition, "jobs", workloads.Replicas(3), workloads.Container("main", ingestor+"@"+first)))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("StatefulSet", "jobs", "")))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			second := s.Push(ingestor, image("second"))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			for ordinal := range int32(3) {
				pod, err := s.Client.CoreV1().Pods(s.Namespace).Get(t.Context(), fmt.Sprintf("jobs-%d", ordinal), getOptions)
				require.NoError(t, err)
				digest := second
				if ordinal < partition {
					digest = first
				}
				assert.Equal(t, ingestor+"@"+digest, pod.Spec.Containers[0].Image)
			}
			assert.Equal(t, second, s.StatefulSet("jobs").Annotations[recorded])
			requireQuiet(t, s)
		})
	}
}

// A paused Deployment is held, green and listed each tick, and refreshed once it is resumed. What fails to
// resolve meanwhile is counted all the same.
func TestAPausedDeploymentIsHeldUntilItIsResumed(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Kubectl("rollout", "pause", "deployment/jobs")
	second := s.Push(ingestor, image("second"))
	s.Forget()
	for range 2 {
		held := requireOutcome(t, s.Tick(), 0, "held", "")
		assert.Contains(t, held.Message, "paused")
	}
	assert.Equal(t, first, live(s))
	assert.Empty(t, s.API.Writes())
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	result := s.Tick()
	requireOutcome(t, result, 0, "held", "")
	assert.Equal(t, 1, result.Report.Target("ingestor").Failures)
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
	unblock()
	s.Kubectl("rollout", "resume", "deployment/jobs")
	s.Settle(jobs(first))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", second, 2)
}

// A container that is left out is the only one that can be meant: the one with the repository, or with the
// variable. Where several can be meant, they are listed, and nothing is touched.
func TestAContainerThatIsLeftOut(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	two := func(name string, options ...workloads.Option) workloads.Object {
		return workloads.Deployment(name, append([]workloads.Option{workloads.Container("one", jobsManager), workloads.Container("two", ingestor)}, options...)...)
	}
	s.Deploy(
		two("by-repository"), two("by-variable", workloads.Env("two", slot, first)),
		two("twice", workloads.Env("one", slot, first), workloads.Env("two", slot, first)), two("nowhere"),
		workloads.Deployment("same", workloads.Container("one", ingestor), workloads.InitContainer("two", ingestor)),
	)
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "by-repository", "")+entry("Deployment", "by-variable", "", "env: "+slot)+
		entry("Deployment", "twice", "", "env: "+slot)+entry("Deployment", "nowhere", "", "env: "+slot)+entry("Deployment", "same", "")))
	s.Forget()
	result := s.Tick()
	harness.RequireExit(t, 1, result)
	assert.Equal(t, "two", outcomeOf(t, result, "ingestor", "by-repository", "adopted", "").Container)
	assert.Equal(t, "two", outcomeOf(t, result, "ingestor", "by-variable", "adopted", "").Container)
	for _, name := range []string{"twice", "nowhere", "same"} {
		ambiguous := outcomeOf(t, result, "ingestor", name, "failed", "slot-invalid")
		assert.Contains(t, ambiguous.Message, "one, two")
		assert.NotContains(t, s.Deployment(name).Labels, mark)
	}
}

// Two targets on one workload change in one patch and one rollout, and so does their record.
func TestTwoTargetsOnOneWorkloadAreOnePatchAndOneRollout(t *testing.T) {
	t.Parallel()
	s := pair(t)
	a, b := s.Push(pairA, image("a2")), s.Push(pairB, image("b2"))
	s.Forget()
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	s.Settle(workloads.Deployment("jobs"))
	d := s.Deployment("jobs")
	assert.Equal(t, pairA+"@"+a, workloads.Image(d, "one"))
	assert.Equal(t, pairB+"@"+b, workloads.Image(d, "two"))
	assert.Equal(t, 2, workloads.Revision(d))
	writes := slotWrites(s, "deployments", "jobs")
	if assert.Len(t, writes, 1) {
		for _, text := range []string{a, b, "tracebloc.io/a-digest", "tracebloc.io/b-digest"} {
			assert.Contains(t, string(writes[0].Body), text)
		}
	}
	requireQuiet(t, s)
}

const (
	pairA = "ghcr.io/tracebloc/a:1"
	pairB = "ghcr.io/tracebloc/b:1"
)

// pair makes a scenario in which two targets, a and b, are on one Deployment "jobs", and adopts them.
func pair(t *testing.T, options ...workloads.Option) *harness.Scenario {
	t.Helper()
	s := environment.Scenario(t)
	a, b := s.Push(pairA, image("a1")), s.Push(pairB, image("b1"))
	s.Deploy(workloads.Deployment("jobs", append([]workloads.Option{workloads.Container("one", pairA+"@"+a), workloads.Container("two", pairB+"@"+b)}, options...)...))
	s.Configure("targets:\n" + targetOf("a", pairA, entry("Deployment", "jobs", "one")) + targetOf("b", pairB, entry("Deployment", "jobs", "two")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	return s
}

// breaks makes every pod that runs one of these digests behave in a way; all others are Ready.
func breaks(s *harness.Scenario, behaviour fakenode.Behaviour, digests ...string) {
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		for _, digest := range digests {
			if fakenode.Runs(pod, digest) {
				return behaviour
			}
		}
		return fakenode.Ready()
	})
}
