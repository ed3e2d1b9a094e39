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
