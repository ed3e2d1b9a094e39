package cluster

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/workload"
)

// verdict is what one pod says about a digest in one slot, worse ones last.
type verdict int

const (
	nothing        verdict = iota // it never got that far, runs, or something else is to blame
	mayHang                       // no evidence, and yet it may go away with the digest
	neverReady                    // it runs past its startup probe, and is not ready
	cannotBePulled                // the pull failed for what the digest is
	crashed                       // it was started, and ended by itself
)

// evidence says whether there is evidence against the digest.
func (v verdict) evidence() bool { return v > mayHang }

// judge says what a pod tells about the digest of a binding.
func judge(pod *corev1.Pod, query workload.PodQuery) verdict {
	worst := nothing
	if disrupted(pod) {
		return worst
	}
	for _, slot := range query.Slots {
		if !slot.HeldIn(&pod.Spec, query.Digest) {
			continue
		}
		if status, known := statusOf(pod, slot.Container); known {
			worst = max(worst, judgeContainer(pod, slot, status))
		}
	}
	return worst
}

// disrupted says that what became of a pod's containers is not their own doing: it is being deleted, or preempted, drained,
// or evicted (https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions). The containers of
// a pod that these four kinds own are always restarted, so one whose phase is final was ended by its node (I72, I87).
func disrupted(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || finished(pod) || holds(pod, corev1.DisruptionTarget)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// judgeContainer says what the own container of a slot tells (I81: what a webhook put beside it is not asked).
func judgeContainer(pod *corev1.Pod, slot workload.Slot, status corev1.ContainerStatus) verdict {
	state := status.State
	switch {
	case status.Ready: // whatever it was before (I86), and whatever its pod is (I50: a lost node's is not ready)
		return nothing
	case state.Terminated != nil:
		return judgeEnd(pod, slot, state.Terminated)
	case state.Running != nil && !ends(pod, slot) && status.Started != nil && *status.Started:
		return neverReady
	case state.Running != nil: // before its startup probe has passed (I79), or an init container at its work
		return nothing
	case state.Waiting == nil:
		return nothing
	}
	waiting := state.Waiting
	switch {
	case waiting.Reason == crashLoop && status.LastTerminationState.Terminated != nil:
		return judgeEnd(pod, slot, status.LastTerminationState.Terminated)
	case waiting.Reason == crashLoop:
		return crashed
	case pullReason(waiting.Reason):
		if slot.Env == "" && deniesDigest(waiting.Message) { // in env mode the image is another's
			return cannotBePulled
		}
		return mayHang
	case slot.Env == "" && startReason(waiting.Reason) && missesInImage(waiting.Message), pulling(pod, slot, waiting.Reason):
		return mayHang
	}
	return nothing
}

const crashLoop = "CrashLoopBackOff"

// judgeEnd says what the end of a container tells.
func judgeEnd(pod *corev1.Pod, slot workload.Slot, end *corev1.ContainerStateTerminated) verdict {
	switch {
	case ends(pod, slot) && end.ExitCode == 0:
		return nothing
	case startReason(end.Reason): // it has not run
		if slot.Env == "" && missesInImage(end.Message) {
			return mayHang
		}
		return nothing
	case end.Reason == "ContainerStatusUnknown", end.Reason == "Unknown": // kubelet, containerd: its node went down with it
		return nothing
	}
	return crashed
}

// ends says whether a slot is in a container that is meant to end: an init container which is no sidecar.
func ends(pod *corev1.Pod, slot workload.Slot) bool {
	return slot.Init && slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == slot.Container && (c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways)
	})
}

// pulling says whether a container that is being created is at its image, as far as can be told from outside: its pod has
// volumes and a network, and it is this container's turn. The kubelet says ContainerCreating for all of that, and
// PodInitializing for every container of a pod that has init containers.
func pulling(pod *corev1.Pod, slot workload.Slot, reason string) bool {
	if reason != "ContainerCreating" && reason != "PodInitializing" || !holds(pod, corev1.PodReadyToStartContainers) {
		return false
	}
	if !slot.Init {
		return holds(pod, corev1.PodInitialized)
	}
	for _, status := range pod.Status.InitContainerStatuses {
		if status.Name == slot.Container {
			return true
		}
		if started := status.Started != nil && *status.Started && status.State.Running != nil; !status.Ready && !started {
			return false
		}
	}
	return false
}

func holds(pod *corev1.Pod, kind corev1.PodConditionType) bool {
	condition := conditionOf(pod, kind)
	return condition != nil && condition.Status == corev1.ConditionTrue
}

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

func statusOf(pod *corev1.Pod, container string) (corev1.ContainerStatus, bool) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.Name == container {
			return status, true
		}
	}
	return corev1.ContainerStatus{}, false
}
