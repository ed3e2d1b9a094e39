package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// namespace is where the application runs.
const namespace = "tracebloc"

// config is what image-refresh is told.
const config = `targets:
  - name: ingestor
    image: ghcr.io/tracebloc/ingestor:0.3
    workloads:
      - {kind: Deployment, name: stg-jobs-manager, container: api, env: INGESTOR_IMAGE_DIGEST}
  - name: jobs-manager
    image: docker.io/tracebloc/jobs-manager:prod
    workloads:
      - {kind: Deployment, name: stg-requests-proxy, container: proxy}
`

// world is all that the story plays in. Everything that it puts on disk is in
// one folder.
type world struct {
	dir      string
	binary   string
	cluster  *cluster.Cluster
	kubelet  *fakenode.Kubelet
	site     *registries.Site
	programs []string // environment of image-refresh
	restore  func() error
}

// newWorld makes the folder. Whatever the builds and the cluster put into
// temporary folders from now on is in it too, and gone with it.
func newWorld() (*world, error) {
	before, was := os.LookupEnv("TMPDIR")
	dir, err := os.MkdirTemp("", "image-refresh-demo-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, restore: func() error { return os.Unsetenv("TMPDIR") }}
	if was {
		w.restore = func() error { return os.Setenv("TMPDIR", before) }
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

// build brings the world up. What is up already is in the world even where the
// rest has failed.
func (w *world) build(ctx context.Context, progress io.Writer) error {
	var all sync.WaitGroup
	var failures [2]error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	side := func(failure *error, do func() error) {
		all.Go(func() {
			if *failure = do(); *failure != nil {
				cancel()
			}
		})
	}
	side(&failures[0], func() (err error) {
		w.binary, err = product.Build(ctx, w.dir, false, progress)
		return err
	})
	side(&failures[1], func() error { return w.start(ctx, progress) })
	all.Wait()
	if err := errors.Join(failures[0], failures[1]); err != nil {
		return err
	}
	return w.furnish(ctx)
}

// start starts the control plane, its one node, and the registries.
func (w *world) start(ctx context.Context, progress io.Writer) (err error) {
	if w.cluster, err = cluster.Start(ctx, cluster.Options{Progress: progress}); err != nil {
		return err
	}
	if w.kubelet, err = fakenode.Start(ctx, w.cluster.Config(), "node"); err != nil {
		return err
	}
	w.site, err = registries.Start(ctx, w.dir)
	return err
}

// furnish writes what the programs read.
func (w *world) furnish(ctx context.Context) error {
	if err := w.namespace(ctx); err != nil {
		return err
	}
	token, err := w.cluster.ServiceAccount(ctx, namespace, "image-refresh", rules()...)
	if err != nil {
		return err
	}
	for name, access := range map[string]cluster.Access{
		"operator.kubeconfig":      {Namespace: namespace},
		"image-refresh.kubeconfig": {Namespace: namespace, Token: token},
	} {
		if err := w.cluster.WriteKubeconfig(filepath.Join(w.dir, name), access); err != nil {
			return err
		}
	}
	w.programs = append(w.site.Environ(), "KUBECONFIG="+filepath.Join(w.dir, "image-refresh.kubeconfig"))
	if err := os.WriteFile(filepath.Join(w.dir, "config.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	return os.Symlink(w.cluster.Kubectl(), filepath.Join(w.dir, "kubectl"))
}

// rules is what the chart grants: each object by its name, and Events.
func rules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{
			APIGroups: []string{"apps"}, Resources: []string{"deployments"}, ResourceNames: []string{manager, proxy},
			Verbs: []string{"get", "list", "watch", "patch"},
		},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create"}},
	}
}

// stop takes down what is up, and removes the folder.
func (w *world) stop() error {
	var failures []error
	if w.site != nil {
		failures = append(failures, w.site.Stop())
	}
	if w.kubelet != nil {
		w.kubelet.Stop()
	}
	if w.cluster != nil {
		failures = append(failures, w.cluster.Stop())
	}
	if err := errors.Join(append(failures, w.restore(), w.remove())...); err != nil {
		return fmt.Errorf("take everything down: %w", err)
	}
	return nil
}

// remove removes the folder. A compiler of a build that was interrupted may
// still be writing there.
func (w *world) remove() (err error) {
	for range 20 {
		if err = os.RemoveAll(w.dir); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// environ is the environment of the programs that an operator runs.
func (w *world) environ() []string {
	return []string{
		"PATH=" + strings.Join([]string{w.dir, os.Getenv("PATH")}, string(os.PathListSeparator)),
		"HOME=" + w.dir, "KUBECONFIG=" + filepath.Join(w.dir, "operator.kubeconfig"),
	}
}
