//go:build e2e && linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"k8s.io/client-go/kubernetes"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/sandbox"
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// run prepares what needs the machine's own network, and then runs the suites where nothing does.
func run(m *testing.M) (exitCode int, err error) {
	if box, ok := sandbox.Inside(); ok {
		if err := os.Setenv("TMPDIR", box.Dir); err != nil {
			return 1, err
		}
		env, err = newEnvironment(context.Background(), box)
		defer func() { err = errors.Join(err, env.stop()) }()
		if err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	dir, err := os.MkdirTemp("", "image-refresh-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := prepare(ctx, dir); err != nil {
		return 1, err
	}
	return sandbox.Run(ctx, dir)
}

// Where the registries are, on the node's network.
const (
	hubAddress  = "172.30.0.10"
	ghcrAddress = "172.30.0.20"
)

const (
	pauseImage   = "docker.io/library/pause:1"
	programImage = "ghcr.io/tracebloc/image-refresh"
)

// env is what all suites share. TestMain brings it up.
var env *environment

type environment struct {
	box     sandbox.Box
	node    *realnode.Node
	site    *registries.Site
	program []byte
	client  kubernetes.Interface
}

// newEnvironment brings everything up. What is up already is in the environment even where the rest has failed.
func newEnvironment(ctx context.Context, box sandbox.Box) (e *environment, err error) {
	e = &environment{box: box}
	if e.site, err = registries.Start(ctx, box.Dir); err != nil {
		return e, err
	}
	if e.program, err = os.ReadFile(filepath.Join(box.Dir, programFile)); err != nil {
		return e, err
	}
	if err := e.pushImages(); err != nil {
		return e, err
	}
	if e.node, err = realnode.Prepare(ctx, realnode.Options{
		Dir: box.Dir, Cgroup: box.Cgroup, PauseImage: pauseImage, CAFile: e.site.CAFile, Names: map[string]string{
			"registry-1.docker.io": hubAddress, "index.docker.io": hubAddress, "auth.docker.io": hubAddress,
			"ghcr.io": ghcrAddress, metadataName: metadataAddress, "agent.internal": agentAddress,
		},
	}); err != nil {
		return e, err
	}
	for _, address := range []string{hubAddress, ghcrAddress} {
		if err := e.site.Front.Listen(ctx, net.JoinHostPort(address, "443")); err != nil {
			return e, err
		}
	}
	e.site.DockerHub.LimitPulls(-1)
	if err := e.node.Start(ctx, os.Stderr); err != nil {
		return e, err
	}
	e.client = e.node.Cluster.Client()
	return e, e.node.Cluster.WriteKubeconfig(filepath.Join(box.Dir, "operator.kubeconfig"), cluster.Access{})
}

// pushImages publishes what every pod starts first, and the program's image.
func (e *environment) pushImages() error {
	pause, err := realnode.Image(e.program, "linux/amd64", "pause")
	if err != nil {
		return err
	}
	if _, err := e.site.Push(pauseImage, registries.Built(pause)); err != nil {
		return err
	}
	index, err := index(platforms(), e.built)
	if err != nil {
		return err
	}
	_, err = e.site.Push(programImage+":"+version, registries.BuiltIndex(index))
	return err
}

// built is the image that buildah made for a platform, from an OCI layout.
func (e *environment) built(platform string) (v1.Image, error) {
	return readLayout(filepath.Join(e.box.Dir, layoutOf(platform)))
}

func readLayout(path string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, err
	}
	images, err := partial.FindImages(index, func(v1.Descriptor) bool { return true })
	if err != nil || len(images) != 1 {
		return nil, fmt.Errorf("%s is to hold one image, not %d: %w", path, len(images), err)
	}
	return images[0], nil
}

// index makes an index of one image a platform.
func index(platforms []string, image func(platform string) (v1.Image, error)) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range platforms {
		image, err := image(platform)
		if err != nil {
			return nil, err
		}
		parsed, err := v1.ParsePlatform(platform)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: parsed}})
	}
	return index, nil
}

func (e *environment) stop() error {
	var failures []error
	if e.node != nil {
		failures = append(failures, e.node.Stop())
	}
	if e.site != nil {
		failures = append(failures, e.site.Stop())
	}
	return errors.Join(failures...)
}
