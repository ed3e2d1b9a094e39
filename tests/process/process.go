package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Command is a server to run.
type Command struct {
	// Name is what errors call it.
	Name string
	// Path is the binary, Args what follows its name.
	Path string
	Args []string
	// Dir is its working directory.
	Dir string
	// LogFile receives its standard output and standard error.
	LogFile string
}

// Process is a server under way.
type Process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	exited  chan struct{}
	err     error // how it ended; read only after exited is closed
}

// Start runs the command. Its environment is empty but for PATH and HOME, so
// that a proxy or a kubeconfig of the person who runs the tests has no say. It
// is the caller that ends it, not the context.
func Start(ctx context.Context, command Command) (*Process, error) {
	log, err := os.Create(command.LogFile)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Name, err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), command.Path, command.Args...) //nolint:gosec // running what the test names is the point
	cmd.Dir = command.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + command.Dir}
	cmd.Stdout = log
	cmd.Stderr = log
	cmd.SysProcAttr = Attributes()
	p := &Process{name: command.Name, logFile: command.LogFile, cmd: cmd, exited: make(chan struct{})}

	started := make(chan error, 1)
	go func() {
		// The kernel's "kill when the parent dies" means the thread that
		// started the child, so that thread must stay for as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		_ = log.Close() // nothing of ours is buffered in it
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Name, err)
	}
	return p, nil
}

// Name returns what errors call the process.
func (p *Process) Name() string { return p.name }

// Exited is closed once the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Stop ends the process: it asks, waits for grace, then kills. It is safe to
// call again.
func (p *Process) Stop(grace time.Duration) error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(grace):
	}
	return p.Kill()
}

// Kill ends the process at once, and returns when it has ended.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.exited
	return nil
}

// Err says how the process ended, with the end of its log.
func (p *Process) Err() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended (%s)\n%s", p.name, p.how(), p.Tail(20))
	default:
		return nil
	}
}

func (p *Process) how() string {
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

// Tail returns the last lines of the log.
func (p *Process) Tail(lines int) string {
	log, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	rows := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(bytes.Join(rows[max(0, len(rows)-lines):], []byte("\n")))
}
