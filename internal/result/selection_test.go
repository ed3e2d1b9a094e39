package result_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
)

// planned is the plan of a target that has failed, of one that is pending, and of one that is fine.
func planned() *result.Report {
	of := func(name string, outcome decide.Outcome, cause failure.Cause) result.Target {
		return result.Target{Name: name, Threshold: 3, Workloads: []result.Workload{{Name: "a", Outcome: decide.Unchanged}, {Name: "b", Outcome: outcome, Cause: cause}}}
	}
	return &result.Report{Command: "plan", ExitCode: result.ExitOperator, Rollouts: new(int), Targets: []result.Target{
		of("failed", decide.Failed, failure.API), of("pending", decide.Pending, failure.None), of("fine", decide.Unchanged, failure.None),
	}}
}

func TestAPlanOfSomeTargetsExitsByThem(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]int{"failed": result.ExitOperator, "pending": result.ExitFine, "fine": result.ExitFine} {
		report := planned()
		report.KeepTargets([]string{name})
		assert.Equal(t, code, report.ExitCode, name)
		assert.Len(t, report.Targets, 1)
		assert.Equal(t, name == "pending", report.Pending(), name)
	}
	report := planned()
	report.Targets = report.Targets[1:] // none failed: the plan was told to end
	report.KeepTargets([]string{"fine"})
	assert.Equal(t, result.ExitOperator, report.ExitCode)
}

func TestAPlanOfChangesAloneLeavesOutWhatStays(t *testing.T) {
	t.Parallel()
	report := planned()
	report.Targets[2].Cause = failure.DNS
	summary := report.Summary()
	report.KeepChanged()
	assert.Equal(t, summary, report.Summary(), "of all")
	var kept []string
	for _, target := range report.Targets {
		kept = append(kept, target.Name)
		for _, w := range target.Workloads {
			kept = append(kept, w.Name)
		}
	}
	assert.Equal(t, []string{"failed", "b", "pending", "b", "fine"}, kept)
}

// A workload that is observed for the first time, and rolled in the tick after, is pending too.
func TestARolloutOfTheTickAfterIsPending(t *testing.T) {
	t.Parallel()
	report := planned()
	report.Targets = report.Targets[2:]
	assert.False(t, report.Pending())
	*report.Rollouts = 1
	assert.True(t, report.Pending())
}
