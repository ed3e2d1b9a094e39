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

// steady tells whether a workload's status says what its pods are, and at least one of them is of its newest template. What
// cannot be read is steady.
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
		pods, updated := s.podsOf(ctx, o), o.Status.UpdatedReplicas > 0
		return pods.known && o.Status.ObservedGeneration >= o.Generation && o.Status.Replicas == pods.active &&
			o.Status.ReadyReplicas == pods.ready && (updated || pods.ready < pods.active || pods.active == 0) // a stuck pod is left
	case "daemonsets":
		o, err := apps.DaemonSets(object.Namespace).Get(ctx, object.Name, get)
		if err != nil {
			return true
		}
		pods, updated := s.podsOf(ctx, o), o.Status.UpdatedNumberScheduled > 0
		return pods.known && o.Status.ObservedGeneration >= o.Generation && o.Status.CurrentNumberScheduled == pods.active &&
			o.Status.NumberReady == pods.ready && (updated || pods.active == 0)
	}
	return true
}

func (s *Scenario) deploymentSteady(ctx context.Context, d *appsv1.Deployment) bool {
	const revision = "deployment.kubernetes.io/revision"
	sets, err := s.Client.AppsV1().ReplicaSets(d.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil || d.Status.ObservedGeneration < d.Generation {
		return false
	}
	replicas, ready, newest := int32(0), int32(0), *d.Spec.Replicas == 0
	for _, set := range sets.Items {
		if !metav1.IsControlledBy(&set, d) {
			continue
		}
		pods := s.podsOf(ctx, &set)
		quotaRefuses := len(set.Status.Conditions) > 0 // a ReplicaFailure
		if !pods.known || set.Status.ObservedGeneration < set.Generation || set.Status.Replicas != pods.active ||
			set.Status.ReadyReplicas != pods.ready || set.Status.Replicas != *set.Spec.Replicas && !quotaRefuses {
			return false
		}
		replicas, ready = replicas+pods.active, ready+pods.ready
		newest = newest || set.Annotations[revision] == d.Annotations[revision] && *set.Spec.Replicas > 0
	}
	return d.Status.Replicas == replicas && d.Status.ReadyReplicas == ready && newest
}

// pods are those of one controller, counted as it counts them.
type pods struct {
	active, ready int32
	known         bool // the kubelets have nothing left to do for any
}

func (s *Scenario) podsOf(ctx context.Context, owner metav1.Object) pods {
	list, err := s.Client.CoreV1().Pods(owner.GetNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return pods{}
	}
	found := pods{known: true}
	for _, pod := range list.Items {
		if !metav1.IsControlledBy(&pod, owner) {
			continue
		}
		found.known = found.known && s.Kubelet.UpToDate(&pod)
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		found.active++
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				found.ready++
			}
		}
	}
	return found
}
