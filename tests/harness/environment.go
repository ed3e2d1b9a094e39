package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/product"
)

// Environment is what the tests of one binary share: a cluster, its kubelets
// and the program, built once.
type Environment struct {
	Cluster *cluster.Cluster
	Kubelet *fakenode.Kubelet
	// Binary is the program under test; Race tells that it has the race
	// detector in it.
	Binary string
	Race   bool

	dir string

	mu       sync.Mutex
	captured []Captured
	secrets  []string // of every scenario
}

// Captured is what one run of the program printed.
type Captured struct {
	Test string
	Args []string
	product.Result
}

// Options is what may differ between environments.
type Options struct {
	// Binary is the program under test; empty means that it is built from this
	// repository, with the race detector where RACE=1.
	Binary string
	// Progress receives lines while binaries are built; io.Discard where nil.
	Progress io.Writer
}

// Start builds what is missing and brings a cluster with two nodes up.
func Start(ctx context.Context, options Options) (_ *Environment, err error) {
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	dir, err := os.MkdirTemp("", "image-refresh-harness-")
	if err != nil {
		return nil, err
	}
	e := &Environment{dir: dir, Binary: options.Binary}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Stop())
		}
	}()
	if e.Binary == "" {
		e.Race = os.Getenv("RACE") == "1"
		if e.Binary, err = product.Build(ctx, dir, e.Race, options.Progress); err != nil {
			return nil, err
		}
	}
	if e.Cluster, err = cluster.Start(ctx, cluster.Options{Progress: options.Progress}); err != nil {
		return nil, err
	}
	if e.Kubelet, err = fakenode.Start(ctx, e.Cluster.Config(), "node-a", "node-b"); err != nil {
		return nil, err
	}
	return e, nil
}

// Stop ends everything that Start began.
func (e *Environment) Stop() error {
	var failures []error
	if e.Kubelet != nil {
		e.Kubelet.Stop()
	}
	if e.Cluster != nil {
		failures = append(failures, e.Cluster.Stop())
	}
	return errors.Join(append(failures, os.RemoveAll(e.dir))...)
}

// Captured returns what every run of the program printed so far, for a test
// that looks for something which must be in none of it.
func (e *Environment) Captured() []Captured {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Captured(nil), e.captured...)
}

func (e *Environment) capture(c Captured) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.captured = append(e.captured, c)
}

// Main runs the tests of a package in an environment and returns the exit
// code for TestMain: 1 also where anything that the suite printed holds a
// secret. Ctrl-C ends the environment too.
func Main(m *testing.M, options Options, use func(*Environment)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e, err := Start(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	var once sync.Once
	end := func() {
		once.Do(func() {
			if err := e.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, "harness:", err)
			}
		})
	}
	defer end()
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-ctx.Done():
			end()
			stop() // from here a signal does what it does to any program
			_ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
		case <-finished:
		}
	}()
	use(e)
	code := m.Run()
	for _, leak := range e.Leaks() {
		fmt.Fprintln(os.Stderr, "harness:", leak)
		code = max(code, 1)
	}
	return code
}
