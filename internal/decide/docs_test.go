package decide_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// The list of rows in the documentation is the table, row by row.
func TestTheDocumentedTableIsTheTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/how-a-tick-decides.md")
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
