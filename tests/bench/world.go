package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const account = "bench"

// world is what every figure is taken in: a control plane, registries behind an egress proxy, ways to both whose
// length can be set, and the programs that are compared. Everything that it puts on disk is in one folder.
type world struct {
	dir     string
	binary  string // image-refresh, as it is shipped
	launch  string
	crane   string
	scripts string

	cluster *cluster.Cluster
	kubelet *fakenode.Kubelet
	site    *registries.Site
	api     *apiproxy.Proxy // counts
	far     struct{ api, registries *relay }

	home  string // the namespace of the account
	token string
	runs  int
}

// newWorld brings everything up. What is up already is in the world even where the rest has failed.
func newWorld(ctx context.Context, binary string, progress io.Writer) (w *world, err error) {
	w = &world{}
	if w.dir, err = os.MkdirTemp("", "image-refresh-bench-"); err != nil {
		return w, err
	}
	if w.binary, err = filepath.Abs(binary); err != nil {
		return w, err
	}
	if _, err = os.Stat(w.binary); err != nil {
		return w, fmt.Errorf("the program to measure is not built: make build: %w", err)
	}
	if err = w.tools(ctx, progress); err != nil {
		return w, err
	}
	if w.cluster, err = cluster.Start(ctx, cluster.Options{Progress: progress}); err != nil {
		return w, err
	}
	if w.kubelet, err = fakenode.Start(ctx, w.cluster.Config(), "node-a", "node-b"); err != nil {
		return w, err
	}
	if w.site, err = registries.Start(ctx, w.dir); err != nil {
		return w, err
	}
	if w.api, err = apiproxy.Start(ctx, w.cluster.Server(), w.cluster.Authority()); err != nil {
		return w, err
	}
	if w.far.api, err = newRelay(ctx, strings.TrimPrefix(w.cluster.Server(), "https://")); err != nil {
		return w, err
	}
	proxy, err := url.Parse(w.site.Proxy.URL())
	if err != nil {
		return w, err
	}
	if w.far.registries, err = newRelay(ctx, proxy.Host); err != nil {
		return w, err
	}
	if w.home, err = w.cluster.Namespace(ctx, "bench"); err != nil {
		return w, err
	}
	w.token, err = w.cluster.ServiceAccount(ctx, w.home, account, rules()...)
	return w, err
}

// tools builds what is measured beside image-refresh, and what measures.
func (w *world) tools(ctx context.Context, progress io.Writer) error {
	tests, err := components.Root()
	if err != nil {
		return err
	}
	w.scripts = filepath.Join(tests, "bench", "yardsticks")
	w.launch = filepath.Join(w.dir, "launch")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", w.launch, "./bench/launch") //nolint:gosec // constants and a folder of ours
	build.Dir, build.Stderr = tests, progress
	if err := build.Run(); err != nil {
		return fmt.Errorf("build what measures: %w", err)
	}
	install := exec.CommandContext(ctx, filepath.Join(tests, "tools", "install"), "crane") //nolint:gosec // a script of this repository
	install.Stderr = progress
	path, err := install.Output()
	if err != nil {
		return fmt.Errorf("install crane: %w", err)
	}
	w.crane = strings.TrimSpace(string(path))
	for _, tool := range []string{"bash", "curl", "jq", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("the benchmark compares with what needs %s: install it (on Debian, apt-get install %s)", tool, tool)
		}
	}
	return nil
}

// rules are what a tick needs, and the loops too.
func rules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create"}},
	}
}

// stop takes down what is up.
func (w *world) stop() error {
	var failures []error
	for _, way := range []*relay{w.far.api, w.far.registries} {
		if way != nil {
			way.stop()
		}
	}
	if w.api != nil {
		failures = append(failures, w.api.Stop())
	}
	if w.site != nil {
		failures = append(failures, w.site.Stop())
	}
	if w.kubelet != nil {
		w.kubelet.Stop()
	}
	if w.cluster != nil {
		failures = append(failures, w.cluster.Stop())
	}
	return errors.Join(append(failures, os.RemoveAll(w.dir))...)
}

// distance is how far away registries and API server are, as the time of a round trip.
type distance struct{ registries, api time.Duration }

// environ leads a program to the cluster and the registries. Without any distance nothing stands between but the
// egress proxy; counted leads it past what records each request to the API server.
func (w *world) environ(far distance, counted bool) ([]string, error) {
	server, proxy := w.cluster.Server(), w.site.Proxy.URL()
	if far.api > 0 {
		w.far.api.set(far.api)
		server = "https://" + w.far.api.address
	}
	if far.registries > 0 {
		w.far.registries.set(far.registries)
		proxy = "http://" + w.far.registries.address
	}
	if counted {
		server = w.api.URL()
	}
	kubeconfig := filepath.Join(w.dir, "kubeconfig")
	if err := w.cluster.WriteKubeconfig(kubeconfig, cluster.Access{Server: server, Token: w.token, Namespace: w.home}); err != nil {
		return nil, err
	}
	return []string{
		"KUBECONFIG=" + kubeconfig, "HTTPS_PROXY=" + proxy, "HTTP_PROXY=" + proxy, "NO_PROXY=127.0.0.1",
		"SSL_CERT_FILE=" + w.site.CAFile, "SSL_CERT_DIR=/nonexistent", "CURL_CA_BUNDLE=" + w.site.CAFile,
		"PATH=" + strings.Join([]string{w.bin(), os.Getenv("PATH")}, string(os.PathListSeparator)),
	}, nil
}

// bin is a folder with the tools under the names that the loops know.
func (w *world) bin() string {
	bin := filepath.Join(w.dir, "bin")
	if err := os.Mkdir(bin, 0o750); err == nil {
		_ = os.Symlink(w.cluster.Kubectl(), filepath.Join(bin, "kubectl")) // a loop that does not find it says so
		_ = os.Symlink(w.crane, filepath.Join(bin, "crane"))
	}
	return bin
}
