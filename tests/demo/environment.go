package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const (
	namespace      = "tracebloc" // where the application runs
	commandTimeout = time.Minute
)

// config is what image-refresh is told.
const config = `targets:
  - name: ingestor
    image: ` + ingestorImage + `
    workloads:
      - {kind: Deployment, name: stg-jobs-manager, container: api, env: INGESTOR_IMAGE_DIGEST}
  - name: jobs-manager
    image: ` + managerImage + `
    workloads:
      - {kind: Deployment, name: stg-requests-proxy, container: proxy}
`

// environment is all that the demo runs in. What it puts on disk is in one folder.
type environment struct {
	*harness.Environment
	dir     string
	site    *registries.Site
	unblock func()
}

// start brings everything up. What is up already is in the environment even where the rest has failed.
func start(ctx context.Context, progress io.Writer) (*environment, error) {
	dir, err := os.MkdirTemp("", "image-refresh-demo-")
	if err != nil {
		return &environment{}, err
	}
	e := &environment{dir: dir}
	// Whatever the builds and the cluster put into temporary folders from now on is gone with it.
	if err = os.Setenv("TMPDIR", dir); err != nil {
		return e, err
	}
	if e.Environment, err = harness.Start(ctx, harness.Options{Progress: progress}); err != nil {
		return e, err
	}
	if e.site, err = registries.Start(ctx, dir); err != nil {
		return e, err
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := e.Cluster.Client().CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return e, err
	}
	return e, errors.Join(
		e.Cluster.WriteKubeconfig(filepath.Join(dir, "kubeconfig"), cluster.Access{Namespace: namespace}),
		os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600),
		os.Symlink(e.Cluster.Kubectl(), filepath.Join(dir, "kubectl")),
		os.Symlink(e.Binary, filepath.Join(dir, "image-refresh")),
	)
}

// stop takes down what is up, and removes the folder. A compiler of a build that was interrupted may still be writing there.
func (e *environment) stop() error {
	var failures []error
	if e.site != nil {
		failures = append(failures, e.site.Stop())
	}
	if e.Environment != nil {
		failures = append(failures, e.Stop())
	}
	err := os.RemoveAll(e.dir)
	for try := 0; err != nil && try < 20; try++ {
		time.Sleep(100 * time.Millisecond)
		err = os.RemoveAll(e.dir)
	}
	return errors.Join(append(failures, err)...)
}

// shell runs what an operator types, and returns what it printed to standard output and standard error, and how it ended.
func (e *environment) shell(ctx context.Context, line string) (printed, problems string, exit int, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", line) //nolint:gosec // the lines are the script's
	cmd.Dir, cmd.Stdout, cmd.Stderr = e.dir, &stdout, &stderr
	cmd.Env = append(e.site.Environ(), "PATH="+e.dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+e.dir,
		"KUBECONFIG="+filepath.Join(e.dir, "kubeconfig"))
	// A group of its own: Ctrl-C reaches the demo first, which ends all of the group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); cmd.ProcessState == nil || ctx.Err() != nil {
		return "", "", 0, fmt.Errorf("%s: %w\n%s", line, errors.Join(err, ctx.Err()), &stderr)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), nil
}
