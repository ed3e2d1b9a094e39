// Package fakenode stands in for the scheduler and the kubelets of a cluster that has no nodes: it registers nodes that exist only
// in the API, binds pods to them, and writes the status that a kubelet would have written. What becomes of a pod is the test's
// choice, by namespace and by what the pod runs:
//
//	nodes.Set(namespace, func(pod *corev1.Pod) fakenode.Behaviour {
//		if fakenode.Runs(pod, badDigest) {
//			return fakenode.Failing("ImagePullBackOff", "401 Unauthorized")
//		}
//		return fakenode.Ready()
//	})
//
// The controllers above it are real, so a rollout hangs, fails or succeeds for the reasons it has in production.
package fakenode

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	workers      = 8
	startTimeout = 30 * time.Second
)

// Kubelet drives the pods of one cluster.
type Kubelet struct {
	client kubernetes.Interface
	pods   corelisters.PodLister
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	nodes  []string
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	policies map[string]Policy
	next     int // the node that the next pod goes to
}

// Start registers nodes of the given names, Ready and without taints, and drives every pod of the cluster until Stop.
func Start(ctx context.Context, config *rest.Config, nodes ...string) (*Kubelet, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "test-kubelet"
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	for _, name := range nodes {
		if _, err := client.CoreV1().Nodes().Create(ctx, node(name), metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("register node %s: %w", name, err)
		}
	}
	// A stuck pod is looked at again when something happens, so no resync; retries are quick because a test waits for each.
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](5*time.Millisecond, 200*time.Millisecond)
	factory := informers.NewSharedInformerFactory(client, 0)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k := &Kubelet{
		client: client, pods: factory.Core().V1().Pods().Lister(), cancel: cancel, nodes: nodes,
		queue: workqueue.NewTypedRateLimitingQueue(limiter), policies: map[string]Policy{},
	}
	informer := factory.Core().V1().Pods().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.enqueue(object) },
		UpdateFunc: func(_, object any) { k.enqueue(object) },
	}); err != nil {
		cancel()
		return nil, err
	}
	factory.Start(running.Done())
	starting, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	if !cache.WaitForCacheSync(starting.Done(), informer.HasSynced) {
		cancel()
		return nil, fmt.Errorf("list the pods: %w", context.DeadlineExceeded)
	}
	for range workers {
		k.done.Go(func() { k.work(running) })
	}
	k.done.Go(func() {
		<-running.Done()
		k.queue.ShutDown()
		factory.Shutdown()
	})
	return k, nil
}

func node(name string) *corev1.Node {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1000"), corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods: resource.MustParse("10000"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		}},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Test"}},
		},
	}
}

// Stop leaves the pods as they are.
func (k *Kubelet) Stop() {
	k.cancel()
	k.done.Wait()
}

// Set chooses what becomes of the pods of a namespace, those that exist included. A nil policy is the usual one.
func (k *Kubelet) Set(namespace string, policy Policy) {
	k.mu.Lock()
	k.policies[namespace] = policy
	k.mu.Unlock()
	k.Refresh(namespace)
}

// Refresh asks the policy of a namespace again about each pod there.
func (k *Kubelet) Refresh(namespace string) {
	pods, err := k.pods.Pods(namespace).List(labels.Everything())
	if err != nil {
		return // a lister reads memory: it has no way to fail
	}
	for _, pod := range pods {
		k.enqueue(pod)
	}
}

// UpToDate tells whether a pod's status is what its policy asks for at this moment. On a busy machine that takes a while.
func (k *Kubelet) UpToDate(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || finished(pod) {
		return true
	}
	behaviour := k.behaviour(pod)
	want, _ := desired(pod, behaviour, time.Now())
	return equality.Semantic.DeepEqual(pod.Status, want) && (pod.Spec.NodeName != "" || behaviour.kind == unschedulable)
}

func (k *Kubelet) behaviour(pod *corev1.Pod) Behaviour {
	k.mu.Lock()
	policy := k.policies[pod.Namespace]
	k.mu.Unlock()
	if policy == nil {
		policy = usual
	}
	return policy(pod)
}

func (k *Kubelet) enqueue(object any) {
	if pod, ok := object.(*corev1.Pod); ok {
		k.queue.Add(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	}
}

func (k *Kubelet) work(ctx context.Context) {
	for {
		key, shutdown := k.queue.Get()
		if shutdown {
			return
		}
		if again, err := k.sync(ctx, key); err != nil {
			k.queue.AddRateLimited(key)
		} else {
			k.queue.Forget(key)
			if again > 0 {
				k.queue.AddAfter(key, again)
			}
		}
		k.queue.Done(key)
	}
}

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
	case pod.Spec.NodeName == "" && behaviour.kind != unschedulable:
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
	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "DaemonSet" {
			required := pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
			return required.NodeSelectorTerms[0].MatchFields[0].Values[0]
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
