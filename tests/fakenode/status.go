package fakenode

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// desired returns the status that the behaviour asks for at this moment, and
// when it will ask for another one (0: never).
func desired(pod *corev1.Pod, b Behaviour, now time.Time) (corev1.PodStatus, time.Duration) {
	status := *pod.Status.DeepCopy()
	if status.StartTime == nil {
		status.StartTime = &metav1.Time{Time: now.Truncate(time.Second)}
	}
	age := now.Sub(pod.CreationTimestamp.Time)
	isReady, again := false, time.Duration(0)
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: *status.StartTime}}
	status.Phase = corev1.PodRunning
	switch b.kind {
	case ready:
		if isReady = age >= b.after; !isReady {
			again = b.after - age
		}
	case flapping:
		turn := age / b.after
		isReady, again = turn%2 == 0, (turn+1)*b.after-age
	case waiting:
		state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: b.reason, Message: b.message}}
		if b.reason != crashLoop {
			status.Phase = corev1.PodPending // no container has ever started
		}
	case completed:
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: b.code, Reason: "Completed", Message: b.message, StartedAt: *status.StartTime, FinishedAt: *status.StartTime,
		}}
		status.Phase = corev1.PodSucceeded
		if b.code != 0 {
			state.Terminated.Reason, status.Phase = "Error", corev1.PodFailed
		}
	case evicted:
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "Error", StartedAt: *status.StartTime, FinishedAt: *status.StartTime,
		}}
		status.Phase, status.Reason, status.Message = corev1.PodFailed, "Evicted", b.message
	case lost:
		isReady = true
	case stuck, starting, unschedulable: // Running and not Ready; a pod that has a node cannot lose it
	}
	status.ContainerStatuses = containers(pod.Spec.Containers, state, isReady)
	for i := range status.ContainerStatuses {
		own := &status.ContainerStatuses[i]
		if b.only != "" && own.Name != b.only {
			yes := true
			*own = corev1.ContainerStatus{Name: own.Name, Image: own.Image, Ready: true, Started: &yes, State: corev1.ContainerState{
				Running: &corev1.ContainerStateRunning{StartedAt: *status.StartTime},
			}}
		} else if b.kind == starting {
			own.Started = new(bool)
		}
		if b.exited {
			own.RestartCount = 1
			own.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
		}
	}
	status.InitContainerStatuses = containers(pod.Spec.InitContainers, corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{
			Reason: "Completed", StartedAt: *status.StartTime, FinishedAt: *status.StartTime,
		},
	}, true)
	if b.runs != "" {
		identify(status.ContainerStatuses, b.runs)
		identify(status.InitContainerStatuses, b.runs)
	}
	status.Conditions = nil
	for _, kind := range conditions {
		holds := isReady
		switch kind {
		case corev1.PodScheduled, corev1.PodInitialized:
			holds = true
		case corev1.PodReadyToStartContainers:
			holds = !b.waits
		case corev1.PodReady:
			holds = isReady && b.kind != lost && gatesAreOpen(pod)
		default: // ContainersReady
		}
		status.Conditions = append(status.Conditions, condition(pod, kind, holds, now))
	}
	for _, foreign := range pod.Status.Conditions {
		if !slices.Contains(conditions, foreign.Type) {
			status.Conditions = append(status.Conditions, foreign)
		}
	}
	return status, again
}

// identify says what image each container was started with.
func identify(statuses []corev1.ContainerStatus, bare string) {
	for i := range statuses {
		own := &statuses[i]
		own.ImageID = bare
		if reference, digest, found := strings.Cut(own.Image, "@"); found {
			name := reference[:strings.LastIndex(reference, "/")+1]
			last, _, _ := strings.Cut(reference[len(name):], ":")
			own.ImageID = name + last + "@" + digest
		}
	}
}

// conditions are those that a kubelet writes.
var conditions = []corev1.PodConditionType{
	corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady,
}

// gatesAreOpen says whether others have found the pod ready, where its spec asks for that.
func gatesAreOpen(pod *corev1.Pod) bool {
	return !slices.ContainsFunc(pod.Spec.ReadinessGates, func(gate corev1.PodReadinessGate) bool {
		return !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		})
	})
}

const crashLoop = "CrashLoopBackOff"

func containers(specs []corev1.Container, state corev1.ContainerState, isReady bool) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for _, spec := range specs {
		started := state.Running != nil
		status := corev1.ContainerStatus{
			Name: spec.Name, Image: spec.Image, State: state, Ready: isReady, Started: &started,
		}
		if state.Waiting != nil && state.Waiting.Reason == crashLoop {
			status.RestartCount = 3
			status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// condition keeps the time of the last transition where nothing changed, so
// that an unchanged pod is not written again.
func condition(pod *corev1.Pod, kind corev1.PodConditionType, holds bool, now time.Time) corev1.PodCondition {
	want := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Time{Time: now.Truncate(time.Second)}}
	if holds {
		want.Status = corev1.ConditionTrue
	}
	for _, have := range pod.Status.Conditions {
		if have.Type == kind && have.Status == want.Status {
			want.LastTransitionTime = have.LastTransitionTime
		}
	}
	return want
}

func unscheduled(pod *corev1.Pod, message string) corev1.PodStatus {
	status := *pod.Status.DeepCopy()
	status.Phase = corev1.PodPending
	scheduled := condition(pod, corev1.PodScheduled, false, time.Now())
	scheduled.Reason, scheduled.Message = corev1.PodReasonUnschedulable, message
	status.Conditions = []corev1.PodCondition{scheduled}
	return status
}

func node(name string, extra map[string]string) *corev1.Node {
	labels := map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
	}
	for key, value := range extra {
		labels[key] = value
	}
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1000"), corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods: resource.MustParse("10000"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Test"}},
		},
	}
}
