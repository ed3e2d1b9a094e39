package result_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
)

func TestLinesTellTheMostImportantFirst(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"jobs-manager on Deployment tracebloc/stg-requests-proxy: failed (rollout-failed): proxy: CrashLoopBackOff",
		"jobs-manager on DaemonSet agents/gone: failed (workload-missing): DaemonSet agents/gone does not exist",
		"pods-monitor: unauthorized (2/3): the credential of secret docker-pull was rejected",
		"jobs-manager on Deployment tracebloc/stg-jobs-manager: held: refresh-hold is set",
	}, mixed().Lines())
	atThreshold := mixed()
	atThreshold.Targets[1].Failures = 3
	assert.Equal(t, "pods-monitor: unauthorized (3/3): the credential of secret docker-pull was rejected", atThreshold.Lines()[0])
	assert.Empty(t, contract().Lines())
}

func TestLinesSayEverythingOnce(t *testing.T) {
	t.Parallel()
	report := mixed()
	report.Targets = append(report.Targets, report.Targets...)
	assert.Equal(t, mixed().Lines(), report.Lines())
}

// Each outcome is told loudly or quietly as the exit code takes it.
func TestLinesKnowEveryOutcome(t *testing.T) {
	t.Parallel()
	for outcome, loud := range map[decide.Outcome]bool{
		decide.Failed: true, decide.Rejected: true, decide.RolledBack: true, "unheard-of": true,
		decide.Unchanged: false, decide.Adopted: false, decide.Refreshed: false, decide.Reapplied: false, decide.Held: false,
		decide.Deferred: false, decide.Skipped: false, decide.Waiting: false, decide.Pending: false,
	} {
		report := result.Report{Targets: []result.Target{{Name: "a", Workloads: []result.Workload{
			{Outcome: decide.Held, Message: result.Message{Text: "quiet"}}, {Outcome: outcome, Message: result.Message{Text: "this"}},
		}}}}
		assert.Equal(t, loud, strings.HasSuffix(report.Lines()[0], "this"), outcome)
	}
}

func TestTerminationSaysTheCodeAndTheLines(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "image-refresh run: exit code 0\nall fine\n", contract().Termination())
	assert.Equal(t, "image-refresh run: exit code 1\n"+strings.Join(mixed().Lines(), "\n")+"\n", mixed().Termination())
	assert.Equal(t, "image-refresh plan: exit code 2\na\nb\n", result.Report{Command: "plan", ExitCode: 2}.TerminationOf([]string{"a", "b"}))
}

// The kubelet keeps 4096 bytes, and would cut a character in two.
func TestTerminationFitsWhatTheKubeletKeeps(t *testing.T) {
	t.Parallel()
	for length := 4000; length < 4100; length++ {
		for _, character := range []string{"x", "ä", "€", "🦭"} {
			text := result.Report{Command: "run"}.TerminationOf([]string{strings.Repeat("y", length%7) + strings.Repeat(character, length/len(character))})
			assert.LessOrEqual(t, len(text), 4096)
			assert.True(t, utf8.ValidString(text))
			if length < 4030 {
				assert.NotContains(t, text, "…")
			}
			if strings.Contains(text, "…") {
				assert.True(t, strings.HasSuffix(text, character+"…\n"))
				assert.Greater(t, len(text), 4096-len(character), "as much as fits is kept")
			}
		}
	}
	frame := len(result.Report{}.TerminationOf([]string{"x"})) - 1
	assert.NotContains(t, result.Report{}.TerminationOf([]string{strings.Repeat("x", 4096-frame)}), "…", "exactly what is kept")
	assert.Contains(t, result.Report{}.TerminationOf([]string{strings.Repeat("x", 4097-frame)}), "…")

	report := mixed()
	for range 1000 {
		target := report.Targets[1]
		target.Name += strings.Repeat("x", len(report.Targets))
		report.Targets = append(report.Targets, target)
	}
	report.Targets = append(report.Targets, result.Target{Name: "last", Cause: failure.NotFound, Failures: 3, Threshold: 3, Message: result.Message{Text: "push it"}})
	assert.Contains(t, report.Termination(), "last: not-found (3/3): push it", "what is loud comes first, and is kept")
}
