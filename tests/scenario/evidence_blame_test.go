package scenario_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// patient is a workload "jobs" whose pods are troubled once they hold a new digest, in a configuration where one attempt
// that is counted is enough to reject.
type patient struct {
	*harness.Scenario
	t     *testing.T
	kind  string
	first string
}

// patientOf makes a workload of a kind in image mode, and adopts it.
func patientOf(t *testing.T, kind string, options ...workloads.Option) *patient {
	t.Helper()
	p := &patient{Scenario: environment.Scenario(t), t: t, kind: kind}
	p.first = p.Push(ingestor, image("first"))
	p.Deploy(build(kind, "jobs", append(options, workloads.Container("main", ingestor+"@"+p.first))...))
	p.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(kind, "jobs", "main")))
	requireOutcome(t, p.Tick(), 0, "adopted", "")
	p.Setenv("ROLLOUT_TIMEOUT", "4s")
	p.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	return p
}

// requireNotBlamed asserts that a tick is loud once nothing becomes available any more, says so much, and neither rejects
// nor takes back the digest, and that the next tick records it once the trouble is over.
func (p *patient) requireNotBlamed(second string, says ...string) {
	p.t.Helper()
	result := p.Tick()
	for range 8 {
		if result.Report.Target("ingestor").Workload("jobs").Outcome == "waiting" { // further pods became available meanwhile
			result = p.Tick()
		}
	}
	loud := requireOutcome(p.t, result, 1, "failed", "not-settled")
	for _, text := range says {
		assert.Contains(p.t, loud.Message, text)
	}
	assert.NotContains(p.t, loud.Message, "()")
	object := look(p.Scenario, p.kind, "jobs")
	assert.Contains(p.t, workloads.Image(object, "main"), second, "not taken back")
	assert.NotContains(p.t, object.GetAnnotations()[state], "rejected")
	p.Behave(nil)
	p.Settle(build(p.kind, "jobs"))
	requireOutcome(p.t, p.Tick(), 0, "unchanged", "")
	assert.Equal(p.t, second, look(p.Scenario, p.kind, "jobs").GetAnnotations()[recorded])
	assert.Equal(p.t, 2, rollouts(p.t, p.Scenario, p.kind, "jobs"))
}

// I49, I71, I72, I79, I81, I87: pods are kept from running, or are ended, by something that is not their digest's doing.
func TestI49I71I72I79I81WhatDidNotRunIsNotBlamed(t *testing.T) {
	t.Parallel()
	recreate := []workloads.Option{workloads.Recreate()}
	for name, row := range map[string]struct {
		kind      string
		options   []workloads.Option
		behaviour fakenode.Behaviour
		says      string
	}{
		"a volume, Recreate":      {"Deployment", recreate, fakenode.WithoutVolumes(), "ContainerCreating"},
		"a volume, StatefulSet":   {"StatefulSet", nil, fakenode.WithoutVolumes(), "ContainerCreating"},
		"a volume, DaemonSet":     {"DaemonSet", nil, fakenode.WithoutVolumes(), "ContainerCreating"},
		"a GPU, Recreate":         {"Deployment", recreate, fakenode.Pending("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), "Insufficient nvidia.com/gpu"},
		"a GPU, StatefulSet":      {"StatefulSet", nil, fakenode.Pending("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), "Insufficient nvidia.com/gpu"},
		"an image that is pulled": {"Deployment", nil, fakenode.Creating(), "ContainerCreating"},
		"a throttled pull":        {"Deployment", nil, fakenode.Failing("ErrImagePull", "429 Too Many Requests - toomanyrequests"), "429 Too Many Requests"},
		"a startup probe":         {"Deployment", recreate, fakenode.Starting(), "main"},
		"another container":       {"Deployment", append(recreate, workloads.Container("mesh", "docker.io/istio/proxyv2:1")), fakenode.Failing("CrashLoopBackOff", "back-off 5m0s").Only("mesh"), "mesh: CrashLoopBackOff"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := patientOf(t, row.kind, row.options...)
			second := p.Push(ingestor, image("second"))
			behave(p.Scenario, second, row.behaviour)
			p.requireNotBlamed(second, row.says)
		})
	}
}

// I72, I87: a node ends the pods, one after the other, and says so; what was ended like that has not crashed.
func TestI72I87PodsThatTheirNodeEndsAreNotBlamed(t *testing.T) {
	t.Parallel()
	p := patientOf(t, "Deployment", workloads.Recreate())
	second := p.Push(ingestor, image("second"))
	var evicted atomic.Int32
	p.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		switch {
		case !fakenode.Runs(pod, second):
			return fakenode.Ready()
		case pod.Spec.NodeName == "" && evicted.Add(1) > 2:
			return fakenode.Pending("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/memory-pressure: }.")
		}
		return fakenode.Evicted("The node was low on resource: memory.")
	})
	p.requireNotBlamed(second, "memory-pressure")
}

// I86: a container that exited once at its start, its database being late, is ready now; another pod waits for a node.
func TestI86WhatIsReadyNowIsNotBlamed(t *testing.T) {
	t.Parallel()
	p := patientOf(t, "Deployment", workloads.Recreate(), workloads.Replicas(2))
	second := p.Push(ingestor, image("second"))
	var mu atomic.Pointer[string]
	p.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if !fakenode.Runs(pod, second) {
			return fakenode.Ready()
		}
		if mu.CompareAndSwap(nil, &pod.Name) || *mu.Load() == pod.Name {
			return fakenode.Ready().Restarted()
		}
		return fakenode.Pending("0/3 nodes are available: 3 Insufficient cpu.")
	})
	p.requireNotBlamed(second, "Insufficient cpu")
}

// I49: the old pod of a Recreate drains for longer than the wait: no pod has the new digest yet.
func TestI49AnOldPodThatDrainsIsWaitedFor(t *testing.T) {
	t.Parallel()
	p := patientOf(t, "Deployment", workloads.Recreate())
	p.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Ready().Lingering(time.Minute) })
	second := p.Push(ingestor, image("second"))
	p.requireNotBlamed(second, "no pod has the new digest yet")
}

// I50: the node of one pod of a DaemonSet goes away, in mid-rollout or before the tag moves: its pod cannot be replaced.
func TestI50ANodeThatIsAwayIsNamedAndNothingIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"in mid-rollout": false, "before the tag moves": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := patientOf(t, "DaemonSet")
			pods, err := p.Client.CoreV1().Pods(p.Namespace).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			require.Greater(t, len(pods.Items), 1)
			away := pods.Items[0].Spec.NodeName
			p.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
				switch {
				case pod.Spec.NodeName != away:
					return fakenode.Ready()
				case before:
					return fakenode.Lost().Lingering(time.Hour)
				}
				return fakenode.Ready().Lingering(time.Hour)
			})
			second := p.Push(ingestor, image("second"))
			if before {
				p.Setenv("UNSETTLED_THRESHOLD", "2")
				requireOutcome(t, p.Tick(), 0, "waiting", "")
			}
			p.requireNotBlamed(second, away)
		})
	}
}

// I85: an autoscaler asks for another number of replicas in mid-rollout, and the nodes that the cluster grows by pull for a
// while; all that is wanted, or was there, serves.
func TestI85WhatWasNeverThereWasNotTakenDown(t *testing.T) {
	t.Parallel()
	for _, replicas := range []string{"2", "9"} {
		t.Run(replicas, func(t *testing.T) {
			t.Parallel()
			p := patientOf(t, "Deployment", workloads.Replicas(4))
			second := p.Push(ingestor, image("second"))
			behave(p.Scenario, second, fakenode.Creating())
			p.API.Inject(apiproxy.Fault{Match: isHandBack, Times: 1, Do: faultinject.Before(func() {
				p.Kubectl("scale", "deployment/jobs", "--replicas="+replicas)
			})})
			p.requireNotBlamed(second, "ContainerCreating")
		})
	}
}

// I49, Q16: what cannot be pulled takes a Recreate service down, so what served is restored; and rejected after three
// attempts, for a day: no outage in each tick for ever, and none that a person has to end.
func TestI49Q16WhatCannotBePulledIsRejectedForADay(t *testing.T) {
	t.Parallel()
	for name, behaviour := range map[string]fakenode.Behaviour{
		"throttled":   fakenode.Failing("ImagePullBackOff", "429 Too Many Requests - toomanyrequests"),
		"a 6 GiB one": fakenode.Creating(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := patientOf(t, "Deployment", workloads.Recreate())
			p.Setenv("ROLLOUT_FAILURE_THRESHOLD", "3")
			atHour := playClock(p.Scenario)
			second := p.Push(ingestor, image("second"))
			behave(p.Scenario, second, behaviour)
			for range 3 {
				requireOutcome(t, p.Tick(), 1, "rolled-back", "rollout-failed")
				p.Settle(build("Deployment", "jobs"))
				assert.Contains(t, workloads.Image(p.Deployment("jobs"), "main"), p.first, "what served serves again")
			}
			revision := workloads.Revision(p.Deployment("jobs"))
			requireOutcome(t, p.Tick(), 1, "rejected", "rollout-failed")
			assert.Equal(t, revision, workloads.Revision(p.Deployment("jobs")), "no rollout")
			p.Behave(nil)
			atHour(23)
			requireOutcome(t, p.Tick(), 1, "rejected", "rollout-failed")
			atHour(25)
			requireOutcome(t, p.Tick(), 0, "refreshed", "")
			assert.True(t, strings.HasSuffix(workloads.Image(p.Deployment("jobs"), "main"), second))
		})
	}
}

// I51: the pod of a StatefulSet that crashes keeps its place, so the fix never runs. It is not blamed; the message names the
// pod to delete in each tick, and the fix runs once it is gone.
func TestI51AFixThatAStuckPodKeepsFromRunningIsNotBlamed(t *testing.T) {
	t.Parallel()
	p := patientOf(t, "StatefulSet")
	second := p.Push(ingestor, image("second"))
	behave(p.Scenario, second, fakenode.Failing("CrashLoopBackOff", "back-off 5m0s"))
	command := "kubectl delete pod -n " + p.Namespace + " jobs-0"
	assert.Contains(t, requireOutcome(t, p.Tick(), 1, "rolled-back", "rollout-failed").Message, command)
	third := p.Push(ingestor, image("third"))
	p.Setenv("UNSETTLED_THRESHOLD", "1")
	for range 3 {
		result := p.Tick()
		harness.RequireExit(t, 1, result)
		assert.Contains(t, result.Report.Target("ingestor").Workload("jobs").Message, command)
	}
	object := p.StatefulSet("jobs")
	assert.Contains(t, workloads.Image(object, "main"), third)
	assert.NotContains(t, object.Annotations[state], `"digest":"`+third+`","by"`, "not rejected")
	p.Kubectl("delete", "pod", "jobs-0")
	p.Settle(object)
	requireOutcome(t, p.Tick(), 0, "unchanged", "")
	assert.Equal(t, third, p.StatefulSet("jobs").Annotations[recorded])
}

// I52: six replicas, one after the other, each of which becomes ready between two ticks, and none during one.
func TestI52ProgressBetweenTicksIsProgress(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	d := workloads.Deployment("jobs", workloads.Replicas(6), workloads.Container("main", ingestor+"@"+first))
	none, one := intstr.FromInt32(0), intstr.FromInt32(1)
	d.Spec.Strategy = appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &one},
	}
	s.Deploy(d)
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "main")))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	second := s.Push(ingestor, image("second"))
	var mu sync.Mutex
	allowed, ready := 0, map[string]bool{}
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		mu.Lock()
		defer mu.Unlock()
		if !fakenode.Runs(pod, second) || ready[pod.Name] || len(ready) < allowed {
			if fakenode.Runs(pod, second) {
				ready[pod.Name] = true
			}
			return fakenode.Ready()
		}
		return fakenode.Stuck()
	})
	s.Setenv("ROLLOUT_TIMEOUT", "3s")
	requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed") // 1/3
	for n := 1; n < 6; n++ {
		mu.Lock()
		allowed = n
		mu.Unlock()
		s.Kubelet.Refresh(s.Namespace)
		s.Eventually("a further one is ready, and the next one is not", func() bool {
			status := s.Deployment("jobs").Status
			return int(status.UpdatedReplicas) == n+1 && int(status.ReadyReplicas) == 6 && status.Replicas == 7
		})
		requireOutcome(t, s.Tick(), 0, "waiting", "")
	}
	s.Behave(nil)
	s.Settle(d)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Equal(t, second, s.Deployment("jobs").Annotations[recorded])
	assert.Equal(t, 2, workloads.Revision(s.Deployment("jobs")))
}
