package result

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Summary is the whole report in one line: the exit code, how many slots need a person and why, and what became of the others.
func (r Report) Summary() string {
	exit := fmt.Sprintf("exit %d: ", r.ExitCode)
	switch {
	case r.summary != "":
		return exit + r.summary
	case len(r.Checks) > 0:
		return exit + r.checkCounts()
	case len(r.Targets) > 0:
		return exit + r.outcomeCounts()
	case r.ExitCode == ExitConfiguration:
		return exit + "the configuration is invalid; nothing was read or written"
	default:
		return exit + "nothing could be done"
	}
}

func (r Report) outcomeCounts() string {
	var c Counts
	for _, target := range r.Targets {
		for _, w := range target.Workloads {
			switch why := target.needsYou(w); {
			case why != "":
				c.Needs(why)
			case fine(w.Outcome):
				c.Fine++
			default:
				c.Other(string(w.Outcome))
			}
		}
	}
	c.Interrupted = len(c.needed) == 0 && r.ExitCode == ExitOperator
	return c.String()
}

// Counts is what a summary counts.
type Counts struct {
	Fine           int
	Interrupted    bool // before all was decided
	needed, others map[string]int
}

// Needs counts one that a person must look at, by why.
func (c *Counts) Needs(why string) { count(&c.needed, why) }

// Other counts one that is neither fine nor a person's, by what it is.
func (c *Counts) Other(what string) { count(&c.others, what) }

func count(counts *map[string]int, word string) {
	if *counts == nil {
		*counts = map[string]int{}
	}
	(*counts)[word]++
}

func (c Counts) String() string {
	needed, others := sum(c.needed), sum(c.others)
	text := fmt.Sprintf("%d of %d need you", needed, needed+others+c.Fine)
	switch {
	case needed > 0:
		text += " (" + tally(c.needed) + ")"
	case c.Interrupted:
		text += " (interrupted)"
	}
	text += fmt.Sprintf("; %d fine", c.Fine)
	if others > 0 {
		text += ", " + tally(c.others)
	}
	return text
}

func sum(counts map[string]int) (all int) {
	for _, n := range counts {
		all += n
	}
	return all
}

// needsYou says why an operator must look at a slot: the slot's cause, or the target's; empty where there is no need.
func (t Target) needsYou(w Workload) string {
	switch {
	case w.Outcome.NeedsAttention():
		return cmp.Or(string(w.Cause), string(w.Outcome))
	case t.Cause == failure.Stale, t.Cause != failure.None && t.NeedsAttention() && w.Outcome != decide.Held:
		return string(t.Cause)
	}
	return ""
}

// fine says that a slot holds what is wanted.
func fine(o decide.Outcome) bool {
	return o == decide.Unchanged || o == decide.Refreshed || o == decide.Reapplied || o == decide.Adopted
}

// tally lists how often each word was counted, the most frequent first.
func tally(counts map[string]int) string {
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	for i, word := range words {
		words[i] = fmt.Sprintf("%d %s", counts[word], word)
	}
	return strings.Join(words, ", ")
}

// maxTermination is how much of a termination message the kubelet keeps, in bytes.
const maxTermination = 4096

// Termination is the termination message of the report.
func (r Report) Termination() string { return r.TerminationOf(r.Lines()) }

// TerminationOf is a termination message of these lines, the most important first, below the summary. Of more than the kubelet
// keeps, whole lines are left out and counted.
func (r Report) TerminationOf(lines []string) string {
	text := r.Summary() + "\n"
	for at, line := range lines {
		left := len(lines) - at
		room := maxTermination - len(text) - len("\n")
		if left > 1 {
			room -= len(more(left))
		}
		if at == 0 {
			line = failure.Cut(line, room)
		}
		if len(line) > room {
			return text + more(left)
		}
		text += line + "\n"
	}
	return text
}

// more counts lines that are left out.
func more(lines int) string { return fmt.Sprintf("and %d more\n", lines) }
