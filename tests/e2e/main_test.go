//go:build e2e && linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/tracebloc/image-refresh/tests/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// run prepares what needs the machine's own network, and then runs the suites where nothing does.
func run(m *testing.M) (exitCode int, err error) {
	if box, ok := sandbox.Inside(); ok {
		if err := os.Setenv("TMPDIR", box.Dir); err != nil {
			return 1, err
		}
		env, err = newEnvironment(context.Background(), box)
		defer func() { err = errors.Join(err, env.stop()) }()
		if err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	dir, err := os.MkdirTemp("", "image-refresh-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := prepare(ctx, dir); err != nil {
		return 1, err
	}
	return sandbox.Run(ctx, dir)
}
