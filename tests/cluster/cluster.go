// Package cluster runs a real Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager) on free loopback ports, as any
// user, in a temporary folder. It has no nodes of its own; package fakenode stands in for them, or package realnode adds one.
//
// Starting takes a few seconds, so the tests of one binary share a cluster and give each test a namespace.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	// Progress receives lines while binaries are built; io.Discard where nil.
	Progress io.Writer
	// Node are the addresses of a real node, whose pods reach the API server at the first of them and find it as the service
	// kubernetes. The controllers that a node and its pods need run beside the others.
	Node []string
}

// Cluster is a control plane under way.
type Cluster struct {
	dir       string
	binaries  map[string]string
	node      []string
	ca        *pki.Authority
	server    string
	token     string
	config    *rest.Config
	client    kubernetes.Interface
	processes []*process.Process // in the order of their start
}

// Start brings a control plane up and returns when it serves and its controllers work. The caller stops it.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	version, err := components.ChosenKubernetes()
	if err != nil {
		return nil, err
	}
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	binaries, err := components.Build(ctx, options.Progress, version.ControlPlane()...)
	if err != nil {
		return nil, err
	}
	var failures []error
	for range startTries {
		c := &Cluster{binaries: binaries, node: options.Node}
		err := c.start(ctx, version)
		if err == nil {
			return c, nil
		}
		// Ports are chosen free and taken a moment later: another process may have been quicker.
		failures = append(failures, err, c.Stop())
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("start a cluster: %w", errors.Join(failures...))
}

func (c *Cluster) start(ctx context.Context, version components.Kubernetes) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if c.dir, err = os.MkdirTemp("", "image-refresh-cluster-"); err != nil {
		return err
	}
	if err := c.writeFiles(); err != nil {
		return fmt.Errorf("write the cluster's files: %w", err)
	}
	return c.launch(ctx, version)
}

// Stop ends the cluster and removes its folder.
func (c *Cluster) Stop() error {
	var failures []error
	for _, p := range slices.Backward(c.processes) {
		failures = append(failures, p.Stop(stopGrace))
	}
	c.processes = nil
	return errors.Join(append(failures, os.RemoveAll(c.dir))...)
}

func (c *Cluster) at(name string) string { return filepath.Join(c.dir, name) }

// Config returns an administrator's client configuration, without client-side rate limits.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Client returns an administrator's client.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Server returns the API server's address.
func (c *Cluster) Server() string { return c.server }

// Authority returns the authority that signed the API server's certificate.
func (c *Cluster) Authority() *pki.Authority { return c.ca }

// Kubeconfig returns the path of an administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.at("admin.kubeconfig") }

// Kubectl returns the path of the kubectl that belongs to this version.
func (c *Cluster) Kubectl() string { return c.binaries["kubectl"] }

// Logs returns the last lines of each component's log, for a test that failed.
func (c *Cluster) Logs(lines int) string {
	var all []string
	for _, p := range c.processes {
		all = append(all, p.Log(lines))
	}
	return strings.Join(all, "")
}
