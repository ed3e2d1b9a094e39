package fakenode

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// UpToDate tells whether a pod's status is what its policy asks for at this moment. On a busy machine that takes a while.
func (k *Kubelet) UpToDate(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || finished(pod) {
		return true
	}
	behaviour := k.behaviour(pod)
	want, _ := desired(pod, behaviour, time.Now())
	if pod.Spec.NodeName == "" {
		if behaviour.kind != unschedulable {
			return false
		}
		want = unscheduled(pod, behaviour.message)
	}
	return equality.Semantic.DeepEqual(pod.Status, want)
}
