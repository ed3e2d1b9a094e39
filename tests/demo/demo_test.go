package main

import (
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/registries"
)

var update = flag.Bool("update-page", false, "put what the demo prints into docs/demo.md")

// temporary gives the demo an empty folder for temporary files, and returns a check that it is empty again.
func temporary(t *testing.T) (check func()) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() {
		t.Helper()
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}

// The script holds, leaves no file, and is what its page shows; what the README shows at its top is taken from it. After a change
// of either: go -C tests test ./demo -update-page
func TestItsPageAndTheReadmeShowTheDemo(t *testing.T) {
	check := temporary(t)
	var out strings.Builder
	require.NoError(t, run(t.Context(), printer{out: &out}, os.Stderr))
	check()
	tests, err := components.Root()
	require.NoError(t, err)
	root := filepath.Dir(tests)
	page := filepath.Join(root, "docs", "demo.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)<!-- what make demo prints -->\n```console\n(.*?)```\n").FindSubmatchIndex(text)
	require.NotNil(t, block, "the page has no block for the demo's output")
	if *update {
		printed := regexp.MustCompile(`(?m) +$`).ReplaceAllString(out.String(), "")
		require.NoError(t, os.WriteFile(page, []byte(string(text[:block[2]])+printed+string(text[block[3]:])), 0o600))
		return
	}
	printed := normalised(out.String())
	assert.Equal(t, printed, normalised(string(text[block[2]:block[3]])), "docs/demo.md does not show what the demo prints: go -C tests test ./demo -update-page")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	parts := regexp.MustCompile("(?s)<!-- from what make demo prints -->\n```console\n(.*?)```\n").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, parts, 2)
	for _, part := range parts {
		for line := range strings.Lines(normalised(part[1])) {
			assert.Contains(t, printed, line, "the README's first screen")
		}
	}
}

// normalised is text without what differs between two runs: times, ports, and column widths.
func normalised(text string) string {
	for _, replace := range []struct{ pattern, with string }{
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`\b\d+\.\d s\b`, "N s"}, // how long it took
		{`\d{4}-\d\d-\d\dT[\d:]+Z`, "TIME"},
		{`(?m) +$`, ""}, {` +`, " "}, // columns
		{`(?m)\b(?:\d+m)?\d+s( |$)`, "AGE$1"}, // of kubectl's
	} {
		text = regexp.MustCompile(replace.pattern).ReplaceAllString(text, replace.with)
	}
	return text
}

// canceller ends the demo once it has printed a text.
type canceller struct {
	strings.Builder
	text   string
	cancel context.CancelFunc
}

func (c *canceller) Write(p []byte) (int, error) {
	if c.Builder.Write(p); strings.Contains(c.String(), c.text) {
		c.cancel()
	}
	return len(p), nil
}

// Ctrl-C in the middle of a step, and while the environment is built.
func TestAnInterruptedDemoLeavesNothing(t *testing.T) {
	for _, text := range []string{"Pods are played", "\n2. "} {
		check := temporary(t)
		ctx, cancel := context.WithCancel(t.Context())
		out := &canceller{text: text, cancel: cancel}
		require.ErrorIs(t, run(ctx, printer{out: out}, os.Stderr), context.Canceled)
		assert.NotContains(t, out.String(), "\n3. ")
		check()
	}
}

func TestACommandThatFailsEndsTheDemo(t *testing.T) {
	site, err := registries.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, site.Stop()) })
	e := &environment{dir: t.TempDir(), site: site}
	err = execute(t.Context(), printer{out: io.Discard}, e, "echo why >&2; exit 3", 3)
	require.ErrorContains(t, err, "ended with 3, not with 0:\nwhy")
}

func TestNoTerminalGetsNoColours(t *testing.T) {
	assert.False(t, coloured(os.NewFile(^uintptr(0), "nothing")))
}
