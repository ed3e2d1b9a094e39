package result

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
)

// WriteTable prints the report for people: what it comes to, a line a slot, then why where there is something to say. A wide
// table has columns that a narrow terminal has no room for.
func (r Report) WriteTable(w io.Writer, style Style, wide bool) error {
	var text strings.Builder
	text.WriteString(style.Wrap(r.Summary()) + "\n")
	switch {
	case len(r.Checks) > 0:
		text.WriteString("\n" + r.checkList(style))
	case len(r.Targets) > 0:
		rows := r.rows(style, wide)
		if !wide {
			rows = style.Fit(rows, "TARGET", "WORKLOAD", "SLOT")
		}
		text.WriteString("\n" + Columns(rows))
		var why []string
		for _, line := range r.lines() {
			why = append(why, line.message.Under(line.begin))
		}
		if len(why) > 0 {
			text.WriteString("\n" + style.Wrap(strings.Join(why, "\n")) + "\n")
		}
	}
	if r.Rollouts != nil && *r.Rollouts > 0 {
		fmt.Fprintf(&text, "\n%s, in %s\n", Counted(*r.Rollouts, "rollout"), Counted(*r.Ticks, "tick"))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// rows are the cells of the table, with its head. What became of a slot comes before names that may be long.
func (r Report) rows(style Style, wide bool) [][]string {
	wide = wide && slices.ContainsFunc(r.Targets, func(t Target) bool { return len(t.Platforms) > 0 })
	rows := [][]string{{"TARGET", "OUTCOME", "WORKLOAD", "SLOT", "LIVE", "LATEST"}}
	if wide {
		rows[0] = append(rows[0], "PLATFORMS")
	}
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
			live := Cell(w.Live, empty)
			if !w.Created.IsZero() {
				live += " (" + Age(r.StartedAt.Sub(w.Created)) + ")"
			}
			row := []string{
				target.Name, style.outcome(w.Outcome, outcome), w.Kind + " " + name,
				cmp.Or(strings.Trim(w.Container+"/"+w.Env, "/"), "-"), live, Cell(target.Digest, "unknown"),
			}
			if wide {
				row = append(row, cmp.Or(strings.Join(target.Platforms, ","), "-"))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// Counted is a number of things.
func Counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Age is how long ago something was, in one unit, as kubectl has it.
func Age(d time.Duration) string {
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

// Cell is a digest, or "unpinned", as a column has room for it: the algorithm is always the same.
func Cell(pin, none string) string {
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

// Under is the message after what begins its line, with the fix under its sentence.
func (m Message) Under(begin string) string { return strings.Join(m.lines(begin), "\n") }

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
