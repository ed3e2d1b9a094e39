package result_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/result"
)

var (
	first  = "sha256:" + strings.Repeat("1", 64)
	second = "sha256:" + strings.Repeat("2", 64)
)

func report() result.Report {
	return result.Report{Command: "run", ExitCode: result.ExitOperator, Targets: []result.Target{
		{
			Name: "jobs", Digest: second, Threshold: 3,
			Workloads: []result.Workload{
				{Kind: "Deployment", Namespace: "a", Name: "x", Container: "api", Live: second, Outcome: decide.Refreshed, Message: "rolled out"},
				{Kind: "DaemonSet", Namespace: "a", Name: "y", Container: "agent", Live: "unpinned", Outcome: decide.Failed, Cause: fault.NotSettled, Message: "no node"},
			},
		},
		{
			Name: "ingestor", Failures: 3, Threshold: 3, Cause: fault.Proxy, Message: "refused",
			Workloads: []result.Workload{
				{Kind: "Deployment", Namespace: "a", Name: "x", Container: "api", Env: "D", Live: first, Outcome: decide.Failed, Cause: fault.Proxy, Message: "refused"},
				{Kind: "Deployment", Namespace: "a", Name: "z", Container: "api", Env: "D", Outcome: decide.Skipped},
			},
		},
	}}
}

func TestTheTableSaysWhatAndThenWhyTheLoudFirst(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, report().WriteTable(&out, result.Style{}))
	assert.Equal(t, `TARGET    WORKLOAD      SLOT   LIVE          LATEST        OUTCOME
jobs      Deployment x  api    222222222222  222222222222  refreshed
jobs      DaemonSet y   agent  unpinned      222222222222  failed (not-settled)
ingestor  Deployment x  api/D  111111111111  unknown       failed (proxy)
ingestor  Deployment z  api/D  empty         unknown       skipped

jobs on DaemonSet a/y: failed (not-settled): no node
ingestor: proxy (3/3): refused
jobs on Deployment a/x: refreshed: rolled out
`, out.String())
}

func TestTheTableNamesNamespacesWhereThereAreSeveral(t *testing.T) {
	t.Parallel()
	r := report()
	r.Targets[0].Workloads[1].Namespace = "agents"
	var out strings.Builder
	require.NoError(t, r.WriteTable(&out, result.Style{}))
	assert.Contains(t, out.String(), "Deployment a/x")
	assert.Contains(t, out.String(), "DaemonSet agents/y")
}

func TestATableOfNothingIsItsHeader(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, result.Report{}.WriteTable(&out, result.Style{}))
	assert.Equal(t, "TARGET  WORKLOAD  SLOT  LIVE  LATEST  OUTCOME\n", out.String())
}

type broken struct{ good int }

func (b *broken) Write(p []byte) (int, error) {
	if b.good--; b.good < 0 {
		return 0, errors.New("broken pipe")
	}
	return len(p), nil
}

func TestATableThatCannotBePrintedIsAnError(t *testing.T) {
	t.Parallel()
	require.Error(t, report().WriteTable(&broken{}, result.Style{}))
	require.Error(t, report().WriteTable(&broken{good: 1}, result.Style{}))
}

func TestTheTerminationMessageIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "image-refresh run: exit code 0\nall fine\n", result.Report{Command: "run"}.Termination())
	for pad := range 4 {
		text := result.Report{Command: "plan"}.TerminationOf([]string{strings.Repeat("x", pad) + strings.Repeat("é", 4096)})
		assert.LessOrEqual(t, len(text), 4096)
		assert.True(t, strings.HasSuffix(text, "é…\n"))
	}
}
