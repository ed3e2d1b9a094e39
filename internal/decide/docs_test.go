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
	_, documented, _ := cut(t, "<!-- table: checked by internal/decide -->\n", "<!-- /table -->")
	var want strings.Builder
	for _, row := range decide.Table() {
		fmt.Fprintf(&want, "%s. %s\n", row.Label, row.Name)
	}
	assert.Equal(t, want.String(), documented)
}

// cut returns what stands between two marks in the documentation, with all that is before and after it.
func cut(t *testing.T, begin, end string) (before, between, after string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found, begin)
	between, after, found = strings.Cut(rest, end)
	require.True(t, found, end)
	return before + begin, between, end + after
}

// outcomesByRow collects which outcomes a row has decided.
type outcomesByRow [14][len(order)]atomic.Bool

// order is the order in which outcomes are shown: the good first, the loud last.
var order = [...]decide.Outcome{
	decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Pending, decide.Held, decide.Deferred,
	decide.Waiting, decide.Skipped, decide.Rejected, decide.RolledBack, decide.Failed,
}

func (o *outcomesByRow) add(d decide.Decision) {
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
		fmt.Fprintf(&b, "  r%s[\"%s. %s\"] -- yes --> o%s([\"%s\"])\n", row.Label, row.Label, row.Name, row.Label, strings.Join(outcomes, "<br/>"))
		if i+1 < len(table) {
			fmt.Fprintf(&b, "  r%s -- no --> r%s\n", row.Label, table[i+1].Label)
		}
	}
	return b.String() + "```\n"
}

// requireDiagram holds the diagram in the documentation against what every combination of inputs was decided as.
func requireDiagram(t *testing.T, seen *outcomesByRow) {
	t.Helper()
	before, drawn, after := cut(t, "<!-- diagram: drawn by internal/decide -->\n", "<!-- /diagram -->")
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+seen.diagram()+after), 0o600))
		return
	}
	assert.Equal(t, seen.diagram(), drawn, "the diagram is stale: go test ./internal/decide -run Combination -update-docs")
}
