//go:build linux

// Command e2e installs the chart on a real node, as a user does, and tells
// what becomes of it: ticks on the CronJob's schedule and by hand, releases
// that roll out and releases that cannot, registries that refuse, a node that
// dies. Every step is checked by what an operator can see: objects, Events, the
// exit of Jobs, termination messages.
//
// It needs root, Debian's containerd, runc, containernetworking-plugins,
// iptables, iproute2 and buildah, and leaves nothing behind: it runs in a
// sandbox (package sandbox), and its files are in one folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tracebloc/image-refresh/tests/sandbox"
)

func main() {
	sandbox.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code, err := realMain(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: FAILED:", err)
		code = 1
	}
	stop()
	os.Exit(code)
}

// realMain prepares what needs the machine's own network, and then tells the
// story where nothing does.
func realMain(ctx context.Context) (exitCode int, err error) {
	if box, ok := sandbox.Inside(); ok {
		return tell(ctx, box)
	}
	dir, err := os.MkdirTemp("", "image-refresh-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := prepare(ctx, dir); err != nil {
		return 0, err
	}
	return sandbox.Run(ctx, dir)
}
