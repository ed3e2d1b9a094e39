package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// rank is how much a reason tells, the most first.
type rank int

const (
	ofEvidence rank = iota // of a pod that is evidence against a digest
	ofWorkload             // of the workload itself
	ofPod                  // of another pod of the rollout
	ofOldPod               // of a pod of another rollout
	ofLeaving              // of a pod that is going, or has been left behind
)

// reason is why something is not ready. What several pods say alike is one reason.
type reason struct {
	rank rank
	pods []string // where, by name
	text string
}

type reasons struct{ all []reason }

// add notes a reason. Text that is not ours is cleaned in the end.
func (r *reasons) add(of rank, pod, text string) {
	at := slices.IndexFunc(r.all, func(known reason) bool { return known.rank == of && known.text == text })
	if at < 0 {
		at = len(r.all)
		r.all = append(r.all, reason{rank: of, text: text})
	}
	if pod != "" {
		r.all[at].pods = append(r.all[at].pods, pod)
	}
}

// sorted are the reasons, those that tell most first, as text that may be printed.
func (r *reasons) sorted() []string {
	slices.SortStableFunc(r.all, func(a, b reason) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(len(b.pods), len(a.pods)), cmp.Compare(a.text, b.text))
	})
	var texts []string
	for _, reason := range r.all {
		text := reason.text
		switch others := len(reason.pods) - 1; {
		case others == 0:
			text = reason.pods[0] + ": " + text
		case others > 0:
			text = fmt.Sprintf("%s and %d more: %s", reason.pods[0], others, text)
		}
		// A kubelet begins with the image's long name, and ends with why it could not be pulled.
		texts = append(texts, failure.CleanEnds(text))
	}
	return texts
}

// addPod notes what a pod says, its conditions, and each of its containers that is not ready: also one that a webhook has put
// there, which is no evidence (I81).
func (r *reasons) addPod(pod *corev1.Pod, updated, evidence bool) {
	of, where := ofPod, "pod "+pod.Name
	if pod.Spec.NodeName != "" {
		where += " on " + pod.Spec.NodeName
	}
	switch {
	case finished(pod):
		r.add(ofLeaving, where, describe(cmp.Or(pod.Status.Reason, string(pod.Status.Phase)), pod.Status.Message))
		return
	case pod.DeletionTimestamp != nil:
		r.add(ofLeaving, where, "still terminating")
		return
	case evidence:
		of = ofEvidence
	case !updated:
		of, where = ofOldPod, where+" (of another digest)"
	}
	if condition := conditionOf(pod, corev1.DisruptionTarget); condition != nil && condition.Status == corev1.ConditionTrue {
		r.add(of, where, describe("DisruptionTarget: "+condition.Reason, condition.Message))
	}
	if holds(pod, corev1.PodReady) {
		return
	}
	before := len(r.all)
	if condition := conditionOf(pod, corev1.PodScheduled); condition != nil && condition.Status == corev1.ConditionFalse {
		r.add(of, where, describe(condition.Reason, condition.Message))
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if text := wordsOf(pod, status); text != "" {
			r.add(of, where, status.Name+": "+text)
		}
	}
	if gate := closedGate(pod); holds(pod, corev1.ContainersReady) && gate != "" {
		text := "its containers are ready, and it waits for its readiness gate " + string(gate)
		if condition := conditionOf(pod, gate); condition != nil && condition.Reason+condition.Message != "" {
			text += ", " + describe(condition.Reason, condition.Message)
		}
		r.add(of, where, text)
	} else if holds(pod, corev1.ContainersReady) {
		r.add(of, where, "its containers are ready, and it is not: its node may be away")
	}
	if len(r.all) == before && !said(r.all, where) {
		r.add(of, where, "not ready, and its node has said nothing about it yet")
	}
}

// said says whether a reason of a pod is noted.
func said(all []reason, where string) bool {
	return slices.ContainsFunc(all, func(r reason) bool { return slices.Contains(r.pods, where) })
}

// wordsOf says why a container is not ready, in the words of its kubelet; empty where it is, or has done its work.
func wordsOf(pod *corev1.Pod, status corev1.ContainerStatus) string {
	switch state := status.State; {
	case state.Waiting != nil && beingCreated(state.Waiting.Reason):
		text := describe(state.Waiting.Reason, state.Waiting.Message)
		switch condition := conditionOf(pod, corev1.PodReadyToStartContainers); {
		case condition == nil:
			return text
		case condition.Status == corev1.ConditionTrue:
			return text + ", the pod has its volumes and network"
		}
		return text + ", the pod waits for volumes or network"
	case state.Waiting != nil:
		// The rest of a kubelet's sentence names the container and the pod, so that no two pods would say the same.
		message, _, _ := strings.Cut(state.Waiting.Message, " restarting failed container")
		text := describe(state.Waiting.Reason, message)
		if last := status.LastTerminationState.Terminated; last != nil {
			text += fmt.Sprintf(", last exit code %d", last.ExitCode)
			if last.Reason != "" && last.Reason != "Error" && last.Reason != "Completed" {
				text += " (" + describe(last.Reason, last.Message) + ")"
			}
		}
		return text
	case state.Terminated != nil && (state.Terminated.ExitCode != 0 || !status.Ready && !isInit(pod, status.Name)):
		return fmt.Sprintf("%s, exit code %d", describe(state.Terminated.Reason, state.Terminated.Message), state.Terminated.ExitCode)
	case state.Running != nil && !status.Ready && isInit(pod, status.Name):
		return "running"
	case state.Running != nil && !status.Ready && status.Started != nil && !*status.Started:
		return "running, its startup probe has not passed"
	case state.Running != nil && !status.Ready:
		return "running, not ready"
	}
	return ""
}

func isInit(pod *corev1.Pod, container string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == container })
}

// describe is a reason with its message.
func describe(reason, message string) string {
	if message == "" {
		return reason
	}
	return strings.TrimPrefix(reason+": "+message, ": ")
}

// addRefusal notes why the controller could not create pods.
func (r *reasons) addRefusal(object *workload.Object) {
	if refusal := object.Refusal(); refusal != (workload.Refusal{}) {
		r.add(ofWorkload, "", describe("ReplicaFailure: "+refusal.Reason, refusal.Message))
	}
}

// addAbsence notes what no pod can say: that there is none, or what all of them wait for. A message never ends in "()".
func (r *reasons) addAbsence(object *workload.Object, queries []workload.PodQuery, pods []corev1.Pod) {
	ofRollout := slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return !disrupted(&pod) && updated(&pod, queries) })
	seconds := object.AwaitsMinReady()
	switch {
	case len(pods) == 0:
		r.add(ofWorkload, "", "it has no pods")
	case !ofRollout:
		r.add(ofWorkload, "", "no pod has the new digest yet")
	case seconds > 0:
		r.add(ofPod, "", fmt.Sprintf("pods are ready, and count once they have been for minReadySeconds, %d", seconds))
	case len(r.all) == 0:
		r.add(ofPod, "", "all its pods are ready, and its controller has not finished")
	}
}
