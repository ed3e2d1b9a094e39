//go:build linux

// Package realnode brings up a real Kubernetes node with its control plane: etcd, API server, controllers, scheduler, kubelet,
// containerd with runc and CNI, and kube-proxy. It runs in a sandbox (package sandbox), as root, and changes nothing outside of it. A
// DNS server leads the names that the test chooses to the test's registries, for pods and for containerd alike: docker.io and ghcr.io
// keep their names, with certificates of the test's authority.
//
// It needs Debian's containerd, runc, containernetworking-plugins, iptables and iproute2.
package realnode

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/process"
)

// Name is the node's name.
const Name = "node"

const (
	readyTimeout = 2 * time.Minute
	stopGrace    = 5 * time.Second
)

// Options is what a node is made of.
type Options struct {
	// Dir is a folder for its files.
	Dir string
	// Cgroup is the path of the control group that its pods are in.
	Cgroup string
	// PauseImage is what the first container of each pod runs.
	PauseImage string
	// Names leads host names to addresses of the node that are theirs alone.
	Names map[string]string
	// CAFile is the authority that containerd trusts for docker.io and ghcr.io.
	CAFile string
}

// Node is a node under way, with its control plane.
type Node struct {
	// Cluster is the control plane.
	Cluster *cluster.Cluster

	dir       string
	binaries  map[string]string
	processes []*process.Process // scheduler and proxy
	runtime   []*process.Process // containerd and kubelet
	stopNames func() error
}

// Build builds the binaries that a node needs, where the cache has them not.
func Build(ctx context.Context, progress io.Writer) (map[string]string, error) {
	version := components.Kubernetes136
	return components.Build(ctx, progress, append(version.ControlPlane(), version.Node()...)...)
}

// Prepare gives the sandbox its network and its names, so that registries can be served before the node asks for them.
func Prepare(ctx context.Context, options Options) (n *Node, err error) {
	n = &Node{dir: options.Dir}
	var addresses []string
	for _, address := range options.Names {
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	if err := network(ctx, addresses); err != nil {
		return nil, err
	}
	if err := n.write(options); err != nil {
		return nil, err
	}
	if err := n.resolve(); err != nil {
		return nil, err
	}
	n.stopNames, err = serveNames(ctx, options.Names)
	return n, err
}

// Start brings everything up and returns when the node is ready.
func (n *Node) Start(ctx context.Context, progress io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if n.binaries, err = Build(ctx, progress); err != nil {
		return err
	}
	if n.Cluster, err = cluster.Start(ctx, cluster.Options{Node: []string{Address, Address6}}); err != nil {
		return err
	}
	if err := n.Cluster.WriteKubeconfig(n.at("node.kubeconfig"), cluster.Access{}); err != nil {
		return err
	}
	if err := n.run(ctx, &n.processes, "kube-scheduler", n.binaries["kube-scheduler"],
		"--kubeconfig="+n.at("node.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1"); err != nil {
		return err
	}
	if err := n.run(ctx, &n.processes, "kube-proxy", n.binaries["kube-proxy"], "--config="+n.at("proxy.yaml")); err != nil {
		return err
	}
	if err := n.StartRuntime(ctx); err != nil {
		return err
	}
	return n.await(ctx, "the node is ready", func() bool {
		node, err := n.Cluster.Client().CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
		return err == nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
	})
}

// StartRuntime starts containerd, and the kubelet once containerd listens: it would give up. It is also what follows a Crash.
func (n *Node) StartRuntime(ctx context.Context) error {
	if err := n.run(ctx, &n.runtime, "containerd", "containerd", "--config="+n.at("containerd.toml")); err != nil {
		return err
	}
	if err := n.await(ctx, "containerd listens", func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", containerdSocket)
		return err == nil && conn.Close() == nil
	}); err != nil {
		return err
	}
	return n.StartKubelet(ctx)
}

// StartKubelet is also what ends GoAway.
func (n *Node) StartKubelet(ctx context.Context) error {
	return n.run(ctx, &n.runtime, "kubelet", n.binaries["kubelet"], "--config="+n.at("kubelet.yaml"),
		"--kubeconfig="+n.at("node.kubeconfig"), "--hostname-override="+Name, "--node-ip="+Address)
}

func (n *Node) at(name string) string { return filepath.Join(n.dir, name) }

func (n *Node) run(ctx context.Context, list *[]*process.Process, name, path string, args ...string) error {
	p, err := process.Start(ctx, n.dir, name, path, args...)
	if err == nil {
		*list = append(*list, p)
	}
	return err
}

func (n *Node) await(ctx context.Context, what string, holds func() bool) error {
	return process.Await(ctx, what, holds, slices.Concat(n.runtime, n.processes)...)
}

// Stop ends what was started here. Containers end with the sandbox.
func (n *Node) Stop() error {
	var failures []error
	for _, p := range slices.Concat(n.processes, n.runtime) {
		failures = append(failures, p.Stop(stopGrace))
	}
	if n.Cluster != nil {
		failures = append(failures, n.Cluster.Stop())
	}
	return errors.Join(append(failures, n.stopNames())...)
}

// Logs returns the last lines of each component's log.
func (n *Node) Logs(lines int) string {
	var all []string
	for _, p := range slices.Concat(n.runtime, n.processes) {
		all = append(all, p.Log(lines))
	}
	if n.Cluster != nil {
		all = append(all, n.Cluster.Logs(lines))
	}
	return strings.Join(all, "")
}
