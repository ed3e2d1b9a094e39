package product

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is the result that the program prints with -o json, as far as tests read it. It is spelled out here a second time on
// purpose: field names are part of the contract, and a test that shared the product's types would not notice a renamed one.
type Report struct {
	Command         string    `json:"command"`
	StartedAt       time.Time `json:"startedAt"`
	ExitCode        int       `json:"exitCode"`
	DurationSeconds float64   `json:"durationSeconds"`
	Targets         []Target  `json:"targets"`
	Checks          []Check   `json:"checks"`   // of the command check
	Rollouts        int       `json:"rollouts"` // of the command plan
	Ticks           int       `json:"ticks"`    // likewise

	CronJobs  []CronJob  `json:"cronJobs"`  // of the command status
	Workloads []Standing `json:"workloads"` // likewise
	Remove    []string   `json:"remove"`    // likewise

	Changes []Change `json:"changes"` // of the commands approve, skip and retry
}

// Target is one target of a Report.
type Target struct {
	Name         string     `json:"name"`
	Image        string     `json:"image"`
	Digest       string     `json:"digest"`
	Cause        string     `json:"cause"`
	Message      string     `json:"message"`
	Failures     int        `json:"failures"`
	FailingSince string     `json:"failingSince"`
	Threshold    int        `json:"threshold"`
	Workloads    []Workload `json:"workloads"`
}

// Workload is one workload of a Target.
type Workload struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Container string `json:"container"`
	Env       string `json:"env"`
	Live      string `json:"live"`
	Recorded  string `json:"recorded"`
	Outcome   string `json:"outcome"`
	Cause     string `json:"cause"`
	Message   string `json:"message"`
}

// Change is what became of a person's choice on a workload.
type Change struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Digest  string `json:"digest"`
	Outcome string `json:"outcome"`
	Cause   string `json:"cause"`
	Message string `json:"message"`
	Kubectl string `json:"kubectl"`
}

// CronJob is one that runs the program.
type CronJob struct {
	Name        string `json:"name"`
	LastSuccess string `json:"lastSuccess"`
	State       string `json:"state"`
	Message     string `json:"message"`
}

// Standing is what stands on a workload about a target.
type Standing struct {
	Target  string `json:"target"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Live    string `json:"live"`
	State   string `json:"state"`
	Since   string `json:"since"`
	Cause   string `json:"cause"`
	Message string `json:"message"`
}

// Target returns the target of that name, the zero Target where there is none.
func (r *Report) Target(name string) Target {
	if r != nil {
		for _, target := range r.Targets {
			if target.Name == name {
				return target
			}
		}
	}
	return Target{}
}

// Check is one line of the command check.
type Check struct {
	Check   string `json:"check"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Cause   string `json:"cause"`
	Message string `json:"message"`
}

// Workload returns the workload of that name, the zero Workload where there is none.
func (t Target) Workload(name string) Workload {
	for _, workload := range t.Workloads {
		if workload.Name == name {
			return workload
		}
	}
	return Workload{}
}

func parse(stdout string) (*Report, error) {
	decoder := json.NewDecoder(strings.NewReader(stdout))
	report := &Report{}
	if err := decoder.Decode(report); err != nil {
		return nil, fmt.Errorf("read standard output as a report: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("standard output holds more than one report")
	}
	return report, nil
}
