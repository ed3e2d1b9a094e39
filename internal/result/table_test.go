package result

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/decide"
)

func tableOf(t *testing.T, r Report, style Style) string {
	t.Helper()
	return written(t, func(w *bytes.Buffer) error { return r.WriteTable(w, style, false) })
}

const mixedTable = `exit 1: 2 of 6 need you (1 rollout-failed, 1 workload-missing); 2 fine, 1 held, 1 skipped

TARGET    OUTCOME                    WORKLOAD                               SLOT                       LIVE          LATEST
ingestor  refreshed                  Deployment tracebloc/stg-jobs-manager  api/INGESTOR_IMAGE_DIGEST  bbbbbbbbbbbb  bbbbbbbbbbbb
monitor   skipped (unauthorized)     Deployment tracebloc/monitor           monitor                    cccccccccccc  unknown
jobs      held                       Deployment tracebloc/jobs              api                        dddddddddddd  dddddddddddd
jobs      failed (rollout-failed)    Deployment tracebloc/proxy             proxy                      unpinned      dddddddddddd
jobs      refreshed                  CronJob agents/cleanup                 X                          empty         dddddddddddd
jobs      failed (workload-missing)  DaemonSet agents/gone                  -                          -             dddddddddddd

jobs on Deployment tracebloc/proxy: failed (rollout-failed): CrashLoopBackOff
jobs on DaemonSet agents/gone: failed (workload-missing): it does not exist
monitor: unauthorized (2/3): the credential was rejected
  extend the account (see https://example.com)
jobs on Deployment tracebloc/jobs: held: refresh-hold is set
`

func TestTheTableSaysWhatAndThenWhyTheWorstFirst(t *testing.T) {
	t.Parallel()
	assert.Equal(t, mixedTable, tableOf(t, mixed(), Style{}))
	one := mixed()
	one.Targets[2].Workloads = one.Targets[2].Workloads[:2]
	assert.NotContains(t, tableOf(t, one, Style{}), " tracebloc/stg-jobs-manager ", "of one namespace it is not named")
	assert.Equal(t, "exit 2: the configuration is invalid; nothing was read or written\n", tableOf(t, Report{ExitCode: ExitConfiguration}, Style{}))
}

func TestLinesTellTheWorstFirstAndEachOnce(t *testing.T) {
	t.Parallel()
	lines := []string{
		"jobs on Deployment tracebloc/proxy: failed (rollout-failed): CrashLoopBackOff",
		"jobs on DaemonSet agents/gone: failed (workload-missing): it does not exist",
		"monitor: unauthorized (2/3): the credential was rejected; extend the account (see https://example.com)",
		"jobs on Deployment tracebloc/jobs: held: refresh-hold is set",
	}
	report := mixed()
	report.Targets = append(report.Targets, report.Targets...)
	assert.Equal(t, lines, report.Lines())
	atThreshold := mixed()
	atThreshold.Targets[1].Failures = 3
	assert.Equal(t, strings.Replace(lines[2], "2/3", "3/3", 1), atThreshold.Lines()[0])
	for outcome, attention := range map[decide.Outcome]bool{
		decide.Failed: true, decide.Rejected: true, decide.RolledBack: true, "unheard-of": true,
		decide.Unchanged: false, decide.Adopted: false, decide.Refreshed: false, decide.Reapplied: false, decide.Held: false,
		decide.Deferred: false, decide.Skipped: false, decide.Waiting: false, decide.Pending: false,
	} {
		two := Report{Targets: []Target{{Name: "a", Workloads: []Workload{
			{Outcome: decide.Held, Message: Message{Text: "quiet"}}, {Outcome: outcome, Message: Message{Text: "this"}},
		}}}}
		assert.Equal(t, attention, strings.HasSuffix(two.Lines()[0], "this"), outcome)
	}
}

func TestColoursAreForTerminalsAndSayHowBadItIs(t *testing.T) {
	t.Parallel()
	coloured := tableOf(t, mixed(), Style{Colour: true})
	for _, cell := range []string{"  \x1b[32mrefreshed\x1b[0m  ", "  \x1b[31mfailed (rollout-failed)\x1b[0m  ", "  \x1b[33mheld\x1b[0m  "} {
		assert.Contains(t, coloured, cell)
	}
	assert.Equal(t, mixedTable, strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(coloured))
	checks := Report{Checks: []Check{
		{Name: "image", Status: Wrong, Message: Message{Text: "gone"}}, {Name: "nodes", Status: Unchecked, Message: Message{Text: "who knows"}},
	}}
	assert.Equal(t, "exit 0: 0 ok, 0 warnings, 1 failed, 1 could not be checked\n\n\x1b[31m✗\x1b[0m image: gone\n? nodes: who knows\n",
		tableOf(t, checks, Style{Colour: true}))
}

func TestLinesAreWrappedToTheTerminalBetweenWords(t *testing.T) {
	t.Parallel()
	report := mixed()
	report.Targets[2].Workloads[1].Message.Text = strings.Repeat("word ", 40) + "https://example.com/" + strings.Repeat("x", 90)
	below := func(style Style) string { return strings.SplitN(tableOf(t, report, style), "\n\n", 3)[2] }
	plain, wrapped := below(Style{}), below(Style{Width: 80})
	wide := 0
	for line := range strings.SplitSeq(wrapped, "\n") {
		if len(line) > 80 {
			wide++
			assert.Len(t, strings.Fields(line), 1, "only a word is wider than the terminal: %q", line)
		}
	}
	assert.Equal(t, 1, wide)
	assert.Equal(t, strings.Fields(plain), strings.Fields(wrapped), "no word is lost")
}

func TestAPlanShowsAgeAndRollouts(t *testing.T) {
	t.Parallel()
	plan := New("dev", "plan", time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC))
	plan.Targets = mixed().Targets[:1]
	for ago, want := range map[time.Duration]string{30 * time.Minute: "30m", 47 * time.Hour: "47h", 49 * time.Hour: "2d", -time.Hour: "0m"} {
		plan.Targets[0].Workloads[0].Created = plan.StartedAt.Add(-ago)
		assert.Contains(t, tableOf(t, plan, Style{}), " bbbbbbbbbbbb ("+want+") ")
	}
	assert.NotContains(t, tableOf(t, plan, Style{}), "rollout")
	*plan.Rollouts, *plan.Ticks = 1, 2
	assert.Contains(t, tableOf(t, plan, Style{}), "\n\n1 rollout, in 2 ticks\n")
}

func TestPlatformsAreOfAWideTable(t *testing.T) {
	t.Parallel()
	plan := New("dev", "plan", time.Time{})
	plan.Targets = mixed().Targets[:2]
	plan.Targets[0].Platforms = []string{"linux/amd64", "linux/arm64"}
	assert.NotContains(t, tableOf(t, plan, Style{}), "PLATFORMS")
	wide := written(t, func(w *bytes.Buffer) error { return plan.Print(w, Wide, Style{}) })
	assert.Regexp(t, `LATEST +PLATFORMS\n.* bbbbbbbbbbbb +linux/amd64,linux/arm64\n.* unknown +-\n`, wide)
}

func TestDesiredValuesAndPatches(t *testing.T) {
	t.Parallel()
	desired := Desired{
		Values:  map[string]string{"api.image.digest": digest("1"), "api.ref": "x@" + digest("2"), "b": digest("1")},
		Patches: []map[string]any{{"kind": "Deployment"}, {"kind": "DaemonSet"}},
	}
	assert.Equal(t, generated+"api:\n  image:\n    digest: "+digest("1")+"\n  ref: x@"+digest("2")+"\nb: "+digest("1")+"\n",
		written(t, func(w *bytes.Buffer) error { return desired.WriteValues(w) }))
	assert.Equal(t, generated+"kind: Deployment\n---\nkind: DaemonSet\n",
		written(t, func(w *bytes.Buffer) error { return desired.WritePatches(w) }))
}
