// Command prepare builds what scenario tests and the demo need, with progress
// on standard error. The tests build it too where it is missing, but go test
// holds their output back until they end, and nobody should wait minutes
// before a silent terminal.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tracebloc/image-refresh/tests/components"
)

func main() {
	if err := realMain(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

func realMain() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kubernetes, err := components.ChosenKubernetes()
	if err != nil {
		return err
	}
	_, err = components.Build(ctx, os.Stderr, kubernetes.ControlPlane()...)
	return err
}
