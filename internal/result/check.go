package result

import (
	"fmt"
	"io"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Status is how one line of a preflight ended.
type Status string

// The statuses.
const (
	OK        Status = "ok"
	Warning   Status = "warning"   // no tick fails by it, and somebody should know
	Wrong     Status = "failed"    // a tick fails by it, now or once its threshold is reached
	Unchecked Status = "unchecked" // could not be found out, and why
)

// mark is how a line of that status begins for people.
func (s Status) mark() string {
	switch s {
	case OK:
		return "✓"
	case Warning:
		return "!"
	case Unchecked:
		return "?"
	case Wrong:
	}
	return "✗"
}

// Check is one line of a preflight: what was looked at, and what came of it.
type Check struct {
	Name    string        `json:"check"` // of a closed set: see package preflight
	Subject string        `json:"subject"`
	Status  Status        `json:"status"`
	Cause   failure.Cause `json:"cause"`
	Message Message       `json:"message"`
}

// line is what people read.
func (c Check) line() line {
	begin := c.Status.mark() + " " + c.Name
	if c.Subject != "" {
		begin += " " + c.Subject
	}
	if c.Cause != failure.None {
		begin += " (" + string(c.Cause) + ")"
	}
	return line{begin + ": ", c.Message}
}

// writeChecks prints a preflight for people, a line each, and what it comes to.
func (r Report) writeChecks(w io.Writer, style Style) error {
	count := map[Status]int{}
	for _, check := range r.Checks {
		count[check.Status]++
		if _, err := fmt.Fprintln(w, style.wrap(style.status(check.Status, check.line().String()))); err != nil {
			return err
		}
	}
	warnings := "warnings"
	if count[Warning] == 1 {
		warnings = "warning"
	}
	_, err := fmt.Fprintf(w, "\n%d ok, %d %s, %d failed, %d could not be checked\n", count[OK], count[Warning], warnings, count[Wrong], count[Unchecked])
	return err
}

// checkLines are the lines of a preflight that somebody must look at, in their order, then the warnings.
func (r Report) checkLines() []line {
	var wrong, warnings []line
	for _, check := range r.Checks {
		switch check.Status {
		case Wrong:
			wrong = append(wrong, check.line())
		case Warning:
			warnings = append(warnings, check.line())
		case OK, Unchecked:
		}
	}
	return append(wrong, warnings...)
}
