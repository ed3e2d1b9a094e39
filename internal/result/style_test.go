package result_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/result"
)

func TestColoursAreForTerminalsAndSayHowBadItIs(t *testing.T) {
	t.Parallel()
	var plain, coloured strings.Builder
	require.NoError(t, report().WriteTable(&plain, result.Style{}))
	require.NoError(t, report().WriteTable(&coloured, result.Style{Colour: true}))
	assert.NotContains(t, plain.String(), "\x1b")
	for _, cell := range []string{"\x1b[32mrefreshed\x1b[0m\n", "\x1b[31mfailed (not-settled)\x1b[0m\n", "\x1b[33mskipped\x1b[0m\n"} {
		assert.Contains(t, coloured.String(), cell)
	}
	assert.Equal(t, plain.String(), strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(coloured.String()))

	checks := result.Report{Checks: []result.Check{{Name: "image", Status: result.Wrong, Message: result.Message{Text: "gone"}}, {Name: "nodes", Status: result.Unchecked, Message: result.Message{Text: "who knows"}}}}
	coloured.Reset()
	require.NoError(t, checks.WriteTable(&coloured, result.Style{Colour: true}))
	assert.Equal(t, "\x1b[31m✗\x1b[0m image: gone\n? nodes: who knows\n\n0 ok, 0 warnings, 1 failed, 1 could not be checked\n", coloured.String())
}

func TestLinesAreWrappedToTheTerminalBetweenWords(t *testing.T) {
	t.Parallel()
	r := report()
	r.Targets[0].Workloads[1].Message = result.Message{Text: strings.Repeat("word ", 40) + "https://example.com/" + strings.Repeat("x", 90)}
	var out strings.Builder
	require.NoError(t, r.WriteTable(&out, result.Style{Width: 80}))
	_, lines, _ := strings.Cut(out.String(), "\n\n")
	wide := 0
	for line := range strings.SplitSeq(lines, "\n") {
		if len(line) > 80 {
			wide++
			assert.Len(t, strings.Fields(line), 1, "only a word is wider than the terminal: %q", line)
		}
	}
	assert.Equal(t, 1, wide)
	assert.Equal(t, strings.Fields(r.Lines()[0]), strings.Fields(lines)[:len(strings.Fields(r.Lines()[0]))], "no word is lost")
}

func TestAPlanShowsAgeAndPlatformsWhereTheyAreKnown(t *testing.T) {
	t.Parallel()
	r := report()
	r.StartedAt = time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	r.Targets[0].Platforms = []string{"linux/amd64", "linux/arm64"}
	r.Targets[0].Workloads[0].Outcome = decide.Pending
	for ago, want := range map[time.Duration]string{30 * time.Minute: "30m", 47 * time.Hour: "47h", 49 * time.Hour: "2d", -time.Hour: "0m"} {
		r.Targets[0].Workloads[0].Created = r.StartedAt.Add(-ago)
		var out strings.Builder
		require.NoError(t, r.WriteTable(&out, result.Style{}))
		lines := strings.Split(out.String(), "\n")
		assert.Equal(t, []string{"TARGET", "WORKLOAD", "SLOT", "LIVE", "LATEST", "PLATFORMS", "OUTCOME"}, strings.Fields(lines[0]))
		assert.Equal(t, []string{"jobs", "Deployment", "x", "api", "222222222222", "(" + want + ")", "222222222222", "linux/amd64,linux/arm64", "pending"}, strings.Fields(lines[1]))
		assert.Equal(t, []string{"ingestor", "Deployment", "z", "api/D", "empty", "unknown", "-", "skipped"}, strings.Fields(lines[4]))
	}
}

func TestWantedValuesAndPatches(t *testing.T) {
	t.Parallel()
	wanted := result.Desired{
		Values:  map[string]string{"api.image.digest": first, "api.ref": "x@" + second, "b": first},
		Patches: []map[string]any{{"kind": "Deployment"}, {"kind": "DaemonSet"}},
	}
	var out strings.Builder
	require.NoError(t, wanted.WriteValues(&out))
	_, text, _ := strings.Cut(out.String(), "\n")
	assert.Equal(t, "api:\n  image:\n    digest: "+first+"\n  ref: x@"+second+"\nb: "+first+"\n", text)
	out.Reset()
	require.NoError(t, wanted.WritePatches(&out))
	_, text, _ = strings.Cut(out.String(), "\n")
	assert.Equal(t, "kind: Deployment\n---\nkind: DaemonSet\n", text)
	require.Error(t, wanted.WriteValues(&brokenPipe{}))
}
