package scenario_test

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I11: a pod that never became Ready froze four workloads' worth of targets, exit 0 for days. Every target that is
// frozen is named, a tick counts once for all of them, and the count goes by itself.
func TestI11NotSettledNamesEveryFrozenTarget(t *testing.T) {
	t.Parallel()
	s := pair(t)
	s.Setenv("UNSETTLED_THRESHOLD", "2")
	s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Pending("0/2 nodes have the volume") })
	s.Kubectl("delete", "pod", "--all", "--wait=false")
	s.Eventually("the pod is away", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	requireOutcomes(t, s.Tick(), 0, "waiting")
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[streak], "one count for both targets")
	for range 2 {
		result := s.Tick()
		harness.RequireExit(t, 1, result)
		for _, target := range []string{"a", "b"} {
			assert.Contains(t, outcomeOf(t, result, target, "jobs", "failed", "not-settled").Message, "a, b")
		}
	}
	assert.Equal(t, 1, workloads.Revision(s.Deployment("jobs")))
	s.Behave(nil)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcomes(t, s.Tick(), 0, "unchanged")
	assert.NotContains(t, s.Deployment("jobs").Annotations, streak)
}

// A controller that reports ProgressDeadlineExceeded is believed at once: no tick sits out its ROLLOUT_TIMEOUT, and
// a report about the rollout before is not taken for one about this.
func TestProgressDeadlineExceededIsBelievedAtOnce(t *testing.T) {
	t.Parallel()
	s, first := adopted(t, workloads.ProgressDeadline(3), workloads.Replicas(2))
	second := s.Push(ingestor, image("second"))
	s.Behave(onlyOneReady(second))
	s.Setenv("ROLLOUT_TIMEOUT", "10m")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
	run := s.Start()
	reported := awaitReport(s, second)
	result := run.Finish()
	assert.Less(t, time.Since(reported), time.Minute)
	failed := requireOutcome(t, result, 1, "failed", "rollout-failed")
	assert.Contains(t, failed.Message, "ProgressDeadlineExceeded")
	assert.Contains(t, failed.Message, "1/2")
	failed = requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	assert.Contains(t, failed.Message, "2/2")
	requireRolled(t, s, "jobs", first, 3)

	third := s.Push(ingestor, image("third"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", third, 4)
}

// awaitReport waits until the controller has given up the rollout of a digest. One that is busy may forget to look again
// when the deadline is over, for minutes: an annotation reminds it.
func awaitReport(s *harness.Scenario, digest string) time.Time {
	reminded := time.Now()
	s.Eventually("the controller has given up", func() bool {
		if time.Since(reminded) > 5*time.Second {
			reminded = time.Now()
			s.Patch("somebody", workloads.Deployment("jobs"), `{"metadata":{"annotations":{"reminded":"`+reminded.String()+`"}}}`)
		}
		return live(s) == digest && slices.ContainsFunc(s.Deployment("jobs").Status.Conditions, func(c appsv1.DeploymentCondition) bool {
			return c.Reason == "ProgressDeadlineExceeded"
		})
	})
	return time.Now()
}

// onlyOneReady makes the first pod of a digest Ready and no other one. A controller that has never seen any
// progress may forget to report its absence: a write right after the patch can cost it the condition to report it in.
func onlyOneReady(digest string) fakenode.Policy {
	var mu sync.Mutex
	var lucky types.UID
	return func(pod *corev1.Pod) fakenode.Behaviour {
		if !fakenode.Runs(pod, digest) {
			return fakenode.Ready()
		}
		mu.Lock()
		defer mu.Unlock()
		if lucky == "" {
			lucky = pod.UID
		}
		if pod.UID == lucky {
			return fakenode.Ready()
		}
		return fakenode.Stuck()
	}
}

// MAX_ROLLOUTS: the rest waits, uncounted, and later ticks go on where this one has stopped.
func TestMaxRolloutsLeavesTheRestToLaterTicks(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	names, entries := []string{"one", "two", "three"}, ""
	for _, name := range names {
		s.Deploy(workloads.Deployment(name, workloads.Container("main", ingestor+"@"+first)))
		entries += entry("Deployment", name, "")
	}
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
	s.Setenv("MAX_ROLLOUTS", "1")
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Push(ingestor, image("second"))
	for turn := range names {
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		assert.Zero(t, result.Report.Target("ingestor").Failures)
		for i, name := range names {
			s.Settle(workloads.Deployment(name))
			outcome := "waiting"
			switch {
			case i < turn:
				outcome = "unchanged"
			case i == turn:
				outcome = "refreshed"
			}
			outcomeOf(t, result, "ingestor", name, outcome, "")
			assert.NotContains(t, s.Deployment(name).Annotations, streak, "uncounted")
			assert.NotContains(t, s.Deployment(name).Annotations, failures, "uncounted")
		}
	}
	s.Push(ingestor, image("third"))
	s.Setenv("MAX_ROLLOUTS", "0")
	requireOutcomes(t, s.Tick(), 0, "refreshed")
}

// An annotation write alone bumps a Deployment's generation, and its controller lags behind for a moment: that is
// not "unsettled", however often it happens.
func TestTheLagAfterAnAnnotationWriteIsNotUnsettled(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	writes := 0
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("get", "deployments"), Do: faultinject.Before(func() {
		writes++
		s.Patch("somebody", workloads.Deployment("jobs"), `{"metadata":{"annotations":{"somebody":"`+strconv.Itoa(writes)+`"}}}`)
	})})
	for range 5 {
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
	}
	assert.Equal(t, 5, writes, "each tick has read right after a write")
	assert.NotContains(t, s.Deployment("jobs").Annotations, streak)
}

// oneByOne is a Deployment that replaces its pods one at a time.
func oneByOne(replicas int32, digest string) workloads.Object {
	zero, one := intstr.FromInt32(0), intstr.FromInt32(1)
	d := workloads.Deployment("jobs", workloads.Replicas(replicas), workloads.Container("api", jobsManager), workloads.Env("api", slot, digest))
	d.Spec.Strategy = appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &zero, MaxUnavailable: &one},
	}
	return d
}

// I43: a healthy rollout that takes longer than a wait, and than as many waits as attempts are allowed, is neither
// rejected nor rolled back: each tick sees further replicas become available.
func TestI43ProgressIsNotFailure(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, second := slow(t, kind, 8)
			s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			s.Setenv("UNSETTLED_THRESHOLD", "50")
			waits := 0
			for outcome := "waiting"; outcome != "refreshed"; {
				result := s.Tick()
				outcome = result.Report.Target("ingestor").Workload("jobs").Outcome
				if outcome == "waiting" {
					waits++
					requireOutcome(t, result, 0, "waiting", "")
					assert.Equal(t, strconv.Itoa(waits), look(s, kind, "jobs").GetAnnotations()[streak])
					continue
				}
				requireOutcome(t, result, 0, "refreshed", "")
			}
			assert.Greater(t, waits, 1, "the rollout took longer than a wait")
			o := look(s, kind, "jobs")
			assert.Equal(t, second, o.GetAnnotations()[recorded])
			assert.NotContains(t, o.GetAnnotations(), streak)
			assert.Equal(t, 2, rollouts(t, s, kind, "jobs"))
			assert.Empty(t, eventsOf(s, "RolloutFailed"))
		})
	}
}

// slow makes a scenario whose second digest takes 3 s a pod, one pod after the other, and ticks that wait for 10 s.
func slow(t *testing.T, kind string, replicas int32) (s *harness.Scenario, second string) {
	t.Helper()
	s = environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	if kind == "StatefulSet" {
		s.Deploy(workloads.StatefulSet("jobs", workloads.Replicas(replicas), workloads.Container("api", jobsManager), workloads.Env("api", slot, first)))
	} else {
		s.Deploy(oneByOne(replicas, first))
	}
	s.Configure(strings.Replace(ingestorConfig, "kind: Deployment", "kind: "+kind, 1))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	second = s.Push(ingestor, image("second"))
	behave(s, second, fakenode.ReadyAfter(3*time.Second))
	s.Setenv("ROLLOUT_TIMEOUT", "10s")
	return s, second
}

// I43: what takes for ever is loud all the same, and still no failure: nothing is rejected, and it ends by itself.
func TestI43ASlowRolloutIsLoudAtTheThresholdAndNotRejected(t *testing.T) {
	t.Parallel()
	s, second := slow(t, "Deployment", 6)
	s.Setenv("UNSETTLED_THRESHOLD", "1")
	stuck := requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	assert.Contains(t, stuck.Message, "ingestor")
	assert.Equal(t, second, live(s), "not rolled back")
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], "rejected")
	s.Settle(workloads.Deployment("jobs"))
	harness.RequireExit(t, 0, s.Tick())
	requireRolled(t, s, "jobs", second, 2)
}

// I43: two targets on one workload, one of which rolls out slowly: a tick is one in the skip streak, not two.
func TestI43ATickCountsOnceForTwoTargets(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	a, b := s.Push("ghcr.io/tracebloc/a:1", image("a1")), s.Push("ghcr.io/tracebloc/b:1", image("b1"))
	s.Deploy(workloads.StatefulSet("jobs", workloads.Replicas(6), workloads.Container("a", "ghcr.io/tracebloc/a:1@"+a), workloads.Container("b", "ghcr.io/tracebloc/b:1@"+b)))
	s.Configure("targets:\n" + targetOf("a", "ghcr.io/tracebloc/a:1", entry("StatefulSet", "jobs", "a")) + targetOf("b", "ghcr.io/tracebloc/b:1", entry("StatefulSet", "jobs", "b")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	behave(s, s.Push("ghcr.io/tracebloc/a:1", image("a2")), fakenode.ReadyAfter(3*time.Second))
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	for count := 1; count <= 2; count++ {
		harness.RequireExit(t, 0, s.Tick())
		assert.Equal(t, strconv.Itoa(count), s.StatefulSet("jobs").Annotations[streak])
	}
}

// I43: progress that has been made before the tick first looks is progress all the same: nothing of what it put there ran
// before.
func TestI43ProgressBeforeTheFirstLookIsProgress(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t, workloads.Replicas(4))
	second := s.Push(ingestor, image("second"))
	var mu sync.Mutex
	ready := map[string]bool{}
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		mu.Lock()
		defer mu.Unlock()
		if fakenode.Runs(pod, second) {
			if !ready[pod.Name] && len(ready) == 2 {
				return fakenode.Stuck()
			}
			ready[pod.Name] = true
		}
		return fakenode.Ready()
	})
	s.Setenv("ROLLOUT_TIMEOUT", "3s")
	s.API.Inject(apiproxy.Fault{Match: isHandBack, Times: 1, Do: faultinject.Before(func() { // it stays like this: two new ones and an old one serve
		assert.Eventually(t, func() bool {
			d, err := s.Client.AppsV1().Deployments(s.Namespace).Get(t.Context(), "jobs", metav1.GetOptions{})
			return err == nil && d.Status.UpdatedReplicas == 4 && d.Status.AvailableReplicas == 3 && d.Status.Replicas == 5
		}, 20*time.Second, 10*time.Millisecond)
	})})
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed") // fewer are available than served before
}
