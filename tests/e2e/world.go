//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/sandbox"
	"github.com/tracebloc/image-refresh/tests/transcript"
)

const (
	chapterTimeout = 10 * time.Minute
	waitTimeout    = 3 * time.Minute
)

// Where the registries are, on the node's network.
const (
	hubAddress  = "172.30.0.10"
	ghcrAddress = "172.30.0.20"
)

const (
	programFile  = "program" // what containers run, in the folder
	pauseImage   = "docker.io/library/pause:1"
	programImage = "ghcr.io/tracebloc/image-refresh"
)

// world is what all chapters share.
type world struct {
	*transcript.Printer
	box     sandbox.Box
	node    *realnode.Node
	site    *registries.Site
	program realnode.Program
	client  kubernetes.Interface
}

// newWorld brings everything up. What is up already is in the world even where
// the rest has failed.
func newWorld(ctx context.Context, n *transcript.Printer, box sandbox.Box) (w *world, err error) {
	w = &world{Printer: n, box: box}
	if w.site, err = registries.Start(ctx, box.Dir); err != nil {
		return w, err
	}
	if w.program, err = realnode.ReadProgram(filepath.Join(box.Dir, programFile)); err != nil {
		return w, err
	}
	if err := w.pushPause(); err != nil {
		return w, err
	}
	if w.node, err = realnode.Prepare(ctx, realnode.Options{
		Dir: box.Dir, Cgroup: box.Cgroup, PauseImage: pauseImage, CAFile: w.site.CAFile, Names: map[string]string{
			"registry-1.docker.io": hubAddress, "index.docker.io": hubAddress, "auth.docker.io": hubAddress,
			"ghcr.io": ghcrAddress,
		},
		Registries: map[string]string{"docker.io": "registry-1.docker.io", "ghcr.io": "ghcr.io"},
	}); err != nil {
		return w, err
	}
	for _, address := range []string{hubAddress, ghcrAddress} {
		if err := w.site.Front.Listen(ctx, net.JoinHostPort(address, "443")); err != nil {
			return w, err
		}
	}
	w.site.DockerHub.LimitPulls(-1)
	if err := w.node.Start(ctx, os.Stderr); err != nil {
		return w, err
	}
	w.client = w.node.Cluster.Client()
	return w, w.furnish()
}

// furnish puts what an operator types about into the folder: the chart, and a
// kubeconfig.
func (w *world) furnish() error {
	tests, err := components.Root()
	if err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(filepath.Dir(tests), "chart"), filepath.Join(w.box.Dir, "chart")); err != nil {
		return err
	}
	return w.node.Cluster.WriteKubeconfig(filepath.Join(w.box.Dir, "operator.kubeconfig"), cluster.Access{})
}

func (w *world) pushPause() error {
	image, err := w.program.Image("linux/amd64", "pause")
	if err != nil {
		return err
	}
	_, err = w.site.Push(pauseImage, registries.Built(image))
	return err
}

func (w *world) stop() error {
	var failures []error
	if w.node != nil {
		failures = append(failures, w.node.Stop())
	}
	if w.site != nil {
		failures = append(failures, w.site.Stop())
	}
	return errors.Join(failures...)
}
