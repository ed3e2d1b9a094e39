package result

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// contract is the report of the contract's example.
func contract() Report {
	return Report{
		SchemaVersion: SchemaVersion, Version: "v1.2.3", Command: "run",
		StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC), DurationSeconds: 1.4, ExitCode: ExitFine,
		Targets: []Target{{
			Name: "ingestor", Image: "ghcr.io/tracebloc/ingestor:0.3", Digest: digest("b"), Threshold: 3,
			Workloads: []Workload{{
				Kind: "Deployment", Namespace: "tracebloc", Name: "stg-jobs-manager", Container: "api", Env: "INGESTOR_IMAGE_DIGEST",
				Live: digest("b"), Recorded: digest("b"), Outcome: decide.Refreshed,
			}},
		}},
	}
}

// mixed is a report with something of everything.
func mixed() Report {
	report := contract()
	report.ExitCode = ExitOperator
	rejected := Message{Text: "the credential was rejected", Fix: "extend the account", See: "https://example.com"}
	report.Targets = append(report.Targets, Target{
		Name: "monitor", Cause: failure.Unauthorized, Message: rejected, Failures: 2, Threshold: 3,
		Workloads: []Workload{{
			Kind: "Deployment", Namespace: "tracebloc", Name: "monitor", Container: "monitor", Live: digest("c"), Recorded: digest("c"),
			Outcome: decide.Skipped, Cause: failure.Unauthorized, Message: rejected,
		}},
	}, Target{
		Name: "jobs", Digest: digest("d"), Threshold: 3,
		Workloads: []Workload{
			{
				Kind: "Deployment", Namespace: "tracebloc", Name: "jobs", Container: "api", Live: digest("d"),
				Outcome: decide.Held, Message: Message{Text: "refresh-hold is set"},
			},
			{
				Kind: "Deployment", Namespace: "tracebloc", Name: "proxy", Container: "proxy", Live: "unpinned",
				Outcome: decide.Failed, Cause: failure.RolloutFailed, Message: Message{Text: "CrashLoopBackOff"},
			},
			{Kind: "CronJob", Namespace: "agents", Name: "cleanup", Env: "X", Outcome: decide.Refreshed},
			{
				Kind: "DaemonSet", Namespace: "agents", Name: "gone",
				Outcome: decide.Failed, Cause: failure.WorkloadMissing, Message: Message{Text: "it does not exist"},
			},
		},
	})
	return report
}

func written(t *testing.T, write func(w *bytes.Buffer) error) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, write(&out))
	return out.String()
}

func jsonOf(t *testing.T, r Report) string {
	t.Helper()
	return written(t, func(w *bytes.Buffer) error { return r.WriteJSON(w) })
}

func TestJSONIsTheContracts(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(filepath.Join("testdata", "report.json"))
	require.NoError(t, err)
	got := jsonOf(t, contract())
	assert.Equal(t, string(want), got)
	fields := regexp.MustCompile(`"\w+":`)
	bare := jsonOf(t, Report{Targets: []Target{{Workloads: []Workload{{}}}}})
	assert.Equal(t, fields.FindAllString(got, -1), fields.FindAllString(bare, -1), "readers need not tell missing from empty")
}

func TestJSONKeepsMessagesReadable(t *testing.T) {
	t.Parallel()
	report := contract()
	report.Targets[0].Message = Message{Text: `<registry> said "no" & left`, Fix: "ask it", See: "https://example.com"}
	assert.Contains(t, jsonOf(t, report), `"message": "<registry> said \"no\" & left; ask it (see https://example.com)"`)
}

// brokenPipe takes so many bytes and then no more.
type brokenPipe struct{ left int }

func (p *brokenPipe) Write(text []byte) (int, error) {
	if p.left -= len(text); p.left < 0 {
		return 0, os.ErrClosed
	}
	return len(text), nil
}

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, mixed().WriteJSON(&brokenPipe{}), os.ErrClosed)
	require.ErrorIs(t, mixed().WriteTable(&brokenPipe{}, Style{}), os.ErrClosed)
	table := tableOf(t, mixed(), Style{})
	require.ErrorIs(t, mixed().WriteTable(&brokenPipe{left: strings.Index(table, "\n\n") + 1}, Style{}), os.ErrClosed, "below the table")
	require.ErrorIs(t, Desired{}.WriteValues(&brokenPipe{}), os.ErrClosed)
}

func TestTerminationSaysTheCodeAndTheLines(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "image-refresh run: exit code 0\nall fine\n", contract().Termination())
	assert.Equal(t, "image-refresh run: exit code 1\n"+strings.Join(mixed().Lines(), "\n")+"\n", mixed().Termination())
	assert.Equal(t, "image-refresh plan: exit code 2\na\nb\n", Report{Command: "plan", ExitCode: 2}.TerminationOf([]string{"a", "b"}))
}

// The kubelet keeps 4096 bytes, and would cut a character in two.
func TestTerminationFitsWhatTheKubeletKeeps(t *testing.T) {
	t.Parallel()
	frame := len(Report{}.TerminationOf([]string{"x"})) - 1
	for _, character := range []string{"x", "ä", "€", "🦭"} {
		for over := -4; over <= 8; over++ {
			text := strings.Repeat(character, 900)
			text = strings.Repeat("y", 4096-frame+over-len(text)) + text
			kept := Report{}.TerminationOf([]string{text})
			assert.True(t, utf8.ValidString(kept))
			assert.LessOrEqual(t, len(kept), 4096)
			assert.Equal(t, over > 0, strings.HasSuffix(kept, character+"…\n"))
			assert.Equal(t, over > 0, !strings.Contains(kept, text))
			assert.Greater(t, len(kept), min(4096, 4096+over)-len(character), "as much as fits is kept")
		}
	}
	report := mixed()
	for range 1000 {
		target := report.Targets[1]
		target.Name += strings.Repeat("x", len(report.Targets))
		report.Targets = append(report.Targets, target)
	}
	report.Targets = append(report.Targets,
		Target{Name: "last", Cause: failure.NotFound, Failures: 3, Threshold: 3, Message: Message{Text: "push it"}})
	assert.Contains(t, report.Termination(), "last: not-found (3/3): push it", "what needs attention comes first, and is kept")
}
