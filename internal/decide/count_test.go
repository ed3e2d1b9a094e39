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
		name                   string
		began, stored          int
		want, most             decide.Count // most: cut at the threshold, beyond which nothing is counted
		reached, reaches, says bool         // says: again, once it is cut
	}{
		{"the first time", 0, 0, decide.Count{N: 1, Of: 3, ByUs: true}, decide.Count{N: 1, Of: 3, ByUs: true}, false, false, false},
		{"another tick has counted since", 1, 2, decide.Count{N: 2, Of: 3}, decide.Count{N: 2, Of: 3}, false, false, false},
		{"another tick has cleared it since", 2, 0, decide.Count{N: 0, Of: 3}, decide.Count{N: 0, Of: 3}, false, false, false},
		{"reached by this tick", 2, 2, decide.Count{N: 3, Of: 3, ByUs: true}, decide.Count{N: 3, Of: 3, ByUs: true}, true, true, true},
		{"reached by another tick", 2, 3, decide.Count{N: 3, Of: 3}, decide.Count{N: 3, Of: 3}, true, false, false},
		{"beyond", 3, 3, decide.Count{N: 4, Of: 3, ByUs: true}, decide.Count{N: 3, Of: 3}, true, false, false},
		{"beyond, by another tick", 3, 4, decide.Count{N: 4, Of: 3}, decide.Count{N: 3, Of: 3}, true, false, false},
	} {
		count := decide.Increment(c.began, c.stored, 3)
		assert.Equal(t, c.want, count, c.name)
		assert.Equal(t, c.reached, count.Reached(), c.name)
		assert.Equal(t, c.reaches, count.JustReached(), c.name)
		assert.Equal(t, c.most, count.AtMostThreshold(), c.name)
		assert.Equal(t, c.says, count.AtMostThreshold().JustReached(), c.name)
	}
	assert.Equal(t, "2/3", decide.Increment(1, 1, 3).String())
}
