// Package result is what a tick leaves behind: one JSON object or a table on stdout, an exit code, and the
// termination message. Field names are part of the contract: docs/schema/result-v1.json has them.
package result

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// SchemaVersion is the version of the JSON.
const SchemaVersion = 1

// The exit codes.
const (
	ExitFine          = 0 // all fine, or failing below a threshold
	ExitOperator      = 1 // an operator must look
	ExitConfiguration = 2 // the configuration is invalid; nothing was read or written
	ExitPending       = 3 // of a plan that was asked to tell: changes are pending
)

// Report is the result of one tick.
type Report struct {
	SchemaVersion   int       `json:"schemaVersion"`
	Version         string    `json:"version"`
	Command         string    `json:"command"`
	StartedAt       time.Time `json:"startedAt"`
	DurationSeconds float64   `json:"durationSeconds"`
	ExitCode        int       `json:"exitCode"`
	Targets         []Target  `json:"targets"`
	Rollouts        *int      `json:"rollouts,omitempty"` // of the command plan, and of no other: workloads that are to be rolled
	Ticks           *int      `json:"ticks,omitempty"`    // likewise: how many ticks they take
	Checks          []Check   `json:"checks,omitempty"`   // of the command check, and of no other
	Desired         Desired   `json:"-"`                  // of the command plan
	summary         string    // of all targets, where not all are shown
}

// New is the report of a command that begins: nothing has come of it yet.
func New(version, command string, started time.Time) Report {
	report := Report{SchemaVersion: SchemaVersion, Version: version, Command: command, StartedAt: started.UTC(), Targets: []Target{}}
	if command == "plan" {
		report.Rollouts, report.Ticks = new(int), new(int)
	}
	return report
}

// Target is what became of one target.
type Target struct {
	Name         string        `json:"name"`
	Image        string        `json:"image"`
	Digest       string        `json:"digest"` // latest; empty where it is unknown
	Build        image.Build   `json:"build"`  // which build latest is, as far as it is known
	Cause        failure.Cause `json:"cause"`
	Message      Message       `json:"message"`
	Failures     int           `json:"failures"`
	FailingSince string        `json:"failingSince"` // RFC 3339; empty where it is fine, or that is not known
	Threshold    int           `json:"threshold"`
	Workloads    []Workload    `json:"workloads"`
	Platforms    []string      `json:"-"` // that latest offers, where a plan had to ask
}

// NeedsAttention says whether an operator must look because of the target itself.
func (t Target) NeedsAttention() bool { return t.Cause == failure.Stale || t.Failures >= t.Threshold }

// count is how often in a row the target has failed, as a message has it; what is stale is not counted.
func (t Target) count() string {
	if t.Cause == failure.Stale {
		return ""
	}
	return fmt.Sprintf(" (%d/%d)", t.Failures, t.Threshold)
}

// Workload is what became of one slot of a target.
type Workload struct {
	Kind      string         `json:"kind"`
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Container string         `json:"container"`
	Env       string         `json:"env"`
	Live      string         `json:"live"`
	Recorded  string         `json:"recorded"`
	Outcome   decide.Outcome `json:"outcome"`
	Cause     failure.Cause  `json:"cause"`
	Message   Message        `json:"message"`
	Created   time.Time      `json:"-"` // when live was built, where a plan had to ask and its builder says so
}

// WriteJSON prints the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error { return WriteJSON(w, r) }

// WriteJSON prints a report of whatever command as one JSON object.
func WriteJSON(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}
