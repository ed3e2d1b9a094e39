// Package product builds the program under test from this repository and runs it as its users do: a process with an environment,
// whose exit code, standard output and standard error are all there is to see.
package product

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/process"
)

// Command is one invocation.
type Command struct {
	Path string
	Args []string // without its name
	Env  []string // all of it: nothing is inherited but PATH
	Dir  string   // its working directory and HOME
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
	// Report is standard output, read as the one JSON object of the contract; nil where it is none, and then ReportErr says why.
	Report    *Report
	ReportErr error
}

// Start runs the command. It is the caller that ends it, not the context.
func Start(ctx context.Context, command Command) (*Process, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), command.Path, command.Args...) //nolint:gosec // running what the test names is the point
	cmd.Dir = command.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + command.Dir}, command.Env...)
	p := &Process{cmd: cmd, start: time.Now(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	if err := process.Launch(cmd, p.conclude); err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	return p, nil
}

func (p *Process) conclude(error) {
	p.result = &Result{
		ExitCode: p.cmd.ProcessState.ExitCode(), Duration: time.Since(p.start), Stdout: p.stdout.String(), Stderr: p.stderr.String(),
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.result.Signal = status.Signal()
	}
	p.result.Report, p.result.ReportErr = parse(p.result.Stdout)
	close(p.ended)
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

// Signal sends a signal: SIGTERM as an eviction does, SIGKILL as the kernel does. A process that has ended already gets none.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s: %w", signal, err)
	}
	return nil
}

// Stderr returns what the process has logged so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// PeakMemory returns the most memory, in bytes, that the process has held at once so far. It must still run.
//
// What the kernel reports of a child that has ended (getrusage) is no use: a child starts in its parent's memory, and is charged
// with the peak of that.
func (p *Process) PeakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the memory of the process: %w", err)
	}
	_, peak, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0, errors.New("the process has no memory any more")
	}
	kilobytes, err := strconv.ParseInt(strings.Fields(peak)[0], 10, 64)
	return kilobytes << 10, err
}

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

// Build compiles the program into dir and returns its path; with the race detector where race is set, else as it is shipped. Go's
// own cache makes a second build quick.
func Build(ctx context.Context, dir string, race bool, progress io.Writer) (string, error) {
	tests, err := components.Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "image-refresh")
	args, cgo := []string{"build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", binary}, "0"
	if race {
		// The race detector is a C library. Without -trimpath the build shares what go test -race has compiled already.
		args, cgo = []string{"build", "-race", "-o", binary}, "1"
	}
	//nolint:gosec // the arguments are constants and a path of the caller's
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/image-refresh")...)
	cmd.Dir = filepath.Dir(tests)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOWORK=off", "PWD="+cmd.Dir)
	_, _ = fmt.Fprintf(progress, "image-refresh: building the program under test (race detector: %t)\n", race) // nobody must be there to read it
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, output)
	}
	return binary, nil
}
