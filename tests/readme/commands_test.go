package readme_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/components"
)

// How a block of commands begins says where it can be run.
const (
	needsCluster = "# needs a cluster" // run by the test of this package, for pages in its list
	needsRelease = "# needs a release" // none has been published yet, and none can be fetched here
	forRelease   = "# for a release"   // only a maintainer may push a tag; release/ready has a test in tests/release
)

var block = regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```$")

// commands are the blocks of commands in a document that begin with a line.
func commands(text, first string) []string {
	var found []string
	for _, match := range block.FindAllStringSubmatch(text, -1) {
		script := strings.ReplaceAll("\n"+match[2], "\n"+match[1], "\n")[1:]
		if rest, is := strings.CutPrefix(script, first+"\n"); is {
			found = append(found, rest)
		}
	}
	return found
}

// elsewhere are pages whose commands somebody else runs.
var elsewhere = map[string]string{
	"docs/runbook.md": "tests/scenario runs each section's commands where its trouble is real, and tests/e2e those that need a node",
}

// inline is a whole command within a sentence. One that says no namespace is only mentioned.
var inline = regexp.MustCompile("`((?:kubectl|helm) [^`]*(?:-n|--namespace) [^`]*|make [^`]*)`")

// No command stands in a document that nothing runs, but for a stated reason.
func TestNoCommandIsLeftOut(t *testing.T) {
	t.Parallel()
	tests, err := components.Root()
	require.NoError(t, err)
	root := filepath.Dir(tests)
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md")
	list.Dir = root
	files, err := list.Output()
	require.NoError(t, err)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	makes := func(line string) bool {
		target, is := strings.CutPrefix(line, "make ")
		target, _, _ = strings.Cut(target, " ")
		return is && strings.Contains(string(makefile), "\n"+target+":")
	}
	var run, mentioned strings.Builder
	for _, page := range strings.Fields(string(files)) {
		content, err := os.ReadFile(filepath.Join(root, page))
		if os.IsNotExist(err) || elsewhere[page] != "" {
			continue
		}
		require.NoError(t, err)
		text := string(content)
		if len(commands(text, needsCluster)) > 0 {
			assert.Contains(t, pages, page, "the page's commands for a cluster are not run")
		}
		for _, match := range inline.FindAllStringSubmatch(text, -1) {
			fmt.Fprintln(&mentioned, match[1])
		}
		for _, match := range block.FindAllStringSubmatch(text, -1) {
			run.WriteString(match[2])
			lines := strings.Split(strings.TrimSpace(match[2]), "\n")
			if slices.Contains([]string{needsCluster, needsRelease, forRelease}, lines[0]) {
				continue
			}
			for _, line := range lines {
				line = strings.TrimSpace(line)
				assert.True(t, makes(line) || line == "cd image-refresh" || strings.HasPrefix(line, "git clone "), "%s: nothing runs %q", page, line)
			}
		}
		assert.NotContains(t, text, "```bash", "%s: commands stand in blocks of sh", page)
		assert.NotContains(t, text, "```shell", "%s: commands stand in blocks of sh", page)
	}
	for line := range strings.Lines(mentioned.String()) {
		line = strings.TrimSpace(line)
		assert.True(t, makes(line) || strings.Contains(run.String(), line), "nothing runs %q", line)
	}
}

func TestCommandsAreFoundWhereTheyAreIndented(t *testing.T) {
	t.Parallel()
	text := "1. x\n\n   ```sh\n   # needs a cluster\n   a b\n     c\n   ```\n\n```sh\n# needs a cluster\nd\n```\n```sh\nmake e\n```\n"
	assert.Equal(t, []string{"a b\n  c\n", "d\n"}, commands(text, needsCluster))
}

var shownValues = regexp.MustCompile("(?s)<!-- values -->\n```yaml\n(.*?)```\n")

// Values that a document shows are taken by the chart, schema and all.
func TestTheValuesInTheDocumentsRender(t *testing.T) {
	t.Parallel()
	tests, err := components.Root()
	require.NoError(t, err)
	root := filepath.Dir(tests)
	install := exec.CommandContext(t.Context(), filepath.Join(tests, "tools", "install"), "helm4")
	helm, err := install.Output()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	rendered := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range shownValues.FindAllStringSubmatch(string(text), -1) {
			rendered++
			cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(helm)), "template", filepath.Join(root, "chart"), "--values", "-")
			cmd.Stdin = strings.NewReader(match[1])
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s\n%s\n%s", file, match[1], output)
			assert.Contains(t, string(output), "kind: CronJob", file)
		}
	}
	assert.Positive(t, rendered)
}
