package product

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/tracebloc/image-refresh/tests/process"
)

// Command is one invocation.
type Command struct {
	// Path is the binary, Args what follows its name.
	Path string
	Args []string
	// Env is the whole environment: nothing is inherited but PATH.
	Env []string
	// Dir is its working directory and HOME.
	Dir string
}

// Process is an invocation under way.
type Process struct {
	cmd            *exec.Cmd
	start          time.Time
	stdout, stderr buffer
	ended          chan struct{}
	result         *Result // read only after ended is closed
}

// Result is what an invocation left behind.
type Result struct {
	// ExitCode is -1 where a signal ended the process; Signal is that signal.
	ExitCode int
	Signal   syscall.Signal
	Stdout   string
	Stderr   string
	Duration time.Duration
	// Report is standard output, read as the one JSON object of the contract;
	// nil where it is none, and then ReportErr says why.
	Report    *Report
	ReportErr error
}

// Start runs the command. It is the caller that ends it, not the context.
func Start(ctx context.Context, command Command) (*Process, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), command.Path, command.Args...) //nolint:gosec // running what the test names is the point
	cmd.Dir = command.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + command.Dir}, command.Env...)
	cmd.SysProcAttr = process.Attributes()
	p := &Process{cmd: cmd, start: time.Now(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	started := make(chan error, 1)
	go func() {
		// The kernel's "kill when the parent dies" means the thread that
		// started the child, so that thread must stay for as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.result = p.conclude(cmd.Wait())
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	return p, nil
}

func (p *Process) conclude(err error) *Result {
	result := &Result{
		ExitCode: p.cmd.ProcessState.ExitCode(), Duration: time.Since(p.start),
		Stdout: p.stdout.String(), Stderr: p.stderr.String(),
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			result.Signal = status.Signal()
		}
	}
	result.Report, result.ReportErr = parse(result.Stdout)
	return result
}

// PID is the process's id, as long as it runs.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed once the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait returns what the process left behind, once it has ended.
func (p *Process) Wait() *Result {
	<-p.ended
	return p.result
}

// Signal sends a signal: SIGTERM as an eviction does, SIGKILL as the kernel
// does. A process that has ended already gets none.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s: %w", signal, err)
	}
	return nil
}

// Stderr returns what the process has logged so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// buffer may be read while the process writes to it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
