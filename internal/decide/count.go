package decide

import "fmt"

// Count is how often something has happened in a row, with this tick.
type Count struct {
	N  int
	Of int // from here on an operator must look
	// ByUs says that this tick is the one that counts. Otherwise another one has counted since this one began.
	ByUs bool
}

// Increment counts this tick: one more than is stored, unless the counter is no longer what this tick read when it
// began. No clock is asked, so ticks on nodes whose clocks differ agree (I48, I80).
func Increment(began, stored, of int) Count {
	if began != stored {
		return Count{N: stored, Of: of}
	}
	return Count{N: stored + 1, Of: of, ByUs: true}
}

// AtMostThreshold is the count, cut at the threshold. Beyond it nothing is counted, so nothing is written or said again.
func (c Count) AtMostThreshold() Count {
	if c.N > c.Of {
		return Count{N: c.Of, Of: c.Of}
	}
	return c
}

// before is the count without this tick.
func (c Count) before() int {
	if c.ByUs {
		return c.N - 1
	}
	return c.N
}

// Reached says whether the threshold is reached.
func (c Count) Reached() bool { return c.N >= c.Of }

// JustReached says whether it is this tick that reaches the threshold.
func (c Count) JustReached() bool { return c.ByUs && c.N == c.Of }

func (c Count) String() string { return fmt.Sprintf("%d/%d", c.N, c.Of) }
