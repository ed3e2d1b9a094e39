package choice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
)

// Report is what became of a choice.
type Report struct {
	result.Report
	Changes []Change `json:"changes"`
}

// Change is what became of a choice on one workload.
type Change struct {
	Target    string         `json:"target"`
	Kind      string         `json:"kind"`
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Digest    string         `json:"digest"` // latest there; empty where it was not resolved
	Outcome   Outcome        `json:"outcome"`
	Cause     failure.Cause  `json:"cause"`
	Message   result.Message `json:"message"`
	Kubectl   string         `json:"kubectl"` // the command that does the same; empty where nothing is to be done
}

// changed is what is told of a workload: what was decided there or, where wrong is not nil, what has gone wrong.
func (c *Chooser) changed(target string, carrier tick.Carrier, decided Decision, wrong *failure.Error) Change {
	change := Change{
		Target: target, Kind: string(carrier.Ref.Kind), Namespace: carrier.Ref.Namespace, Name: carrier.Ref.Name, Digest: string(carrier.Latest.Digest),
		Outcome: decided.Outcome, Message: result.Message{Text: decided.Message, Fix: decided.Fix}, Kubectl: decided.Kubectl(carrier.Ref),
	}
	if wrong != nil {
		if errors.Is(wrong, context.Canceled) {
			wrong = interrupted(carrier.Ref)
		}
		change.Outcome, change.Cause, change.Message = Failed, wrong.Cause, result.Said(wrong, c.Runbook)
	}
	return change
}

func (c Change) needsYou() bool { return c.Outcome == Refused || c.Outcome == Failed }

// ended is the report with its exit code and its time.
func (r Report) ended(now time.Time) Report {
	if slices.ContainsFunc(r.Changes, Change.needsYou) {
		r.ExitCode = result.ExitOperator
	}
	r.DurationSeconds = now.Sub(r.StartedAt).Seconds()
	return r
}

// Summary is the whole report in one line.
func (r Report) Summary() string {
	var counts result.Counts
	for _, change := range r.Changes {
		switch {
		case change.Outcome == Failed:
			counts.Needs(string(change.Cause))
		case change.needsYou():
			counts.Needs(string(change.Outcome))
		default:
			counts.Fine++
		}
	}
	return fmt.Sprintf("exit %d: %s", r.ExitCode, counts)
}

// Print prints the report: for people what it comes to, a line a workload, then why, with the commands that do the same.
func (r Report) Print(out io.Writer, format result.Format, style result.Style) error {
	if format == result.JSON {
		return result.WriteJSON(out, r)
	}
	rows := [][]string{{"TARGET", "WORKLOAD", "OUTCOME", "LATEST"}}
	var said strings.Builder
	for _, change := range r.Changes {
		name := change.Kind + " " + change.Namespace + "/" + change.Name
		rows = append(rows, []string{
			change.Target, name, style.Mark(string(change.Outcome), change.needsYou(), change.Outcome != Refused), result.Cell(change.Digest, "-"),
		})
		said.WriteString(style.Wrap(change.Message.Under(name+": ")) + "\n")
		if change.Kubectl != "" { // in one line, whatever the terminal, so that it can be pasted
			said.WriteString("  " + change.Kubectl + "\n")
		}
	}
	if format != result.Wide {
		rows = style.Fit(rows, "TARGET", "WORKLOAD")
	}
	_, err := io.WriteString(out, style.Wrap(r.Summary())+"\n\n"+result.Columns(rows)+"\n"+said.String())
	return err
}
