package modelcheck

import (
	"fmt"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// patience is within how many ticks quiet surroundings must lead to an end: invariant (e). After that, every tick
// of endlessly many must end well; watched is a whole round of the count to eight of a contested digest.
const (
	patience = 5
	watched  = 10
)

// A mood is how the surroundings behave while nobody does anything any more.
type mood struct {
	name     string
	rollout  uint8 // what becomes of rollouts that are not settled
	registry uint8
	moved    bool // the tags have moved to a digest that nobody has ever seen, and that works
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
	if !m.looks {
		return ""
	}
	w.ticks, w.may, w.ghost = [2]tick{}, budget{}, ghost{}
	for at := range w.objects {
		w.objects[at].revisions = [mostRevisions]revision{}
	}
	w.registry = [mostTargets]uint8{}
	if known, told := m.futures[w]; told {
		return known
	}
	broken := ""
	for _, mood := range moods {
		if broken = m.watch(w, mood); broken != "" {
			broken = "(e) " + mood.name + ": " + broken
			break
		}
	}
	m.futures[w] = broken
	return broken
}

// watch runs ticks through a mood.
func (m *model) watch(w world, mood mood) string {
	for t := range m.targets {
		w.registry[t] = mood.registry
		if mood.moved {
			w.tags[t] = novel
		}
	}
	patient := patience + 3*(m.targets-1) + m.workloads - 1
	for n := 1; n <= patient+watched; n++ {
		before := w
		last, well := m.whole(&w, mood)
		switch {
		case n < patient:
			continue
		case !well:
			return fmt.Sprintf("tick %d ends with %q, and the slots are not fresh: %s", n, last, m.describe(&w))
		}
		writes := false
		for at := range m.workloads {
			o, earlier := &w.objects[at], &before.objects[at]
			held := m.core.texts[o.labels][keys.Hold()] != ""
			for t := range m.targets {
				outcome := last[at][t]
				if mood.moved && outcome != decide.Unchanged && !held && !o.zero {
					return fmt.Sprintf("tick %d ends with %q, which leads nowhere: %s", n, last, m.describe(&w))
				}
				counts := m.core.recordOf(o, t).State.Reapplied != m.core.recordOf(earlier, t).State.Reapplied
				if (o.labels != earlier.labels || o.annotations != earlier.annotations) && (outcome == decide.Unchanged || outcome == decide.Held) && !counts && m.targets*m.workloads == 1 {
					return fmt.Sprintf("(d) tick %d is %q and writes: %s", n, outcome, m.describe(&w))
				}
			}
			writes = writes || *o != *earlier
		}
		if !writes {
			return ""
		}
	}
	return ""
}

// whole runs one tick from beginning to end, and says how it ended, and whether that is fine.
func (m *model) whole(w *world, mood mood) (ended [mostWorkloads][mostTargets]decide.Outcome, well bool) {
	s := step{world: *w}
	s.ghost = ghost{}
	m.turn(&s.world, mood.rollout)
	well = true
	parts := m.parts
	m.parts = func(w *world, place, at int) {
		for t := range m.targets {
			ended[at][t] = outcomes[w.ticks[place].each[at].outcomes[t]]
		}
		well = well && m.allFine(w, place, at)
	}
	m.run(&s, mood.rollout, podsCrash)
	m.parts = parts
	m.turn(&s.world, mood.rollout)
	*w = s.world
	w.ghost = ghost{}
	return ended, well
}

// turn lets all rollouts that are not settled come to something.
func (m *model) turn(w *world, rollout uint8) {
	for at := range m.workloads {
		if o := &w.objects[at]; o.rollout != settled {
			o.rollout = rollout
		}
		m.prove(w, at)
	}
}

// run is a tick from beginning to end. What it waits for comes to the same in all workloads, and pods say the same.
func (m *model) run(s *step, rollout, pods uint8) {
	m.begin(s)
	for s.ticks[0].running {
		for at := range m.workloads {
			if !s.ticks[0].running {
				break
			}
			switch s.ticks[0].each[at].phase {
			case done:
				continue
			case waiting:
				m.turn(&s.world, rollout)
			}
			m.advance(s, 0, at, pods)
		}
	}
}
