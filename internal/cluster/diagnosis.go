package cluster

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// maxNeverReady bounds how many stuck pods are named: a controller that keeps them sees to one at a time.
const maxNeverReady = 5

// unreadable is what is known of pods that could not be read.
func unreadable(object *workload.Object, queries []workload.PodQuery, why string) decide.PodProblems {
	said := reasons{}
	said.add(ofWorkload, "", why)
	said.addRefusal(object)
	return decide.PodProblems{
		Unreadable: true, Evidence: make([]bool, len(queries)), Crashed: make([]bool, len(queries)),
		MayHangOnDigest: refusesPods(object.Refusal().Message), Reasons: said.sorted(),
	}
}

// diagnose says what the pods that a workload owns tell.
func diagnose(object *workload.Object, queries []workload.PodQuery, pods []corev1.Pod) decide.PodProblems {
	pods = slices.SortedFunc(slices.Values(pods), func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	problems := decide.PodProblems{
		Evidence: make([]bool, len(queries)), Crashed: make([]bool, len(queries)),
		MayHangOnDigest: refusesPods(object.Refusal().Message),
		AllReady:        onlyReadinessIsWaitedFor(object, queries, pods),
	}
	said := reasons{}
	for i := range pods {
		pod := &pods[i]
		speaks := false
		for at, query := range queries {
			found := judge(pod, query)
			speaks = speaks || found.evidence()
			problems.Evidence[at] = problems.Evidence[at] || found.evidence()
			problems.Crashed[at] = problems.Crashed[at] || found == crashed
			problems.MayHangOnDigest = problems.MayHangOnDigest || found == mayHang
		}
		said.addPod(pod, updated(pod, queries), speaks)
		if disrupted(pod) || holds(pod, corev1.PodReady) {
			continue
		}
		if object.KeepsStuckPods() && !holds(pod, corev1.ContainersReady) && len(problems.NeverReady) < maxNeverReady {
			problems.NeverReady = append(problems.NeverReady, pod.Name)
		}
	}
	said.addRefusal(object)
	said.addAbsence(object, queries, pods)
	problems.Reasons = said.sorted()
	return problems
}

// updated says whether a pod holds every digest that is asked about: it is of the rollout, or of a later one.
func updated(pod *corev1.Pod, queries []workload.PodQuery) bool {
	for _, query := range queries {
		for _, slot := range query.Slots {
			if !slot.HeldIn(&pod.Spec, query.Digest) {
				return false
			}
		}
	}
	return true
}

// onlyReadinessIsWaitedFor says whether the containers of all updated pods are ready, and some of these pods do not count yet,
// for minReadySeconds or a readiness gate (I83). A pod that is not ready for neither is on a node that is lost, and pods that
// cannot be created are waited for as well.
func onlyReadinessIsWaitedFor(object *workload.Object, queries []workload.PodQuery, pods []corev1.Pod) bool {
	all, gated := 0, 0
	for i := range pods {
		pod := &pods[i]
		if disrupted(pod) || !updated(pod, queries) {
			continue
		}
		all++
		switch {
		case !holds(pod, corev1.ContainersReady):
			return false
		case holds(pod, corev1.PodReady):
		case closedGate(pod) != "":
			gated++
		default:
			return false
		}
	}
	return all > 0 && object.Refusal() == (workload.Refusal{}) && (gated > 0 || object.AwaitsMinReady() > 0)
}

// closedGate is a readiness gate that a pod waits for; empty for none.
func closedGate(pod *corev1.Pod) corev1.PodConditionType {
	for _, gate := range pod.Spec.ReadinessGates {
		if !holds(pod, gate.ConditionType) {
			return gate.ConditionType
		}
	}
	return ""
}

func beingCreated(reason string) bool {
	return reason == "ContainerCreating" || reason == "PodInitializing"
}
