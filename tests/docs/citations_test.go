package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a comment or the name of a test cites can be opened by who reads it: docs/incidents.md explains each number, and only
// numbers that a test has.
func TestWhatIsCitedCanBeOpened(t *testing.T) {
	t.Parallel()
	page, err := read("docs/incidents.md")
	require.NoError(t, err)
	explained := map[string]bool{} // and whether a test cites it
	for _, row := range regexp.MustCompile(`(?m)^\| ([IQ]\d{1,2}) \|`).FindAllStringSubmatch(page, -1) {
		assert.NotContains(t, explained, row[1], "explained twice")
		explained[row[1]] = false
	}
	number := regexp.MustCompile(`[IQ]\d{1,2}`)
	citation := regexp.MustCompile(`\b[IQ]\d{1,2}\b|\bTest(?:[IQ]\d{1,2})+`)
	elsewhere := regexp.MustCompile(`\b(DESIGN|FACTS|INCIDENTS|STYLE)\.md\b`)
	for file, text := range files(t, "*.go", "*.md", "*.yaml", "*.tpl", "*.sh", "*.txtar") {
		if slices.Contains([]string{"docs/incidents.md", "tests/docs/citations_test.go"}, file) {
			continue
		}
		assert.Empty(t, elsewhere.FindAllString(text, -1), "%s: not in this repository", file)
		for _, cited := range number.FindAllString(strings.Join(citation.FindAllString(text, -1), " "), -1) {
			assert.Contains(t, explained, cited, "%s cites what docs/incidents.md does not explain", file)
			explained[cited] = explained[cited] || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".txtar")
		}
	}
	for number, tested := range explained {
		assert.True(t, tested, "no test cites %s", number)
	}
}
