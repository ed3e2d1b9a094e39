package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// variables is the block of the runbook that sets what its other commands use.
var variables = regexp.MustCompile("(?s)```sh\n(export .*?)```")

func TestRunbookTellsItsReaderToSetEachVariable(t *testing.T) {
	t.Parallel()
	text, err := read("docs/runbook.md")
	require.NoError(t, err)
	variables := variables.FindString(text)
	sections, err := Runbook()
	require.NoError(t, err)
	blocks := 1 // which sets the variables
	for title, scripts := range sections {
		for _, script := range scripts {
			blocks++
			for _, used := range regexp.MustCompile(`\$\{?([A-Z_]+)\b`).FindAllStringSubmatch(script.Text, -1) {
				assert.Contains(t, variables+script.Text, " "+used[1]+"=", "section %s", title)
			}
		}
	}
	assert.Equal(t, strings.Count(text, "```sh"), blocks, "each block is read")
}
