//go:build linux

package realnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
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
	// Registries leads a registry, as images name it, to its host name. CAFile
	// is the authority that containerd trusts for it.
	Registries map[string]string
	CAFile     string
	// Progress receives lines while binaries are built; io.Discard where nil.
	Progress io.Writer
}

// Node is a node under way, with its control plane.
type Node struct {
	// Cluster is the control plane.
	Cluster *cluster.Cluster

	dir       string
	kubelet   string
	processes []*process.Process // scheduler and proxy
	runtime   []*process.Process // containerd and kubelet
	stopNames func() error
}

// Build builds the binaries that a node needs, where the cache has them not.
func Build(ctx context.Context, progress io.Writer) error {
	_, err := build(ctx, progress)
	return err
}

type binaries struct{ scheduler, kubelet, proxy string }

func build(ctx context.Context, progress io.Writer) (b binaries, err error) {
	version := components.Kubernetes136
	for _, component := range []components.Component{
		components.Etcd(), version.APIServer(), version.ControllerManager(), version.Kubectl(),
	} {
		if _, err := component.Build(ctx, progress); err != nil {
			return b, err
		}
	}
	if b.scheduler, err = version.Scheduler().Build(ctx, progress); err != nil {
		return b, err
	}
	if b.kubelet, err = version.Kubelet().Build(ctx, progress); err != nil {
		return b, err
	}
	b.proxy, err = version.Proxy().Build(ctx, progress)
	return b, err
}

// Prepare gives the sandbox its network and its names, so that registries can
// be served before the node asks for them.
func Prepare(ctx context.Context, options Options) (*Node, error) {
	n := &Node{dir: options.Dir}
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
	var err error
	n.stopNames, err = serveNames(ctx, options.Names)
	return n, err
}

// Start brings everything up and returns when the node is ready.
func (n *Node) Start(ctx context.Context, progress io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	b, err := build(ctx, progress)
	if err != nil {
		return err
	}
	n.kubelet = b.kubelet
	if n.Cluster, err = cluster.Start(ctx, cluster.Options{Node: []string{Address, Address6}}); err != nil {
		return err
	}
	if err := n.Cluster.WriteKubeconfig(n.at("node.kubeconfig"), cluster.Access{}); err != nil {
		return err
	}
	if err := n.run(ctx, &n.processes, "kube-scheduler", b.scheduler,
		"--kubeconfig="+n.at("node.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1"); err != nil {
		return err
	}
	if err := n.run(ctx, &n.processes, "kube-proxy", b.proxy, "--config="+n.at("proxy.yaml")); err != nil {
		return err
	}
	if err := n.startRuntime(ctx); err != nil {
		return err
	}
	return n.Ready(ctx)
}

// startRuntime starts containerd, and the kubelet once containerd listens: it
// would give up.
func (n *Node) startRuntime(ctx context.Context) error {
	if err := n.run(ctx, &n.runtime, "containerd", "containerd", "--config="+n.at("containerd.toml")); err != nil {
		return err
	}
	if err := n.await(ctx, "containerd listens", func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", containerdSocket)
		return err == nil && conn.Close() == nil
	}); err != nil {
		return err
	}
	return n.startKubelet(ctx)
}

func (n *Node) startKubelet(ctx context.Context) error {
	return n.run(ctx, &n.runtime, "kubelet", n.kubelet, "--config="+n.at("kubelet.yaml"),
		"--kubeconfig="+n.at("node.kubeconfig"), "--hostname-override="+Name, "--node-ip="+Address)
}

func (n *Node) run(ctx context.Context, list *[]*process.Process, name, path string, args ...string) error {
	p, err := process.Start(ctx, process.Command{
		Name: name, Path: path, Args: args, Dir: n.dir, LogFile: filepath.Join(n.dir, name+".log"),
	})
	if err == nil {
		*list = append(*list, p)
	}
	return err
}

// Ready waits until the API server takes the node for ready.
func (n *Node) Ready(ctx context.Context) error {
	return n.await(ctx, "the node is ready", func() bool {
		node, err := n.Cluster.Client().CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
		return err == nil && isReady(node)
	})
}

// await polls until the condition holds, and gives up as soon as a component
// has died.
func (n *Node) await(ctx context.Context, what string, holds func() bool) error {
	for !holds() {
		for _, p := range append(n.runtime, n.processes...) {
			if err := p.Err(); err != nil {
				return fmt.Errorf("wait until %s: %w", what, err)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w\n%s", what, ctx.Err(), n.Logs(20))
		}
	}
	return nil
}

func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Stop ends what was started here. Containers end with the sandbox.
func (n *Node) Stop() error {
	var failures []error
	for _, p := range append(n.processes, n.runtime...) {
		failures = append(failures, p.Stop(stopGrace))
	}
	if n.Cluster != nil {
		failures = append(failures, n.Cluster.Stop())
	}
	return errors.Join(append(failures, n.stopNames())...)
}

// Logs returns the last lines of each component's log.
func (n *Node) Logs(lines int) string {
	var out string
	for _, p := range append(n.runtime, n.processes...) {
		out += fmt.Sprintf("--- %s\n%s\n", p.Name(), p.Tail(lines))
	}
	if n.Cluster != nil {
		out += n.Cluster.Logs(lines)
	}
	return out
}
