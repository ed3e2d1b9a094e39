package model

import (
	"fmt"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// patience is within how many ticks quiet surroundings must lead to an end: invariant (e). After that, every tick
// of endlessly many must end well; watched is a whole round of the count to eight of a contested digest.
const (
	patience = 4
	watched  = 10
)

// A mood is how the surroundings behave while nobody does anything any more.
type mood struct {
	name     string
	rollout  uint8 // what becomes of rollouts that are not settled
	registry uint8
	moved    bool // the tag has moved to a digest that nobody has ever seen, and that works
}

var moods = []mood{
	{"all is well", settled, up, false},
	{"rollouts hang", hangs, up, false},
	{"rollouts are given up", gaveUp, up, false},
	{"the registry is down", settled, down, false},
	{"the registry is down and rollouts hang", hangs, down, false},
	{"a gate says no", settled, gateNo, false},
	{"a new good digest", settled, up, true},
}

// future checks what must become of a world if nothing happens to it any more but ticks, one after another.
// Whatever tick was running is dead.
func (m *model) future(w world) string {
	for w.ticks[0].phase != idle {
		w.end(0)
	}
	w.left, w.ghost, w.replicaSets = budget{}, ghost{}, world{}.replicaSets
	w, _ = w.canonical()
	if known, told := m.quiet[w]; told {
		return known
	}
	broken := ""
	for _, mood := range moods {
		if broken = m.watch(w, mood); broken != "" {
			broken = "(e) " + mood.name + ": " + broken
			break
		}
	}
	m.quiet[w] = broken
	return broken
}

// watch runs ticks through a mood.
func (m *model) watch(w world, mood mood) string {
	w.registry = mood.registry
	if mood.moved {
		w.tag = novel
	}
	var last answer
	writes := false
	for n := 1; n <= patience+watched; n++ {
		before := w
		var well bool
		last, well, writes = m.whole(&w, mood)
		if n < patience {
			continue
		}
		switch {
		case !well:
			return fmt.Sprintf("tick %d ends with %q, and the slot is not fresh: %s", n, last.outcome, w)
		case mood.moved && last.outcome != decide.Unchanged && !w.hold:
			return fmt.Sprintf("tick %d ends with %q, which leads nowhere: %s", n, last.outcome, w)
		case writes && (last.outcome == decide.Unchanged || last.outcome == decide.Held) && w.reapplied == before.reapplied:
			return fmt.Sprintf("(d) tick %d is %q and writes: %s", n, last.outcome, w)
		case w == before:
			return ""
		}
	}
	if mood.rollout == settled && mood.registry == up && last.outcome != decide.Unchanged && last.outcome != decide.Held && last.outcome != decide.Rejected {
		return fmt.Sprintf("it ends with %q: %s", last.outcome, w)
	}
	return ""
}

// whole runs one tick from beginning to end, and says how it ended, whether that is fine, and whether it wrote.
func (m *model) whole(w *world, mood mood) (got answer, well, writes bool) {
	turn := func(s *step) {
		if s.rollout != settled {
			s.rollout = mood.rollout
		}
	}
	s := step{world: *w}
	turn(&s)
	before := s.world.written()
	m.core.ended = func(w *world, t tick, a answer) { got, well = a, fine(w, t, a) }
	m.core.start(&s)
	for s.ticks[0].phase != idle {
		if s.ticks[0].phase == waiting {
			turn(&s)
		}
		m.core.advance(&s, 0, false)
	}
	m.core.ended = nil
	turn(&s)
	s.ghost, s.replicaSets = ghost{}, world{}.replicaSets
	*w = s.world
	return got, well, s.world.written() != before
}
