package result_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
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
				{Kind: "Deployment", Namespace: "a", Name: "x", Container: "api", Live: second, Outcome: decide.Refreshed, Message: result.Message{Text: "rolled out"}},
				{Kind: "DaemonSet", Namespace: "a", Name: "y", Container: "agent", Live: "unpinned", Outcome: decide.Failed, Cause: failure.NotSettled, Message: result.Message{Text: "no node"}},
			},
		},
		{
			Name: "ingestor", Failures: 3, Threshold: 3, Cause: failure.Proxy, Message: result.Message{Text: "refused"},
			Workloads: []result.Workload{
				{Kind: "Deployment", Namespace: "a", Name: "x", Container: "api", Env: "D", Live: first, Outcome: decide.Failed, Cause: failure.Proxy, Message: result.Message{Text: "refused"}},
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

func TestThePlansTableEndsWithItsRollouts(t *testing.T) {
	t.Parallel()
	for rollouts, end := range map[int]string{0: "unchanged\n", 1: "unchanged\n\n1 rollout, in 2 ticks\n"} {
		plan := result.New("dev", "plan", time.Time{})
		plan.Targets = []result.Target{{Name: "web", Workloads: []result.Workload{{Kind: "Deployment", Name: "web", Outcome: decide.Unchanged}}}}
		*plan.Rollouts, *plan.Ticks = rollouts, 2*rollouts
		var out strings.Builder
		require.NoError(t, plan.WriteTable(&out, result.Style{}))
		assert.Truef(t, strings.HasSuffix(out.String(), end), "%q", out.String())
	}
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
