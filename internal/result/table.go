package result

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// WriteTable prints the report for people: a line a slot, then why where there is something to say.
func (r Report) WriteTable(w io.Writer, style Style) error {
	if len(r.Checks) > 0 {
		return r.writeChecks(w, style)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	platforms := slices.ContainsFunc(r.Targets, func(t Target) bool { return len(t.Platforms) > 0 })
	column := ""
	if platforms {
		column = "PLATFORMS\t"
	}
	fmt.Fprintf(table, "TARGET\tWORKLOAD\tSLOT\tLIVE\tLATEST\t%sOUTCOME\n", column) //nolint:errcheck // Flush reports
	several := r.namespaces() > 1
	for _, target := range r.Targets {
		for _, w := range target.Workloads {
			name, outcome, empty := w.Name, string(w.Outcome), "empty"
			if several {
				name = w.Namespace + "/" + name
			}
			if w.Cause != "" {
				outcome += " (" + string(w.Cause) + ")"
			}
			if w.Outcome == decide.Failed {
				empty = "-" // a workload that could not be read, or worked with, does not say
			}
			live := cell(w.Live, empty)
			if !w.Created.IsZero() {
				live += " (" + age(r.StartedAt.Sub(w.Created)) + ")"
			}
			if platforms {
				column = cmp.Or(strings.Join(target.Platforms, ","), "-") + "\t"
			}
			fmt.Fprintf(table, "%s\t%s %s\t%s\t%s\t%s\t%s%s\n", target.Name, w.Kind, name, //nolint:errcheck // Flush reports
				strings.Trim(w.Container+"/"+w.Env, "/"), live, cell(target.Digest, "unknown"), column, style.outcome(w.Outcome, outcome))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	var text []string
	for _, line := range r.lines() {
		text = append(text, line.under())
	}
	if len(text) > 0 {
		if _, err := fmt.Fprintf(w, "\n%s\n", style.wrap(strings.Join(text, "\n"))); err != nil {
			return err
		}
	}
	if r.Rollouts == nil || *r.Rollouts == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s, in %s\n", counted(*r.Rollouts, "rollout"), counted(*r.Ticks, "tick"))
	return err
}

// counted is a number of things.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// age is how long ago something was, in one unit, as kubectl has it.
func age(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%dm", max(0, int(d.Minutes())))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// namespaces counts those that workloads are in: where it is one, it need not be told in every line.
func (r Report) namespaces() int {
	seen := map[string]bool{}
	for _, target := range r.Targets {
		for _, w := range target.Workloads {
			seen[w.Namespace] = true
		}
	}
	return len(seen)
}

// cell is a digest, or "unpinned", as a column has room for it: the algorithm is always the same.
func cell(pin, none string) string {
	switch content := annotate.Content(pin); content {
	case annotate.None:
		return none
	case annotate.Unpinned:
		return pin
	default:
		return strings.TrimPrefix(content.Short(), "sha256:")
	}
}

// Lines are the messages of the report, one in a line, the most important first.
func (r Report) Lines() []string {
	var text []string
	for _, line := range r.lines() {
		text = append(text, line.String())
	}
	return text
}

// line is a message, and what begins its line.
type line struct {
	begin   string
	message Message
}

func (l line) String() string { return l.begin + l.message.String() }

// under has a fix under its sentence.
func (l line) under() string { return strings.Join(l.message.lines(l.begin), "\n") }

// lines are the messages of the report, each once, the most important first: targets that cannot be resolved,
// then workloads that need attention, then the others that have something to say.
func (r Report) lines() []line {
	if len(r.Checks) > 0 {
		return r.checkLines()
	}
	var urgent, others []line
	seen := map[line]bool{}
	add := func(list *[]line, message Message, format string, args ...any) {
		one := line{fmt.Sprintf(format, args...), message}
		if !seen[one] {
			seen[one] = true
			*list = append(*list, one)
		}
	}
	for _, target := range r.Targets {
		if target.Cause != "" {
			list := &others
			if target.NeedsAttention() {
				list = &urgent
			}
			add(list, target.Message, "%s: %s%s: ", target.Name, target.Cause, target.count())
		}
		for _, w := range target.Workloads {
			if w.Message == (Message{}) || w.Message == target.Message {
				continue
			}
			list, cause := &others, ""
			if w.Outcome.NeedsAttention() {
				list = &urgent
			}
			if w.Cause != "" {
				cause = " (" + string(w.Cause) + ")"
			}
			add(list, w.Message, "%s on %s %s/%s: %s%s: ", target.Name, w.Kind, w.Namespace, w.Name, w.Outcome, cause)
		}
	}
	return append(urgent, others...)
}

// maxTermination is how much of a termination message the kubelet keeps, in bytes.
const maxTermination = 4096

// Termination is the termination message of the report.
func (r Report) Termination() string { return r.TerminationOf(r.Lines()) }

// TerminationOf is a termination message of these lines, the most important first, cut to what the kubelet
// keeps.
func (r Report) TerminationOf(lines []string) string {
	text := strings.Join(lines, "\n")
	if text == "" {
		text = "all fine"
	}
	text = fmt.Sprintf("image-refresh %s: exit code %d\n%s\n", r.Command, r.ExitCode, text)
	if len(text) <= maxTermination {
		return text
	}
	return failure.Cut(text, maxTermination-1) + "\n"
}
