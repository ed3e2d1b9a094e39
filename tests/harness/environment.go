package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/product"
)

// Environment is what the tests of one binary share: a cluster with two nodes, and the program, built once.
type Environment struct {
	Cluster *cluster.Cluster
	Kubelet *fakenode.Kubelet
	// Binary is the program under test; Race tells that it has the race detector in it.
	Binary string
	Race   bool

	dir string

	mu       sync.Mutex
	captured []captured
	secrets  []string // of every scenario
}

// captured is what one run of the program printed.
type captured struct {
	test string
	args []string
	*product.Result
}

// Options is what may differ between environments.
type Options struct {
	// Binary is the program under test; empty means that it is built from this repository, with the race detector where RACE=1.
	Binary string
	// Progress receives lines while binaries are built.
	Progress io.Writer
}

// Start builds what is missing and brings a cluster up.
func Start(ctx context.Context, options Options) (_ *Environment, err error) {
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
	both, ctx := errgroup.WithContext(ctx)
	if e.Binary == "" {
		e.Race = os.Getenv("RACE") == "1"
		both.Go(func() (err error) {
			e.Binary, err = product.Build(ctx, dir, e.Race, options.Progress)
			return err
		})
	}
	both.Go(func() (err error) {
		if e.Cluster, err = cluster.Start(ctx, cluster.Options{Progress: options.Progress}); err == nil {
			e.Kubelet, err = fakenode.Start(ctx, e.Cluster.Config(), "node-a", "node-b")
		}
		return err
	})
	return e, both.Wait()
}

// Stop ends everything that Start began.
func (e *Environment) Stop() error {
	var failure error
	if e.Kubelet != nil {
		e.Kubelet.Stop()
	}
	if e.Cluster != nil {
		failure = e.Cluster.Stop()
	}
	return errors.Join(failure, os.RemoveAll(e.dir))
}

func (e *Environment) capture(c captured) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.captured = append(e.captured, c)
}

// runs returns what was captured so far of a test, or of all where its name is empty.
func (e *Environment) runs(test string) []captured {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.captured), func(c captured) bool { return test != "" && c.test != test })
}

// leaks looks through everything that was printed so far, for the secrets of every scenario and for what looks like one, and
// says which runs printed some.
func (e *Environment) leaks() []string {
	e.mu.Lock()
	hold := holdsAny(e.secrets)
	e.mu.Unlock()
	var leaks []string
	for _, run := range e.runs("") {
		if text := run.Stdout + run.Stderr; hold(text) || credentials.MatchString(text) {
			leaks = append(leaks, run.test+": a run printed a secret: "+strings.Join(run.args, " "))
		}
	}
	return leaks
}

// Main runs the tests of a package in an environment and returns the exit code for TestMain: 1 also where anything that the
// suite printed holds a secret. Ctrl-C ends the environment too.
func Main(m *testing.M, options Options, use func(*Environment)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e, err := Start(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	end := sync.OnceFunc(func() {
		if err := e.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "harness:", err)
		}
	})
	defer end()
	finished := context.AfterFunc(ctx, func() {
		end()
		stop() // from here a signal does what it does to any program
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
	})
	defer finished()
	use(e)
	code := m.Run()
	for _, leak := range e.leaks() {
		fmt.Fprintln(os.Stderr, "harness:", leak)
		code = max(code, 1)
	}
	return code
}
