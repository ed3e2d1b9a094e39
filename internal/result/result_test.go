package result_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// contract is the report of the contract's example.
func contract() result.Report {
	return result.Report{
		SchemaVersion: result.SchemaVersion, Version: "v1.2.3", Command: "run",
		StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC), DurationSeconds: 1.4, ExitCode: result.ExitFine,
		Targets: []result.Target{{
			Name: "ingestor", Image: "ghcr.io/tracebloc/ingestor:0.3", Digest: digest("b"), Threshold: 3,
			Workloads: []result.Workload{{
				Kind: "Deployment", Namespace: "tracebloc", Name: "stg-jobs-manager", Container: "api", Env: "INGESTOR_IMAGE_DIGEST",
				Live: digest("b"), Recorded: digest("b"), Outcome: decide.Refreshed,
			}},
		}},
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestJSONIsTheContracts(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, contract().WriteJSON(&out))
	golden(t, "report.json", out.String())
	assert.Equal(t, 1, strings.Count(out.String(), "\n}\n"), "one object")
}

// A field that is empty is there all the same: readers need not tell missing from empty.
func TestJSONLeavesNothingOut(t *testing.T) {
	t.Parallel()
	var full, bare bytes.Buffer
	require.NoError(t, contract().WriteJSON(&full))
	require.NoError(t, result.Report{Targets: []result.Target{{Workloads: []result.Workload{{}}}}}.WriteJSON(&bare))
	assert.Equal(t, fields(t, full.Bytes()), fields(t, bare.Bytes()))
}

func fields(t *testing.T, text []byte) []string {
	t.Helper()
	var names []string
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		if name, ok := token.(string); ok && strings.Contains(string(text), `"`+name+`":`) {
			names = append(names, name)
		}
	}
	return names
}

func TestJSONKeepsMessagesReadable(t *testing.T) {
	t.Parallel()
	report := contract()
	report.Targets[0].Message = result.Message{Text: `<registry> said "no" & left`, Fix: "ask it", See: "https://example.com"}
	var out bytes.Buffer
	require.NoError(t, report.WriteJSON(&out))
	assert.Contains(t, out.String(), `"message": "<registry> said \"no\" & left; ask it (see https://example.com)"`)
}

// mixed is a report with something of everything, under the names of the installation that this comes from.
func mixed() result.Report {
	report := contract()
	report.ExitCode = result.ExitOperator
	unresolved := result.Target{
		Name: "pods-monitor", Image: "docker.io/tracebloc/pods-monitor:prod", Cause: failure.Unauthorized,
		Message: result.Message{Text: "the credential of secret docker-pull was rejected"}, Failures: 2, Threshold: 3,
		Workloads: []result.Workload{{
			Kind: "Deployment", Namespace: "tracebloc", Name: "stg-pods-monitor", Container: "monitor",
			Live: digest("c"), Recorded: digest("c"), Outcome: decide.Skipped, Cause: failure.Unauthorized,
			Message: result.Message{Text: "the credential of secret docker-pull was rejected"},
		}},
	}
	jobs := result.Target{
		Name: "jobs-manager", Image: "docker.io/tracebloc/jobs-manager:prod", Digest: digest("d"), Threshold: 3,
		Workloads: []result.Workload{
			{
				Kind: "Deployment", Namespace: "tracebloc", Name: "stg-jobs-manager", Container: "api", Live: digest("d"), Recorded: digest("d"),
				Outcome: decide.Held, Message: result.Message{Text: "refresh-hold is set"},
			},
			{
				Kind: "Deployment", Namespace: "tracebloc", Name: "stg-requests-proxy", Container: "proxy", Live: "unpinned",
				Outcome: decide.Failed, Cause: failure.RolloutFailed, Message: result.Message{Text: "proxy: CrashLoopBackOff"},
			},
			{Kind: "CronJob", Namespace: "agents", Name: "cleanup", Env: "X", Outcome: decide.Refreshed},
			{Kind: "DaemonSet", Namespace: "agents", Name: "gone", Outcome: decide.Failed, Cause: failure.WorkloadMissing, Message: result.Message{Text: "DaemonSet agents/gone does not exist"}},
		},
	}
	report.Targets = append(report.Targets, unresolved, jobs)
	return report
}

func TestTableOfOneNamespaceFitsATerminal(t *testing.T) {
	t.Parallel()
	report := mixed()
	report.Targets[0].Digest = ""
	report.Targets[0].Workloads[0].Outcome, report.Targets[0].Workloads[0].Cause = decide.Skipped, failure.Proxy
	report.Targets[1].Workloads[0].Cause = failure.Timeout
	report.Targets[2].Workloads = report.Targets[2].Workloads[:2]
	report.Targets[2].Workloads[1].Cause = ""
	var out bytes.Buffer
	require.NoError(t, report.WriteTable(&out, result.Style{}))
	golden(t, "namespace.txt", out.String())
	table, _, _ := strings.Cut(out.String(), "\n\n")
	for line := range strings.Lines(table) {
		assert.LessOrEqual(t, len(line)-1, 120, line)
	}
}

func TestTableNamesSeveralNamespaces(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, mixed().WriteTable(&out, result.Style{}))
	golden(t, "namespaces.txt", out.String())
}

func TestTableOfNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, result.Report{}.WriteTable(&out, result.Style{}))
	assert.Equal(t, "TARGET  WORKLOAD  SLOT  LIVE  LATEST  OUTCOME\n", out.String())
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
	require.ErrorIs(t, mixed().WriteTable(&brokenPipe{}, result.Style{}), os.ErrClosed)
	require.ErrorIs(t, mixed().WriteTable(&brokenPipe{left: 900}, result.Style{}), os.ErrClosed, "in the lines below the table")
}
