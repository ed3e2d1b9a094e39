package main

import (
	"context"
	"strings"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// execute shows a command, runs it as shown, and shows what it printed.
func (s *story) execute(ctx context.Context, line string) (string, error) {
	s.Command(line)
	printed, err := s.shell(ctx, line)
	if err != nil {
		return "", err
	}
	s.Output(printed)
	return printed, nil
}

// typed does the same, and checks that it printed what the story says.
func (s *story) typed(ctx context.Context, line string, wanted ...string) error {
	printed, err := s.execute(ctx, line)
	if err != nil {
		return err
	}
	for _, want := range wanted {
		if err := expect(strings.Contains(printed, want), "%s did not print %s", line, want); err != nil {
			return err
		}
	}
	return nil
}

// row is the outcome of a target, with its cause, as the table ends its row.
type row struct{ target, outcome string }

// tick runs one tick, shows it, and checks its exit code and its table.
func (s *story) tick(ctx context.Context, exit int, rows ...row) error {
	s.Command(tickLine)
	result, err := s.refresh(ctx, tickLine)
	if err != nil {
		return err
	}
	s.Output(result.Stdout)
	s.Exit(result.ExitCode)
	if err := expect(result.ExitCode == exit, "the tick ended with %d, not with %d; its log:\n%s", result.ExitCode, exit, result.Stderr); err != nil {
		return err
	}
	for _, row := range rows {
		if err := expect(hasRow(result.Stdout, row), "the table does not say that %s is %s; the tick's log:\n%s", row.target, row.outcome, result.Stderr); err != nil {
			return err
		}
	}
	return nil
}

func hasRow(table string, row row) bool {
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, row.target+" ") && strings.HasSuffix(line, "  "+row.outcome) {
			return true
		}
	}
	return false
}

// holds checks what the manager's variable holds, and after how many rollouts.
func (s *story) holds(ctx context.Context, rollouts int, digest string) error {
	d, err := s.settled(ctx, manager)
	if err != nil {
		return err
	}
	value, _ := workloads.EnvValue(d, "api", slot)
	if err := expect(value == digest, "%s of %s is %q, not %q", slot, manager, value, digest); err != nil {
		return err
	}
	return expect(workloads.Revision(d) == rollouts, "%s was rolled out %d times, not %d", manager, workloads.Revision(d), rollouts)
}

// counted checks the count of failures of the target ingestor, which nobody has to look at yet.
func (s *story) counted(ctx context.Context, count string) error {
	d, err := s.settled(ctx, manager)
	if err != nil {
		return err
	}
	if err := expect(d.Annotations[failuresKey] == count, "%s is %q, not %q", failuresKey, d.Annotations[failuresKey], count); err != nil {
		return err
	}
	_, there := d.Annotations[lastErrorKey]
	return expect(!there, "%s is there already", lastErrorKey)
}

// mark is the label's value for a digest.
func mark(digest string) string { return strings.TrimPrefix(digest, "sha256:")[:40] }
