// Command image-refresh keeps floating image references fresh: one run is one tick.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the zones of windows travel with the program: its image has no others

	"github.com/sethvargo/go-envconfig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := realMain(ctx, os.Args, envconfig.OsLookuper(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
