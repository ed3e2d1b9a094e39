// Package cluster runs a real Kubernetes control plane (etcd, kube-apiserver,
// kube-controller-manager) on free loopback ports, as any user, in a temporary
// folder. It has no nodes of its own; package kubelet stands in for them.
//
// Starting takes a few seconds, so the tests of one binary share a cluster and
// give each test a namespace.
package cluster
