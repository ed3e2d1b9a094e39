package fakenode

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
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

type queue = workqueue.TypedRateLimitingInterface[types.NamespacedName]

// Kubelet drives the pods of one cluster.
type Kubelet struct {
	client kubernetes.Interface
	pods   corelisters.PodLister
	queue  queue
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	policies map[string]Policy
	nodes    []string
	next     int // the node that the next pod goes to
}

// Start registers nodes of the given names and drives every pod of the cluster
// until Stop.
func Start(ctx context.Context, config *rest.Config, nodes ...string) (*Kubelet, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "test-kubelet"
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	// A stuck pod is looked at again when something happens, so no resync;
	// retries are quick because a test waits for each.
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](5*time.Millisecond, 200*time.Millisecond)
	factory := informers.NewSharedInformerFactory(client, 0)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k := &Kubelet{
		client: client, pods: factory.Core().V1().Pods().Lister(), cancel: cancel,
		queue: workqueue.NewTypedRateLimitingQueue(limiter), policies: map[string]Policy{},
	}
	if err := k.AddNodes(ctx, nil, nodes...); err != nil {
		cancel()
		return nil, err
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

// Stop leaves the pods as they are.
func (k *Kubelet) Stop() {
	k.cancel()
	k.done.Wait()
}

// Set chooses what becomes of the pods of a namespace, those that exist
// included. A nil policy is the usual one.
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

// AddNodes registers further nodes, Ready and without taints, that carry the
// given labels. Pods of a DaemonSet go to each that their template selects.
func (k *Kubelet) AddNodes(ctx context.Context, extra map[string]string, names ...string) error {
	for _, name := range names {
		if _, err := k.client.CoreV1().Nodes().Create(ctx, node(name, extra), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("register node %s: %w", name, err)
		}
		k.mu.Lock()
		k.nodes = append(k.nodes, name)
		k.mu.Unlock()
	}
	return nil
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
		again, err := k.sync(ctx, key)
		switch {
		case err != nil:
			k.queue.AddRateLimited(key)
		case again > 0:
			k.queue.Forget(key)
			k.queue.AddAfter(key, again)
		default:
			k.queue.Forget(key)
		}
		k.queue.Done(key)
	}
}
