package result

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// contract is the report of the contract's example.
func contract() Report {
	return Report{
		SchemaVersion: SchemaVersion, Version: "v1.2.3", Command: "run",
		StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC), DurationSeconds: 1.4, ExitCode: ExitFine,
		Targets: []Target{{
			Name: "ingestor", Image: "ghcr.io/tracebloc/ingestor:0.3", Digest: digest("b"), Threshold: 3,
			Build: image.Build{Version: "1.4.2", Revision: "9f3c2ab", Created: "2026-11-20T10:00:00Z"},
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
	require.ErrorIs(t, mixed().WriteTable(&brokenPipe{}, Style{}, false), os.ErrClosed)
	require.ErrorIs(t, Desired{}.WriteValues(&brokenPipe{}), os.ErrClosed)
}
