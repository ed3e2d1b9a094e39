package fakenode_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/fakenode"
)

// fixture is one cluster for all tests of this file; each has a namespace.
type fixture struct {
	cluster *cluster.Cluster
	kubelet *fakenode.Kubelet
	client  kubernetes.Interface
}

func TestKubelet(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	k, err := fakenode.Start(t.Context(), c.Config(), "node-a", "node-b")
	require.NoError(t, err)
	t.Cleanup(k.Stop)
	f := fixture{cluster: c, kubelet: k, client: c.Client()}
	t.Run("a Deployment rolls", f.deploymentRolls)
	t.Run("a Deployment hangs and recovers", f.deploymentHangs)
	t.Run("pods fail for the reasons given", f.podsFail)
	t.Run("pods are disturbed", f.podsAreDisturbed)
	t.Run("a StatefulSet rolls", f.statefulSetRolls)
	t.Run("a DaemonSet rolls", f.daemonSetRolls)
	t.Run("a Job completes", f.jobCompletes)
}

func (f fixture) namespace(t *testing.T) string {
	t.Helper()
	namespace, err := f.cluster.Namespace(t.Context(), "kubelet")
	require.NoError(t, err)
	return namespace
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

func (f fixture) deployment(t *testing.T, namespace string) *appsv1.Deployment {
	t.Helper()
	replicas := int32(2)
	d, err := f.client.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "x"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Template: template("one"),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return d
}

// eventually polls fast, so that the time it took means something.
func eventually(t *testing.T, holds func(ctx context.Context) bool, what string) time.Duration {
	t.Helper()
	start := time.Now()
	for !holds(t.Context()) {
		if time.Since(start) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

func (f fixture) deploymentSettled(namespace string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		d, err := f.client.AppsV1().Deployments(namespace).Get(ctx, "x", metav1.GetOptions{})
		return err == nil && d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == 2 &&
			d.Status.AvailableReplicas == 2 && d.Status.Replicas == 2
	}
}

func (f fixture) setImage(t *testing.T, namespace, image string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":%q}]}}}}`, image)
	_, err := f.client.AppsV1().Deployments(namespace).Patch(t.Context(), "x",
		"application/strategic-merge-patch+json", patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

func (f fixture) deploymentRolls(t *testing.T) {
	namespace := f.namespace(t)
	f.deployment(t, namespace)
	t.Logf("first rollout: %s", eventually(t, f.deploymentSettled(namespace), "installed"))
	f.setImage(t, namespace, "two")
	t.Logf("second rollout: %s", eventually(t, f.deploymentSettled(namespace), "rolled"))
	eventually(t, func(ctx context.Context) bool {
		pods, err := f.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(pods.Items) == 2
	}, "the old pods are gone")
}

func (f fixture) deploymentHangs(t *testing.T) {
	namespace := f.namespace(t)
	f.deployment(t, namespace)
	eventually(t, f.deploymentSettled(namespace), "installed")
	f.kubelet.Set(namespace, func(pod *corev1.Pod) fakenode.Behaviour {
		if fakenode.Runs(pod, "two") {
			return fakenode.Stuck()
		}
		return fakenode.Ready()
	})
	f.setImage(t, namespace, "two")
	eventually(t, func(ctx context.Context) bool {
		d, err := f.client.AppsV1().Deployments(namespace).Get(ctx, "x", metav1.GetOptions{})
		return err == nil && d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == 1
	}, "the new pod runs")
	time.Sleep(300 * time.Millisecond)
	assert.False(t, f.deploymentSettled(namespace)(t.Context()))
	f.kubelet.Set(namespace, nil)
	eventually(t, f.deploymentSettled(namespace), "recovered")
}

func (f fixture) podsFail(t *testing.T) {
	for _, test := range []struct {
		behaviour fakenode.Behaviour
		phase     corev1.PodPhase
		reason    string
	}{
		{fakenode.Failing("ImagePullBackOff", "401 Unauthorized"), corev1.PodPending, "ImagePullBackOff"},
		{fakenode.Failing("CrashLoopBackOff", "back-off 5m0s"), corev1.PodRunning, "CrashLoopBackOff"},
		{fakenode.Pending("0/2 nodes are available"), corev1.PodPending, ""},
	} {
		namespace := f.namespace(t)
		f.kubelet.Set(namespace, func(*corev1.Pod) fakenode.Behaviour { return test.behaviour })
		f.deployment(t, namespace)
		eventually(t, func(ctx context.Context) bool {
			pods, err := f.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
			if err != nil || len(pods.Items) != 2 || len(pods.Items[0].Status.Conditions) == 0 {
				return false
			}
			status := pods.Items[0].Status
			if test.reason == "" {
				return status.Phase == test.phase && status.Conditions[0].Reason == corev1.PodReasonUnschedulable
			}
			return status.Phase == test.phase && len(status.ContainerStatuses) == 1 &&
				status.ContainerStatuses[0].State.Waiting.Reason == test.reason
		}, test.reason)
	}
}

// podsAreDisturbed: what is not a pod's own fault, or is not all of its containers'.
func (f fixture) podsAreDisturbed(t *testing.T) {
	holds := func(pod corev1.Pod, kind corev1.PodConditionType) bool {
		return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind && c.Status == corev1.ConditionTrue })
	}
	for name, test := range map[string]struct {
		behaviour fakenode.Behaviour
		is        func(corev1.Pod, corev1.ContainerStatus) bool
	}{
		"starting": {fakenode.Starting(), func(_ corev1.Pod, c corev1.ContainerStatus) bool {
			return c.State.Running != nil && c.Started != nil && !*c.Started && !c.Ready
		}},
		"creating": {fakenode.Creating(), func(pod corev1.Pod, c corev1.ContainerStatus) bool {
			return c.State.Waiting != nil && holds(pod, corev1.PodReadyToStartContainers)
		}},
		"without volumes": {fakenode.WithoutVolumes(), func(pod corev1.Pod, c corev1.ContainerStatus) bool {
			return c.State.Waiting != nil && holds(pod, corev1.PodScheduled) && !holds(pod, corev1.PodReadyToStartContainers)
		}},
		"lost": {fakenode.Lost(), func(pod corev1.Pod, c corev1.ContainerStatus) bool {
			return c.Ready && holds(pod, corev1.ContainersReady) && !holds(pod, corev1.PodReady)
		}},
		"evicted": {fakenode.Evicted("no memory"), func(pod corev1.Pod, c corev1.ContainerStatus) bool {
			return pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == "Evicted" && c.State.Terminated.ExitCode == 137
		}},
		"one container only": {fakenode.Stuck().Only("sidecar"), func(pod corev1.Pod, c corev1.ContainerStatus) bool {
			return c.Ready && !holds(pod, corev1.PodReady)
		}},
		"behind a gate": {fakenode.Ready(), func(pod corev1.Pod, c corev1.ContainerStatus) bool {
			return c.Ready && holds(pod, corev1.ContainersReady) && !holds(pod, corev1.PodReady)
		}},
	} {
		namespace := f.namespace(t)
		f.kubelet.Set(namespace, func(*corev1.Pod) fakenode.Behaviour { return test.behaviour })
		spec := template("one").Spec
		if name == "behind a gate" {
			spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/in-service"}}
		}
		_, err := f.client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: spec}, metav1.CreateOptions{})
		require.NoError(t, err)
		eventually(t, func(ctx context.Context) bool {
			pod, err := f.client.CoreV1().Pods(namespace).Get(ctx, "x", metav1.GetOptions{})
			return err == nil && len(pod.Status.ContainerStatuses) == 1 && test.is(*pod, pod.Status.ContainerStatuses[0])
		}, name)
	}
}

func (f fixture) statefulSetRolls(t *testing.T) {
	namespace := f.namespace(t)
	replicas := int32(2)
	sets := f.client.AppsV1().StatefulSets(namespace)
	_, err := sets.Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "x"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Template: template("one"),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	settled := func(ctx context.Context) bool {
		s, err := sets.Get(ctx, "x", metav1.GetOptions{})
		return err == nil && s.Status.ObservedGeneration == s.Generation && s.Status.UpdatedReplicas == 2 &&
			s.Status.AvailableReplicas == 2 && s.Status.CurrentRevision == s.Status.UpdateRevision
	}
	eventually(t, settled, "installed")
	_, err = sets.Patch(t.Context(), "x", "application/strategic-merge-patch+json",
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"two"}]}}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	t.Logf("StatefulSet: %s", eventually(t, settled, "rolled"))
}

func (f fixture) daemonSetRolls(t *testing.T) {
	namespace := f.namespace(t)
	sets := f.client.AppsV1().DaemonSets(namespace)
	_, err := sets.Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "x"},
		Spec: appsv1.DaemonSetSpec{
			Template: template("one"), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	settled := func(ctx context.Context) bool {
		s, err := sets.Get(ctx, "x", metav1.GetOptions{})
		return err == nil && s.Status.ObservedGeneration == s.Generation && s.Status.UpdatedNumberScheduled == 2 &&
			s.Status.NumberAvailable == 2
	}
	eventually(t, settled, "installed")
	_, err = sets.Patch(t.Context(), "x", "application/strategic-merge-patch+json",
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"two"}]}}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	t.Logf("DaemonSet: %s", eventually(t, settled, "rolled"))
}

func (f fixture) jobCompletes(t *testing.T) {
	namespace := f.namespace(t)
	pod := template("one")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Labels = nil
	jobs := f.client.BatchV1().Jobs(namespace)
	_, err := jobs.Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: batchv1.JobSpec{Template: pod},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func(ctx context.Context) bool {
		job, err := jobs.Get(ctx, "x", metav1.GetOptions{})
		return err == nil && job.Status.Succeeded == 1
	}, "completed")
}
