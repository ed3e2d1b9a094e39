package status

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/result"
)

// Summary is the whole report in one line: what runs ticks first, where it is not well.
func (r Report) Summary() string {
	parts := []string{}
	for _, c := range r.CronJobs {
		if c.State != WorkerOK {
			parts = append(parts, fmt.Sprintf("%s/%s is %s", c.Namespace, c.Name, c.State))
		}
	}
	if len(r.Workloads) == 0 {
		return fmt.Sprintf("exit %d: %s", r.ExitCode, strings.Join(append(parts, "no workload "+r.where+" carries the label "+r.label), "; "))
	}
	var counts result.Counts
	for _, w := range r.Workloads {
		switch {
		case w.needsYou():
			counts.Needs(cmp.Or(string(w.Cause), w.State))
		case w.State == string(annotate.OK):
			counts.Fine++
		default:
			counts.Other(w.State)
		}
	}
	return fmt.Sprintf("exit %d: %s", r.ExitCode, strings.Join(append(parts, counts.String()), "; "))
}

// Print prints the report.
func (r Report) Print(out io.Writer, format result.Format, style result.Style) error {
	if format == result.JSON {
		return result.WriteJSON(out, r)
	}
	wide := format == result.Wide
	var text strings.Builder
	text.WriteString(style.Wrap(r.Summary()) + "\n")
	if len(r.CronJobs) > 0 {
		text.WriteString("\n" + table(style, wide, r.workers(style, wide), "CRONJOB", "SCHEDULE"))
	}
	if len(r.Workloads) > 0 {
		text.WriteString("\n" + result.Columns(r.fleet(style, wide)))
	}
	if said := r.said(); len(said) > 0 {
		text.WriteString("\n" + style.Wrap(strings.Join(said, "\n")) + "\n")
	}
	for _, command := range r.Remove { // in one line, whatever the terminal, so that it can be pasted
		text.WriteString("  " + command + "\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func table(style result.Style, wide bool, rows [][]string, mayBeCut ...string) string {
	if !wide {
		rows = style.Fit(rows, mayBeCut...)
	}
	return result.Columns(rows)
}

func (r Report) workers(style result.Style, wide bool) [][]string {
	rows := [][]string{{"CRONJOB", "STATE", "SCHEDULE", "LAST RUN", "LAST SUCCESS"}}
	for _, c := range r.CronJobs {
		schedule := c.Schedule
		if c.TimeZone != "" {
			schedule += " (" + c.TimeZone + ")"
		}
		run, success := r.ago(c.run), r.ago(c.success)
		if wide {
			run, success = cmp.Or(c.LastRun, "never"), cmp.Or(c.LastSuccess, "never")
		}
		rows = append(rows, []string{c.Namespace + "/" + c.Name, style.Mark(string(c.State), c.overdue, c.State == WorkerOK), schedule, run, success})
	}
	return rows
}

func (r Report) ago(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return result.Age(r.now.Sub(at)) + " ago"
}

// leastName is how short a workload's name, with its kind, may be cut to make room for the builds.
const leastName = 20

// fleet are the rows of the workloads, which say which build is live where that is known of any, and a terminal has room for it.
func (r Report) fleet(style result.Style, wide bool) [][]string {
	builds := slices.ContainsFunc(r.Workloads, func(w Workload) bool { return w.Build.Named() })
	rows := r.rows(style, wide, builds)
	switch {
	case wide:
		return rows
	case builds:
		rows = style.Fit(style.Fit(rows, "BUILD"), "TARGET", "WORKLOAD")
		tooShort := func(row []string) bool {
			return strings.HasSuffix(row[1], "…") && utf8.RuneCountInString(row[1]) < leastName
		}
		if !slices.ContainsFunc(rows, tooShort) {
			return rows
		}
		rows = r.rows(style, wide, false)
	}
	return style.Fit(rows, "TARGET", "WORKLOAD")
}

func (r Report) rows(style result.Style, wide, builds bool) [][]string {
	rows := [][]string{{"TARGET", "WORKLOAD", "LIVE", "STATE", "SINCE", "WHY"}}
	if wide {
		rows[0] = append(rows[0], "RECORDED")
	}
	if builds {
		rows[0] = slices.Insert(rows[0], 3, "BUILD")
	}
	several := slices.ContainsFunc(r.Workloads, func(w Workload) bool { return w.Namespace != r.Workloads[0].Namespace })
	for _, w := range r.Workloads {
		name, since := w.Name, "-"
		if several {
			name = w.Namespace + "/" + name
		}
		if !w.since.IsZero() {
			since = result.Age(r.now.Sub(w.since))
		}
		row := []string{
			cmp.Or(w.Target, "-"), w.Kind + " " + name, result.Cell(w.Live, "-"),
			style.Mark(w.State, w.needsYou(), w.State == string(annotate.OK)), since, cmp.Or(string(w.Cause), "-"),
		}
		if wide {
			row[4] = cmp.Or(w.Since, "-")
			row = append(row, result.Cell(w.Recorded, "-"))
		}
		if builds {
			row = slices.Insert(row, 3, w.Build.Name("-"))
		}
		rows = append(rows, row)
	}
	return rows
}

// said are the sentences below the tables, each once.
func (r Report) said() []string {
	var said []string
	seen := map[string]bool{}
	add := func(text string) {
		if !seen[text] {
			seen[text] = true
			said = append(said, text)
		}
	}
	for _, c := range r.CronJobs {
		if c.Message != (result.Message{}) {
			add(c.Message.Under("CronJob " + c.Namespace + "/" + c.Name + ": "))
		}
	}
	for _, w := range r.Workloads {
		if w.Message.Text == "" {
			continue
		}
		begin := w.Target
		if !w.shared {
			begin += " on " + w.Kind + " " + w.Namespace + "/" + w.Name
		}
		begin += ": " + string(w.condition)
		if w.Cause != "" {
			begin += " (" + string(w.Cause) + ")"
		}
		if w.Since != "" {
			begin += " since " + w.Since
		}
		add(w.Message.Under(begin + ": "))
	}
	for _, note := range r.notes {
		add(note)
	}
	return said
}
