package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	settleTimeout = 30 * time.Second
	commandGrace  = 5 * time.Second
	tickTimeout   = time.Minute
)

// namespace makes the application's namespace.
func (w *world) namespace(ctx context.Context) error {
	client := w.cluster.Client().CoreV1()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := client.Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make namespace %s: %w", namespace, err)
	}
	return await(ctx, "the namespace can have pods", func() (bool, error) {
		_, err := client.ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, err
	})
}

// install makes Deployments as Helm does, and waits for their pods.
func (w *world) install(ctx context.Context, deployments ...*appsv1.Deployment) error {
	client := w.cluster.Client().AppsV1().Deployments(namespace)
	for _, d := range deployments {
		if _, err := client.Create(ctx, d, metav1.CreateOptions{FieldManager: "helm"}); err != nil {
			return fmt.Errorf("install Deployment %s: %w", d.Name, err)
		}
	}
	for _, d := range deployments {
		if _, err := w.settled(ctx, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until a Deployment is settled, and returns it.
func (w *world) settled(ctx context.Context, name string) (*appsv1.Deployment, error) {
	var read *appsv1.Deployment
	return read, await(ctx, "Deployment "+name+" is settled", func() (bool, error) {
		var err error
		read, err = w.cluster.Client().AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && workloads.Settled(read), err
	})
}

// await polls until a condition holds. What is not there may come.
func await(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		held, err := holds()
		switch {
		case held:
			return nil
		case err != nil && !apierrors.IsNotFound(err):
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// shell runs what an operator types and returns what it printed.
func (w *world) shell(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tickTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line) //nolint:gosec // the lines are the story's
	cmd.Dir, cmd.Env = w.dir, w.environ()
	// A group of its own: Ctrl-C reaches the demo first, which ends all of the group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = commandGrace
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", line, err, output)
	}
	return string(output), nil
}

// refresh runs image-refresh with the given arguments.
func (w *world) refresh(ctx context.Context, line string) (*product.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, tickTimeout)
	defer cancel()
	p, err := product.Start(ctx, product.Command{Path: w.binary, Args: strings.Fields(line)[1:], Env: w.programs, Dir: w.dir})
	if err != nil {
		return nil, err
	}
	select {
	case <-p.Ended():
		return p.Wait(), nil
	case <-ctx.Done():
	}
	err = fmt.Errorf("%s did not end by itself: %w\n%s", line, ctx.Err(), p.Stderr())
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	select {
	case <-p.Ended():
	case <-time.After(commandGrace):
		if err := p.Signal(syscall.SIGKILL); err != nil {
			return nil, err
		}
		<-p.Ended()
	}
	return nil, err
}
