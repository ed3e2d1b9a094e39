package fakenode

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// sync brings one pod to where its policy wants it, and says when to look again (0: when it changes).
func (k *Kubelet) sync(ctx context.Context, key types.NamespacedName) (again time.Duration, err error) {
	pod, err := k.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	behaviour := k.behaviour(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		return k.terminate(ctx, pod, behaviour.linger)
	case finished(pod):
		return 0, nil
	case pod.Spec.NodeName == "" && behaviour.kind == unschedulable:
		return 0, k.write(ctx, pod, unscheduled(pod, behaviour.message))
	case pod.Spec.NodeName == "":
		if err := k.bind(ctx, pod); err != nil {
			return 0, err
		}
	}
	status, again := desired(pod, behaviour, time.Now())
	return again, k.write(ctx, pod, status)
}

// terminate removes a deleted pod, which the API server leaves to the kubelet of its node. The UID keeps a successor of the same
// name safe.
func (k *Kubelet) terminate(ctx context.Context, pod *corev1.Pod, linger time.Duration) (time.Duration, error) {
	grace := time.Duration(0)
	if pod.DeletionGracePeriodSeconds != nil {
		grace = time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	}
	// The timestamp is that of the deletion plus the grace period.
	if left := time.Until(pod.DeletionTimestamp.Add(-grace).Add(linger)); linger > 0 && left > 0 {
		return left, nil
	}
	err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return 0, nil
	}
	return 0, err
}

func (k *Kubelet) bind(ctx context.Context, pod *corev1.Pod) error {
	target := affine(pod)
	if target == "" {
		k.mu.Lock()
		k.next++
		target = k.nodes[k.next%len(k.nodes)]
		k.mu.Unlock()
	}
	err := k.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: target},
	}, metav1.CreateOptions{})
	if apierrors.IsConflict(err) { // bound by an earlier round that the cache has not seen
		return nil
	}
	return err
}

// affine returns the node that a DaemonSet's pod is meant for.
func affine(pod *corev1.Pod) string {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
		return ""
	}
	required := pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return ""
	}
	for _, term := range required.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == metav1.ObjectNameField && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}

// write patches the status where it differs. The UID in the patch makes it fail, rather than hit a successor of the same name.
func (k *Kubelet) write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	if equality.Semantic.DeepEqual(pod.Status, status) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status": map[string]any{
			"phase": status.Phase, "reason": status.Reason, "message": status.Message, "conditions": status.Conditions,
			"startTime": status.StartTime, "containerStatuses": status.ContainerStatuses,
			"initContainerStatuses": status.InitContainerStatuses,
		},
	})
	if err != nil {
		return fmt.Errorf("encode the status of %s: %w", pod.Name, err)
	}
	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
		return nil // gone or replaced: an event of its own will follow
	}
	return err
}
