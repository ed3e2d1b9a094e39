// Command bench measures image-refresh beside what people use instead, on a real control plane and real registries
// of this machine, and writes the report docs/benchmarks.md:
//
//	make bench
//
// Each figure is a median over runs of programs that took turns, so that what disturbed the machine disturbed all of
// them, and each ratio the median of the ratios run by run. It fails where a budget is broken that no machine can
// break: requests, writes, sizes. Times it reports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("binary", "", "image-refresh, built as it is shipped")
	report := flag.String("report", "", "where to write the report; standard output where empty")
	rounds := flag.Int("rounds", 15, "runs of each contender in the shortest comparison")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measure(ctx, *binary, *report, *rounds, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: FAILED:", err)
		os.Exit(1)
	}
}

var errBudget = errors.New("a budget is broken")

// measure takes every figure and writes the report, which is whole or not there.
func measure(ctx context.Context, binary, report string, rounds int, out, progress io.Writer) (err error) {
	started := time.Now()
	w, err := newWorld(ctx, binary, progress)
	defer func() { err = errors.Join(err, w.stop()) }()
	if err != nil {
		return err
	}
	b := &bench{world: w, rounds: rounds, progress: progress, started: time.Now(), built: time.Since(started)}
	if b.machine, err = describe(ctx, w); err != nil {
		return err
	}
	for _, section := range []func(context.Context) error{b.small, b.unchanged, b.refreshed, b.growth} {
		if err := section(ctx); err != nil {
			return err
		}
	}
	text := b.report()
	if report != "" {
		if err := os.WriteFile(report, []byte(text), 0o644); err != nil { //nolint:gosec // documentation is for everyone
			return err
		}
	}
	_, _ = io.WriteString(out, text) // nobody must be there to read it
	if broken := b.broken(); len(broken) > 0 {
		return fmt.Errorf("%w: %s", errBudget, strings.Join(broken, "; "))
	}
	return nil
}
