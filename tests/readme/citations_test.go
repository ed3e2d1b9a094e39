package readme_test

import (
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

var (
	explained          = regexp.MustCompile(`(?m)^\| ([IQ]\d{1,2}) \|`)
	cited              = regexp.MustCompile(`\b[IQ]\d{1,2}\b`)
	inTestName         = regexp.MustCompile(`\bTest((?:[IQ]\d{1,2})+)`)
	eachNumber         = regexp.MustCompile(`[IQ]\d{1,2}`)
	notInTheRepository = regexp.MustCompile(`\b(DESIGN|FACTS|INCIDENTS|STYLE)\.md\b`)
)

// What a comment or the name of a test cites can be opened by who reads it: docs/incidents.md explains each number, and only
// numbers that a test has.
func TestWhatIsCitedCanBeOpened(t *testing.T) {
	t.Parallel()
	tests, err := components.Root()
	require.NoError(t, err)
	root := filepath.Dir(tests)
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.go", "*.md", "*.yaml", "*.tpl", "*.sh")
	list.Dir = root
	files, err := list.Output()
	require.NoError(t, err)

	page, err := os.ReadFile(filepath.Join(root, "docs", "incidents.md"))
	require.NoError(t, err)
	var on []string
	for _, row := range explained.FindAllStringSubmatch(string(page), -1) {
		assert.NotContains(t, on, row[1], "explained twice")
		on = append(on, row[1])
	}
	tested := map[string]bool{}
	for file := range strings.Lines(string(files)) {
		file = strings.TrimSuffix(file, "\n")
		content, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		if file == "docs/incidents.md" || file == "tests/readme/citations_test.go" {
			continue
		}
		for _, name := range notInTheRepository.FindAllString(string(content), -1) {
			assert.Fail(t, name+" is not in this repository", file)
		}
		for _, number := range slices.Concat(cited.FindAllString(string(content), -1), eachNumber.FindAllString(strings.Join(inTestName.FindAllString(string(content), -1), " "), -1)) {
			assert.Contains(t, on, number, "%s cites %s, which docs/incidents.md does not explain", file, number)
			tested[number] = tested[number] || strings.HasSuffix(file, "_test.go")
		}
	}
	for _, number := range on {
		assert.True(t, tested[number], "no test cites %s", number)
	}
}
