package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/transcript"
)

var update = flag.Bool("update-readme", false, "put what the demo prints into the README")

// temporary gives the demo an empty folder for temporary files, and checks
// that it is empty again.
func temporary(t *testing.T) (check func()) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() {
		t.Helper()
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, left)
		assert.Equal(t, dir, os.Getenv("TMPDIR"))
	}
}

// The story holds, leaves no file, and is what the README shows. After a
// change of either: go -C tests test ./demo -update-readme
func TestTheReadmeShowsTheDemo(t *testing.T) {
	check := temporary(t)
	var out strings.Builder
	require.NoError(t, run(t.Context(), &transcript.Printer{Out: &out}, os.Stderr))
	check()
	tests, err := components.Root()
	require.NoError(t, err)
	readme := filepath.Join(filepath.Dir(tests), "README.md")
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	before, shown, after, err := block(string(text))
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(before+trimmed(out.String())+after), 0o600))
		return
	}
	assert.Equal(t, normalised(out.String()), normalised(shown),
		"the README does not show what the demo prints: go -C tests test ./demo -update-readme")
}

// canceller ends the demo once it has printed a text.
type canceller struct {
	text   string
	cancel context.CancelFunc
	seen   strings.Builder
}

func (c *canceller) Write(p []byte) (int, error) {
	c.seen.Write(p)
	if strings.Contains(c.seen.String(), c.text) {
		c.cancel()
	}
	return len(p), nil
}

// Ctrl-C in the middle of a chapter, and while the world is built.
func TestAnInterruptedDemoLeavesNothing(t *testing.T) {
	for _, text := range []string{"Pods are played", "\n2. "} {
		check := temporary(t)
		ctx, cancel := context.WithCancel(t.Context())
		out := &canceller{text: text, cancel: cancel}
		require.ErrorIs(t, run(ctx, &transcript.Printer{Out: out}, os.Stderr), context.Canceled)
		assert.NotContains(t, out.seen.String(), "\n3. ")
		check()
	}
}

func TestAStepThatDoesNotHoldSaysSo(t *testing.T) {
	require.NoError(t, expect(true, ""))
	err := expect(false, "%s is not %s", "a", "b")
	require.ErrorIs(t, err, errStory)
	require.EqualError(t, err, "the story does not hold: a is not b")

	table := "TARGET  OUTCOME\ningestor  x  failed (proxy)\n\ningestor: proxy (3/3): failed (dns)\n"
	assert.True(t, hasRow(table, row{"ingestor", "failed (proxy)"}))
	assert.False(t, hasRow(table, row{"ingestor", "failed (dns)"}))
	assert.False(t, hasRow(table, row{"ingestor", "failed"}))
	assert.False(t, hasRow(table, row{"gestor", "failed (proxy)"}))
}

func TestNoTerminalGetsNoColours(t *testing.T) {
	assert.False(t, coloured(os.NewFile(^uintptr(0), "nothing")))
}

// block finds the demo's output in the README.
func block(readme string) (before, shown, after string, err error) {
	const opening, closing = "<!-- what make demo prints -->\n```console\n", "```\n"
	at := strings.Index(readme, opening)
	if at < 0 {
		return "", "", "", errors.New("the README has no block for the demo's output")
	}
	at += len(opening)
	end := strings.Index(readme[at:], closing)
	if end < 0 {
		return "", "", "", errors.New("the README's block for the demo's output has no end")
	}
	return readme[:at], readme[at : at+end], readme[at+end:], nil
}

// trimmed is text without spaces at the ends of its lines.
func trimmed(text string) string { return regexp.MustCompile(`(?m) +$`).ReplaceAllString(text, "") }

// normalised is text without what differs between two runs: times, ports, and
// column widths. Digests are numbered, so that which are the same remains.
func normalised(text string) string {
	for _, replace := range []struct{ pattern, with string }{
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`\b\d+\.\d s\b`, "N s"},     // how long it took
		{`(?m) +$`, ""}, {` +`, " "}, // columns
		{`(?m)\b(?:\d+m)?\d+s( |$)`, "AGE$1"}, // of kubectl's
	} {
		text = regexp.MustCompile(replace.pattern).ReplaceAllString(text, replace.with)
	}
	numbers := map[string]int{}
	return regexp.MustCompile(`\b([0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{12})\b`).ReplaceAllStringFunc(text, func(digest string) string {
		short := digest[:12]
		if numbers[short] == 0 {
			numbers[short] = len(numbers) + 1
		}
		return fmt.Sprintf("DIGEST-%d", numbers[short])
	})
}
