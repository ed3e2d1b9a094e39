package docs

import (
	"iter"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// How a block of commands begins says where it can be run.
const (
	needsCluster = "# needs a cluster" // run by the test of this package, for pages in its list
	needsRelease = "# needs a release" // none has been published yet, and none can be fetched here
	forRelease   = "# for a release"   // only a maintainer may push a tag; release/ready has a test in tests/release
)

var (
	block = regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```$")
	// inline is a whole command within a sentence. One that says no namespace is only mentioned.
	inline = regexp.MustCompile("`((?:kubectl|helm) [^`]*(?:-n|--namespace) [^`]*|make [^`]*)`")
)

// commands are the blocks of commands in a document that begin with a line.
func commands(text, first string) (found []string) {
	for _, match := range block.FindAllStringSubmatch(text, -1) {
		script := strings.ReplaceAll("\n"+match[2], "\n"+match[1], "\n")[1:]
		if rest, is := strings.CutPrefix(script, first+"\n"); is {
			found = append(found, rest)
		}
	}
	return found
}

// files are the names and texts of the repository's files that match, as they are now.
func files(t *testing.T, patterns ...string) iter.Seq2[string, string] {
	t.Helper()
	root, err := path("")
	require.NoError(t, err)
	arguments := append([]string{"ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, patterns...)
	list := exec.CommandContext(t.Context(), "git", arguments...)
	list.Dir = root
	names, err := list.Output()
	require.NoError(t, err)
	return func(yield func(string, string) bool) {
		for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
			text, err := read(name)
			if os.IsNotExist(err) {
				continue // deleted, and not committed yet
			}
			require.NoError(t, err)
			if !yield(name, text) {
				return
			}
		}
	}
}

// No command stands in a document that nothing runs, but for a stated reason. Those of the runbook are run by tests/scenario,
// where their trouble is real, and by tests/e2e where they need a node.
func TestNoCommandIsLeftOut(t *testing.T) {
	t.Parallel()
	makefile, err := read("Makefile")
	require.NoError(t, err)
	makes := func(line string) bool {
		target, is := strings.CutPrefix(line, "make ")
		target, _, _ = strings.Cut(target, " ")
		return is && strings.Contains(makefile, "\n"+target+":")
	}
	var run strings.Builder
	var mentioned []string
	for page, text := range files(t, "*.md") {
		if page == "docs/runbook.md" {
			continue
		}
		if len(commands(text, needsCluster)) > 0 {
			assert.Contains(t, append(pages, migrating), page, "the page's commands for a cluster are not run")
		}
		for _, match := range inline.FindAllStringSubmatch(text, -1) {
			mentioned = append(mentioned, match[1])
		}
		for _, match := range block.FindAllStringSubmatch(text, -1) {
			run.WriteString(match[2])
			lines := strings.Split(strings.TrimSpace(match[2]), "\n")
			if slices.Contains([]string{needsCluster, needsRelease, forRelease}, lines[0]) {
				continue
			}
			for _, line := range lines {
				line = strings.TrimSpace(line)
				known := makes(line) || line == "cd image-refresh" || strings.HasPrefix(line, "git clone ")
				assert.True(t, known, "%s: nothing runs %q", page, line)
			}
		}
		assert.NotRegexp(t, "```(bash|shell)", text, "%s: commands stand in blocks of sh", page)
	}
	for _, line := range mentioned {
		assert.True(t, makes(line) || strings.Contains(run.String(), line), "nothing runs %q", line)
	}
}

func TestCommandsAreFoundWhereTheyAreIndented(t *testing.T) {
	t.Parallel()
	text := "1. x\n\n   ```sh\n   # needs a cluster\n   a b\n     c\n   ```\n```sh\n# needs a cluster\nd\n```\n```sh\nmake e\n```\n"
	assert.Equal(t, []string{"a b\n  c\n", "d\n"}, commands(text, needsCluster))
}

// Values that a document shows are taken by the chart, schema and all.
func TestValuesInTheDocumentsRender(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm4")
	chart, err := path("chart")
	require.NoError(t, err)
	rendered := 0
	for page, text := range files(t, "docs/*.md") {
		for _, values := range regexp.MustCompile("(?s)<!-- values -->\n```yaml\n(.*?)```\n").FindAllStringSubmatch(text, -1) {
			rendered++
			cmd := exec.CommandContext(t.Context(), helm, "template", chart, "--values", "-")
			cmd.Stdin = strings.NewReader(values[1])
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s\n%s\n%s", page, values[1], output)
			assert.Contains(t, string(output), "kind: CronJob", page)
		}
	}
	assert.Positive(t, rendered)
}
