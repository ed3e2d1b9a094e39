package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// A tick counts only where the counter is still what it read when it began, so that two at once count once, whatever their
// clocks say (I28, I80).
func TestIncrement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		began, stored    int
		n                int
		byUs             bool
		reached, reaches bool
	}{
		{"the first time", 0, 0, 1, true, false, false},
		{"once more", 1, 1, 2, true, false, false},
		{"another tick has counted since", 1, 2, 2, false, false, false},
		{"another tick has cleared it since", 2, 0, 0, false, false, false},
		{"reached by this tick", 2, 2, 3, true, true, true},
		{"reached by another tick", 2, 3, 3, false, true, false},
		{"beyond", 3, 3, 4, true, true, false},
		{"beyond, by another tick", 3, 4, 4, false, true, false},
	} {
		count := decide.Increment(c.began, c.stored, 3)
		assert.Equal(t, decide.Count{N: c.n, Of: 3, ByUs: c.byUs}, count, c.name)
		assert.Equal(t, c.reached, count.Reached(), c.name)
		assert.Equal(t, c.reaches, count.JustReached(), c.name)
	}
}

func TestCountStopsAtItsThreshold(t *testing.T) {
	t.Parallel()
	assert.Equal(t, decide.Count{N: 3, Of: 3, ByUs: true}, decide.Increment(2, 2, 3).AtMostThreshold())
	beyond := decide.Increment(3, 3, 3).AtMostThreshold()
	assert.Equal(t, decide.Count{N: 3, Of: 3}, beyond, "beyond it nothing is counted")
	assert.True(t, beyond.Reached())
	assert.False(t, beyond.JustReached(), "nor said again")
	assert.Equal(t, decide.Count{N: 2, Of: 3, ByUs: true}, decide.Increment(1, 1, 3).AtMostThreshold())
	assert.Equal(t, "2/3", decide.Increment(1, 1, 3).String())
}
