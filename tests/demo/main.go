// Command demo shows image-refresh at work on a real control plane: a tag moves and the rollout follows; one registry is
// blocked at the egress proxy, the ticks count, and then fail where an operator looks; it is unblocked, and all is well. Every
// command that it shows is run as shown, and what comes of it is checked.
//
// It needs Go and no root, and leaves nothing behind: no process, and no file but the builds in the user's cache.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/tracebloc/image-refresh/tests/components"
)

func main() {
	// With SIGPIPE among them, a reader that has gone away (make demo | head) ends the demo in order, too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := run(ctx, printer{os.Stdout, coloured(os.Stdout)}, os.Stderr)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted; nothing of it is left")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		os.Exit(1)
	}
}

// coloured says whether somebody looks who wants colours (no-color.org).
func coloured(file *os.File) bool {
	return term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// The colours, as a terminal takes them.
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	plain = "\x1b[0m"
)

type printer struct {
	out     io.Writer
	colours bool
}

// line prints a line, or more. A reader that has gone away is noticed by a signal.
func (p printer) line(colour, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.colours {
		text = colour + text + plain
	}
	_, _ = fmt.Fprintln(p.out, text)
}

// run plays the script and takes everything down, whatever becomes of it.
func run(ctx context.Context, p printer, progress io.Writer) error {
	begun := time.Now()
	kubernetes, err := components.ChosenKubernetes()
	if err != nil {
		return err
	}
	p.line(bold, "image-refresh, on a real Kubernetes control plane (%s) and real registries", kubernetes)
	p.line(dim, "docker.io and ghcr.io are served on this machine, under their real names, behind an egress proxy.")
	p.line(dim, "Pods are played, not run. Every command below is run as it stands here.")
	e, err := start(ctx, progress)
	if err == nil {
		p.line(dim, "Up after %.1f s.", time.Since(begun).Seconds())
		err = play(ctx, p, e)
	}
	if err := errors.Join(err, e.stop()); err != nil {
		return err
	}
	p.line(dim, "\nDone after %.1f s. The control plane, the registries and their files are gone.", time.Since(begun).Seconds())
	return nil
}
