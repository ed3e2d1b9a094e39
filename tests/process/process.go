// Package process runs the processes that a test needs beside itself and sees to it that none outlives the test: each is stopped by
// its own process id, and on Linux the kernel kills it when the test dies without saying goodbye (a panic, a timeout, kill -9).
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Launch starts a command, and calls ended with what its Wait returns.
func Launch(cmd *exec.Cmd, ended func(error)) error {
	cmd.SysProcAttr = attributes()
	started := make(chan error, 1)
	go func() {
		// The kernel's "kill when the parent dies" means the thread that started the child, so that thread must stay for as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(cmd.Wait())
		}
	}()
	return <-started
}

// Process is a server under way.
type Process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// Start runs a server in a folder, in which its log is NAME.log. Its environment is empty but for PATH and HOME, so that a proxy or
// a kubeconfig of the person who runs the tests has no say. It is the caller that ends it, not the context.
func Start(ctx context.Context, dir, name, path string, args ...string) (*Process, error) {
	p := &Process{name: name, logFile: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.Create(p.logFile)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()                                     // the child has its own
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), path, args...) //nolint:gosec // running what the test names is the point
	p.cmd.Dir, p.cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := Launch(p.cmd, func(error) { close(p.exited) }); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// Stop ends the process: it asks, waits for grace, then kills. It is safe to call again.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(grace):
		return p.Kill()
	}
}

// Kill ends the process at once, and returns when it has ended.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.exited
	return nil
}

// Err says how the process ended, with the end of its log; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.exited:
		return fmt.Errorf("it ended (%s)\n%s", p.cmd.ProcessState, p.Log(20))
	default:
		return nil
	}
}

// Log returns the last lines of the log, under the process's name.
func (p *Process) Log(lines int) string {
	log, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	rows := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return fmt.Sprintf("--- %s\n%s\n", p.name, bytes.Join(rows[max(0, len(rows)-lines):], []byte("\n")))
}

// Await polls until a condition holds, and gives up as soon as one of the processes has died.
func Await(ctx context.Context, what string, holds func() bool, processes ...*Process) error {
	for !holds() {
		for _, p := range processes {
			if err := p.Err(); err != nil {
				return fmt.Errorf("wait until %s: %w", what, err)
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			err := fmt.Errorf("wait until %s: %w", what, ctx.Err())
			for _, p := range processes {
				err = fmt.Errorf("%w\n%s", err, p.Log(10))
			}
			return err
		}
	}
	return nil
}
