// Command demo tells the story of image-refresh on a real control plane: a tag
// moves and the rollout follows; one registry is blocked at the egress proxy,
// the ticks count, and then fail where an operator looks; it is unblocked, and
// all is well. Every command that it shows is run as shown, and every step is
// checked against what the narration says.
//
// It needs Go and no root, and leaves nothing behind: no process, and no file
// but the builds in the user's cache.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/tracebloc/image-refresh/tests/transcript"
)

func main() {
	// With SIGPIPE among them, a reader that has gone away (make demo | head)
	// ends the demo in order, too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := run(ctx, &transcript.Printer{Out: os.Stdout, Colours: coloured(os.Stdout)}, os.Stderr)
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

// errStory is a step that did not do what the narration says.
var errStory = errors.New("the story does not hold")

// expect is an error where a condition does not hold.
func expect(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf("%w: %s", errStory, fmt.Sprintf(format, args...))
}
