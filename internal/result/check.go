package result

import (
	"fmt"
	"strings"

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

// checkList is a preflight for people, a line each.
func (r Report) checkList(style Style) string {
	var text strings.Builder
	for _, check := range r.Checks {
		text.WriteString(style.Wrap(style.status(check.Status, check.line().String())) + "\n")
	}
	return text.String()
}

// checkCounts is what a preflight comes to.
func (r Report) checkCounts() string {
	count := map[Status]int{}
	for _, check := range r.Checks {
		count[check.Status]++
	}
	return fmt.Sprintf("%d ok, %s, %d failed, %d could not be checked", count[OK], Counted(count[Warning], "warning"), count[Wrong], count[Unchecked])
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
