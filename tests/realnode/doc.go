// Package realnode brings up a real Kubernetes node with its control plane: etcd, API server, controllers, scheduler, kubelet,
// containerd with runc and CNI, and kube-proxy. It runs in a sandbox (package sandbox), as root, and changes nothing outside of it. A
// DNS server leads the names that the test chooses to the test's registries, for pods and for containerd alike: docker.io and ghcr.io
// keep their names, with certificates of the test's authority.
//
// It needs Debian's containerd, runc, containernetworking-plugins, iptables and iproute2.
package realnode
