package harness

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
)

// steadyTimeout is below the time that the program gives a request.
const steadyTimeout = 10 * time.Second

// holdUntilSteady waits until the controllers and the kubelets have nothing left to do for a workload at once. A tick whose
// wait is over looks once more, and decides by what it sees: on a machine that is busy with other tests, a wait of a second
// may be over before the first pod is there.
func (s *Scenario) holdUntilSteady(ctx context.Context, object apiproxy.Request) {
	ctx, cancel := context.WithTimeout(ctx, steadyTimeout)
	defer cancel()
	for ctx.Err() == nil && !s.steady(ctx, object) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// steady tells whether a workload's status says what its pods are, and at least one of them is of its newest template.
func (s *Scenario) steady(ctx context.Context, object apiproxy.Request) bool {
	apps, get := s.Client.AppsV1(), metav1.GetOptions{}
	switch object.Resource {
	case "deployments":
		d, err := apps.Deployments(object.Namespace).Get(ctx, object.Name, get)
		return err != nil || s.deploymentSteady(ctx, d)
	case "statefulsets":
		o, err := apps.StatefulSets(object.Namespace).Get(ctx, object.Name, get)
		if err != nil {
			return true
		}
		pods := s.podsOf(ctx, o)
		return o.Status.ObservedGeneration >= o.Generation && s.upToDate(pods) && o.Status.Replicas == active(pods) &&
			o.Status.ReadyReplicas == ready(pods) && (o.Status.UpdatedReplicas > 0 || ready(pods) < active(pods) || active(pods) == 0) // a stuck pod is left
	case "daemonsets":
		o, err := apps.DaemonSets(object.Namespace).Get(ctx, object.Name, get)
		if err != nil {
			return true
		}
		pods := s.podsOf(ctx, o)
		return o.Status.ObservedGeneration >= o.Generation && s.upToDate(pods) && o.Status.CurrentNumberScheduled == active(pods) &&
			o.Status.NumberReady == ready(pods) && (active(pods) == 0 || o.Status.UpdatedNumberScheduled > 0)
	}
	return true
}

func (s *Scenario) deploymentSteady(ctx context.Context, d *appsv1.Deployment) bool {
	sets, err := s.Client.AppsV1().ReplicaSets(d.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil || d.Status.ObservedGeneration < d.Generation {
		return false
	}
	replicas, readyReplicas, newest := int32(0), int32(0), false
	for i := range sets.Items {
		set := &sets.Items[i]
		if !metav1.IsControlledBy(set, d) {
			continue
		}
		pods := s.podsOf(ctx, set)
		if set.Status.ObservedGeneration < set.Generation || !s.upToDate(pods) ||
			set.Status.Replicas != active(pods) || set.Status.ReadyReplicas != ready(pods) ||
			set.Status.Replicas != *set.Spec.Replicas && len(set.Status.Conditions) == 0 { // a ReplicaFailure
			return false
		}
		replicas, readyReplicas = replicas+active(pods), readyReplicas+ready(pods)
		newest = newest || set.Annotations[revision] == d.Annotations[revision] && *set.Spec.Replicas > 0
	}
	return d.Status.Replicas == replicas && d.Status.ReadyReplicas == readyReplicas && (newest || *d.Spec.Replicas == 0)
}

const revision = "deployment.kubernetes.io/revision"

// podsOf are the pods that an object controls.
func (s *Scenario) podsOf(ctx context.Context, owner metav1.Object) []corev1.Pod {
	list, err := s.Client.CoreV1().Pods(owner.GetNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var own []corev1.Pod
	for _, pod := range list.Items {
		if metav1.IsControlledBy(&pod, owner) {
			own = append(own, pod)
		}
	}
	return own
}

func (s *Scenario) upToDate(pods []corev1.Pod) bool {
	for i := range pods {
		if !s.Kubelet.UpToDate(&pods[i]) {
			return false
		}
	}
	return true
}

// active counts as the controllers do.
func active(pods []corev1.Pod) (n int32) {
	for i := range pods {
		if isActive(&pods[i]) {
			n++
		}
	}
	return n
}

func ready(pods []corev1.Pod) (n int32) {
	for i := range pods {
		for _, condition := range pods[i].Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && isActive(&pods[i]) {
				n++
			}
		}
	}
	return n
}

func isActive(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded
}
