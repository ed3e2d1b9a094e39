package fakenode

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// desired returns the status that the behaviour asks for at this moment, and when it will ask for another one (0: never).
func desired(pod *corev1.Pod, b Behaviour, now time.Time) (status corev1.PodStatus, again time.Duration) {
	status = *pod.Status.DeepCopy()
	if b.kind == unschedulable && pod.Spec.NodeName == "" {
		scheduled := condition(pod, corev1.PodScheduled, false, now)
		scheduled.Reason, scheduled.Message = corev1.PodReasonUnschedulable, b.message
		status.Phase, status.Conditions = corev1.PodPending, []corev1.PodCondition{scheduled}
		return status, 0
	}
	if status.StartTime == nil {
		status.StartTime = &metav1.Time{Time: now.Truncate(time.Second)}
	}
	started := *status.StartTime
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}
	terminated := func(code int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reason, StartedAt: started, FinishedAt: started,
		}}
	}
	state, isReady := running, false
	status.Phase = corev1.PodRunning
	switch b.kind {
	case ready:
		age := now.Sub(pod.CreationTimestamp.Time)
		if isReady = age >= b.after; !isReady {
			again = b.after - age
		}
	case waiting:
		state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: b.reason, Message: b.message}}
		if b.reason != crashLoop {
			status.Phase = corev1.PodPending // no container has ever started
		}
	case completed:
		state, status.Phase = terminated(b.code, "Completed"), corev1.PodSucceeded
		if b.code != 0 {
			state.Terminated.Reason, status.Phase = "Error", corev1.PodFailed
		}
	case evicted:
		state = terminated(137, "Error")
		status.Phase, status.Reason, status.Message = corev1.PodFailed, "Evicted", b.message
	case lost:
		isReady = true
	case stuck, starting, unschedulable: // Running and not Ready; a pod that has a node cannot lose it
	}
	status.ContainerStatuses = containers(pod.Spec.Containers, state, isReady, b.runs)
	for i := range status.ContainerStatuses {
		own := &status.ContainerStatuses[i]
		if b.only != "" && own.Name != b.only {
			*own = corev1.ContainerStatus{Name: own.Name, Image: own.Image, Ready: true, Started: new(true), State: running, ImageID: own.ImageID}
		} else if b.kind == starting {
			own.Started = new(bool)
		}
		if b.exited {
			own.RestartCount = 1
			own.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
		}
	}
	status.InitContainerStatuses = containers(pod.Spec.InitContainers, terminated(0, "Completed"), true, b.runs)
	status.Conditions = nil
	for _, written := range []struct {
		kind  corev1.PodConditionType
		holds bool
	}{
		{corev1.PodScheduled, true}, {corev1.PodReadyToStartContainers, !b.waits}, {corev1.PodInitialized, true},
		{corev1.ContainersReady, isReady}, {corev1.PodReady, isReady && b.kind != lost && gatesAreOpen(pod)},
	} {
		status.Conditions = append(status.Conditions, condition(pod, written.kind, written.holds, now))
	}
	for _, other := range pod.Status.Conditions { // that others have written
		if !slices.ContainsFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == other.Type }) {
			status.Conditions = append(status.Conditions, other)
		}
	}
	return status, again
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

// containers are their statuses. Where an image's ID is given they say what image they were started with.
func containers(specs []corev1.Container, state corev1.ContainerState, isReady bool, imageID string) (statuses []corev1.ContainerStatus) {
	for _, spec := range specs {
		status := corev1.ContainerStatus{
			Name: spec.Name, Image: spec.Image, State: state, Ready: isReady, Started: new(state.Running != nil), ImageID: imageID,
		}
		if reference, digest, found := strings.Cut(spec.Image, "@"); found && imageID != "" {
			name := reference[:strings.LastIndex(reference, "/")+1]
			last, _, _ := strings.Cut(reference[len(name):], ":")
			status.ImageID = name + last + "@" + digest
		}
		if state.Waiting != nil && state.Waiting.Reason == crashLoop {
			status.RestartCount = 3
			status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// condition keeps the time of the last transition where nothing changed, so that an unchanged pod is not written again.
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
