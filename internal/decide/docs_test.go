package decide_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// After a change of the table: go test ./internal/decide -run Combination -update-docs
var update = flag.Bool("update-docs", false, "draw the diagram in the documentation anew")

const page = "../../docs/how-a-tick-decides.md"

// The list of rows in the documentation is the table, row by row.
func TestTheDocumentedTableIsTheTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "<!-- table: checked by internal/decide -->\n")
	require.True(t, found)
	documented, _, found := strings.Cut(after, "<!-- /table -->")
	require.True(t, found)
	var want strings.Builder
	for _, row := range decide.Table() {
		fmt.Fprintf(&want, "%d. %s\n", row.Number, row.Name)
	}
	assert.Equal(t, want.String(), documented)
}

// outcomesByRow collects which outcomes a row has decided.
type outcomesByRow [13][len(order)]atomic.Bool

// order is the order in which outcomes are shown: the good first, the loud last.
var order = [...]decide.Outcome{
	decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Pending, decide.Held, decide.Deferred,
	decide.Waiting, decide.Skipped, decide.Rejected, decide.RolledBack, decide.Failed,
}

func (o *outcomesByRow) add(d decide.Decision) {
	if d.Verify != "" {
		return // it is decided again, with what the gates say
	}
	if seen := &o[d.Row][slices.Index(order[:], d.Outcome)]; !seen.Load() {
		seen.Store(true)
	}
}

// diagram draws the table with what its rows have decided.
func (o *outcomesByRow) diagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nflowchart TD\n")
	table := decide.Table()
	for i, row := range table {
		var outcomes []string
		for at := range order {
			if o[row.Number][at].Load() {
				outcomes = append(outcomes, string(order[at]))
			}
		}
		fmt.Fprintf(&b, "  r%d[\"%d. %s\"] -- yes --> o%d([\"%s\"])\n", row.Number, row.Number, row.Name, row.Number, strings.Join(outcomes, "<br/>"))
		if i+1 < len(table) {
			fmt.Fprintf(&b, "  r%d -- no --> r%d\n", row.Number, table[i+1].Number)
		}
	}
	return b.String() + "```\n"
}

// requireDiagram holds the diagram in the documentation against what every combination of inputs was decided as.
func requireDiagram(t *testing.T, seen *outcomesByRow) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, after, found := strings.Cut(string(text), "<!-- diagram: drawn by internal/decide -->\n")
	require.True(t, found)
	drawn, after, found := strings.Cut(after, "<!-- /diagram -->")
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+"<!-- diagram: drawn by internal/decide -->\n"+seen.diagram()+"<!-- /diagram -->"+after), 0o600))
		return
	}
	assert.Equal(t, seen.diagram(), drawn, "the diagram is stale: go test ./internal/decide -run Combination -update-docs")
}
