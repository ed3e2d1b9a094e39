//go:build !race

package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// What a decision costs is counted in allocations, which no machine changes. The bounds are a little above what is
// needed.
func TestBudgetOfAllocations(t *testing.T) {
	for _, c := range []struct {
		name    string
		input   decide.Input
		outcome decide.Outcome
		most    float64
	}{
		{"unchanged", input(latest(a)), decide.Unchanged, 2},
		{"refreshed", input(), decide.Refreshed, 11},
	} {
		require.Equal(t, c.outcome, decide.Decide(c.input).Outcome, c.name)
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { decide.Decide(c.input) }), c.most, c.name)
	}
}

// sample: every combination is tried.
const sample = 1
