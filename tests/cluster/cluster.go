package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/process"
)

const (
	startTimeout = 60 * time.Second
	stopGrace    = 2 * time.Second
	startTries   = 3
)

// Options is what may differ between clusters.
type Options struct {
	// Kubernetes is the version; components.ChosenKubernetes where empty.
	Kubernetes components.Kubernetes
	// Progress receives lines while binaries are built; io.Discard where nil.
	Progress io.Writer
	// Node are the addresses of a real node, whose pods reach the API server at
	// the first of them and find it as the service kubernetes. The controllers
	// that a node and its pods need run beside the others.
	Node []string
}

// Cluster is a control plane under way.
type Cluster struct {
	dir       string
	kubectl   string
	node      []string
	ca        *pki.Authority
	server    string
	token     string
	config    *rest.Config
	client    kubernetes.Interface
	processes []*process.Process // in the order of their start
}

// Start brings a control plane up and returns when it serves and its
// controllers work. The caller stops it.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	if options.Kubernetes == "" {
		chosen, err := components.ChosenKubernetes()
		if err != nil {
			return nil, err
		}
		options.Kubernetes = chosen
	}
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	binaries, err := build(ctx, options)
	if err != nil {
		return nil, err
	}
	var failures []error
	for range startTries {
		c, err := start(ctx, binaries, options.Node)
		if err == nil {
			return c, nil
		}
		// Ports are chosen free and taken a moment later: another process
		// may have been quicker.
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("start a cluster: %w", errors.Join(failures...))
}

type binaries struct {
	etcd, apiServer, controllerManager, kubectl string
	consistency                                 bool // the controllers know withoutConsistency
}

func build(ctx context.Context, options Options) (binaries, error) {
	b := binaries{consistency: options.Kubernetes != components.Kubernetes134}
	for _, c := range []struct {
		component components.Component
		path      *string
	}{
		{components.Etcd(), &b.etcd},
		{options.Kubernetes.APIServer(), &b.apiServer},
		{options.Kubernetes.ControllerManager(), &b.controllerManager},
		{options.Kubernetes.Kubectl(), &b.kubectl},
	} {
		path, err := c.component.Build(ctx, options.Progress)
		if err != nil {
			return binaries{}, err
		}
		*c.path = path
	}
	return b, nil
}

func start(ctx context.Context, b binaries, node []string) (_ *Cluster, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "image-refresh-cluster-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, kubectl: b.kubectl, node: node}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	files, err := c.prepare()
	if err != nil {
		return nil, err
	}
	if err := c.launch(ctx, b, files); err != nil {
		return nil, err
	}
	return c, nil
}

// Stop ends the cluster and removes its folder.
func (c *Cluster) Stop() error {
	var failures []error
	for i := len(c.processes) - 1; i >= 0; i-- {
		failures = append(failures, c.processes[i].Stop(stopGrace))
	}
	c.processes = nil
	return errors.Join(append(failures, os.RemoveAll(c.dir))...)
}

// Config returns an administrator's client configuration, without client-side
// rate limits.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Client returns an administrator's client.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Server returns the API server's address.
func (c *Cluster) Server() string { return c.server }

// Authority returns the authority that signed the API server's certificate.
func (c *Cluster) Authority() *pki.Authority { return c.ca }

// Kubeconfig returns the path of an administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// Kubectl returns the path of the kubectl that belongs to this version.
func (c *Cluster) Kubectl() string { return c.kubectl }

// Logs returns the last lines of each component's log, for a test that failed.
func (c *Cluster) Logs(lines int) string {
	var out string
	for _, p := range c.processes {
		out += fmt.Sprintf("--- %s\n%s\n", p.Name(), p.Tail(lines))
	}
	return out
}
