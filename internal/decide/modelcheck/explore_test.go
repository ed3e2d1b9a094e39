package modelcheck

import (
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// model is a configuration of the checker.
type model struct {
	shape
	core    *core
	gates   bool  // gates may say no
	undoes  bool  // a person may undo: ReplicaSets are kept
	chart   uint8 // what a deployer renders into every slot
	initial state
	futures map[state]string
	looks   bool                          // into the future
	parts   func(s *state, place, at int) // told of every end of a tick's part; nil: nobody listens
}

// A node is how a state was first reached. The states themselves are not kept, only their hashes: two states with one 64-bit hash
// would hide one of them, which at ten million states has a chance of one in 300,000.
type node struct {
	parent uint32
	event  event
}

// found is what an exploration came to.
type found struct {
	states, events, depth int
	whole                 bool // every state was visited that can be reached
	broken                string
	example               string // the shortest sequence of events that breaks the invariant
}

// explore visits the states that can be reached, those reached by the fewest events first, up to so many states, or to the
// first broken invariant.
func (m *model) explore(most int) (result found) {
	type reached struct {
		state
		node uint32
	}
	m.futures = map[state]string{}
	seed := maphash.MakeSeed()
	seen := map[uint64]bool{maphash.Comparable(seed, m.initial): true}
	nodes := []node{{}}
	level := []reached{{m.initial, 0}}
	for ; len(level) > 0 && len(nodes) < most; result.depth++ {
		var next []reached
		for _, from := range level {
			if broken := m.future(from.state); broken != "" {
				result.states, result.broken, result.example = len(nodes), broken, m.retell(nodes, from.node)
				return result
			}
			for _, e := range m.events(&from.state) {
				result.events++
				s := m.happen(from.state, e)
				hash := maphash.Comparable(seed, s.state)
				if s.broken == "" && seen[hash] {
					continue
				}
				seen[hash] = true
				nodes = append(nodes, node{from.node, e})
				next = append(next, reached{s.state, uint32(len(nodes) - 1)})
				if s.broken != "" {
					result.states, result.broken, result.example = len(nodes), s.broken, m.retell(nodes, uint32(len(nodes)-1))
					return result
				}
			}
		}
		level = next
	}
	result.states, result.whole = len(nodes), len(level) == 0
	return result
}

// retell says how a state was reached.
func (m *model) retell(nodes []node, at uint32) string {
	var events []event
	for ; at != 0; at = nodes[at].parent {
		events = append([]event{nodes[at].event}, events...)
	}
	s := step{state: m.initial}
	text := "  0. " + m.describe(&s.state)
	for i, e := range events {
		s = m.happen(s.state, e)
		text += fmt.Sprintf("\n%3d. %s\n     %s", i+1, e, m.describe(&s.state))
	}
	return text
}

// describe shows what matters of a state.
func (m *model) describe(s *state) string {
	short := strings.NewReplacer(string(digestOf[1]), "1", string(digestOf[2]), "2", string(digestOf[3]), "3", string(digestOf[novel]), "4")
	text := fmt.Sprint("tags ", s.tags, ", registry ", s.registry)
	for at := range m.workloads {
		o := &s.objects[at]
		text += fmt.Sprintf("; workload %d, rollout %d, zero %t, slots %v, %s %s", at, o.rollout, o.zero, o.slots,
			short.Replace(fmt.Sprint(m.core.texts[o.labels])), short.Replace(fmt.Sprint(m.core.texts[o.annotations])))
		for place, t := range s.ticks {
			if t.running {
				text += fmt.Sprintf("; tick %d %s", place, [...]string{"is done", "writes", "returns", "waits"}[t.each[at].phase])
			}
		}
	}
	return text
}

// patience is within how many ticks quiet surroundings must lead to an end: invariant (e). After that, every tick
// of endlessly many must end well; watched is a whole round of the count to eight of a contested digest.
const (
	patience = 5
	watched  = 10
)

// surroundings are how everything around behaves while nobody does anything any more.
type surroundings struct {
	name     string
	rollout  uint8 // what becomes of rollouts that are not settled
	registry uint8
	moved    bool // the tags have moved to a digest that nobody has ever seen, and that works
	closed   bool // the window
}

// future checks what must become of a state if nothing happens to it any more but ticks, one after another.
// Whatever tick was running is dead.
func (m *model) future(s state) string {
	if !m.looks {
		return ""
	}
	s.ticks, s.may, s.history, s.begun = [2]tick{}, budget{}, s.history.awaitedOnly(), 0
	for at := range s.objects {
		s.objects[at].revisions = [mostRevisions]revision{}
	}
	s.registry, s.closed = [mostTargets]uint8{}, false
	return memo(m.futures, s, func() string {
		for _, around := range []surroundings{
			{name: "all is well"},
			{name: "rollouts hang", rollout: hangs},
			{name: "rollouts are given up", rollout: gaveUp},
			{name: "the registry is down", registry: down},
			{name: "the registry is down and rollouts hang", rollout: hangs, registry: down},
			{name: "a gate says no", registry: gateNo},
			{name: "a new good digest", moved: true},
			{name: "the window is closed", closed: true},
			{name: "the window is closed and rollouts hang", closed: true, rollout: hangs},
		} {
			if around.closed && !m.window {
				continue
			}
			if broken := m.watch(s, around); broken != "" {
				return "(e) " + around.name + ": " + broken
			}
		}
		return ""
	})
}

// watch runs ticks in these surroundings.
func (m *model) watch(s state, around surroundings) string {
	s.closed = around.closed
	for t := range m.targets {
		s.registry[t] = around.registry
		if around.moved {
			s.tags[t] = novel
		}
	}
	for at := range m.workloads {
		if around.moved && m.notify { // and a person has approved it
			s.objects[at].labels = m.core.with(s.objects[at].labels, map[string]string{keys.Approve(): label(novel)})
		}
	}
	patient := patience + 3*(m.targets-1) + m.workloads - 1
	for n := 1; n <= patient+watched; n++ {
		before := s
		last, well := m.whole(&s, around.rollout)
		switch {
		case n < patient:
			continue
		case !well:
			return fmt.Sprintf("tick %d ends with %q, and the slots are not fresh: %s", n, last, m.describe(&s))
		}
		writes := false
		for at := range m.workloads {
			o, earlier := &s.objects[at], &before.objects[at]
			held := m.core.texts[o.labels][keys.Hold()] != ""
			for t := range m.targets {
				outcome := last[at][t]
				if around.moved && outcome != decide.Unchanged && !held && !o.zero {
					return fmt.Sprintf("tick %d ends with %q, which leads nowhere: %s", n, last, m.describe(&s))
				}
				counts := m.core.recordOf(o.texts, t).State.Reapplied != m.core.recordOf(earlier.texts, t).State.Reapplied
				quiet := (outcome == decide.Unchanged || outcome == decide.Held) && m.targets*m.workloads == 1
				if quiet && o.texts != earlier.texts && !counts {
					return fmt.Sprintf("(d) tick %d is %q and writes: %s", n, outcome, m.describe(&s))
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
func (m *model) whole(s *state, rollout uint8) (ended [mostWorkloads][mostTargets]decide.Outcome, well bool) {
	after := step{state: *s}
	after.history = s.history.awaitedOnly()
	m.turn(&after.state, rollout)
	well = true
	parts := m.parts
	m.parts = func(s *state, place, at int) {
		for t := range m.targets {
			ended[at][t] = outcomes[s.ticks[place].each[at].outcomes[t]]
		}
		well = well && m.allFine(s, place, at)
	}
	m.run(&after, rollout, podsCrash)
	m.parts = parts
	m.turn(&after.state, rollout)
	*s = after.state
	s.history = s.history.awaitedOnly()
	return ended, well
}

// turn lets all rollouts that are not settled come to something.
func (m *model) turn(s *state, rollout uint8) {
	for at := range m.workloads {
		if o := &s.objects[at]; o.rollout != settled {
			o.rollout = rollout
		}
		m.prove(s, at)
	}
}

// run is a tick from beginning to end. What it waits for comes to the same in all workloads, and pods say the same.
func (m *model) run(s *step, rollout, pods uint8) {
	m.begin(s)
	for s.ticks[0].running {
		for at := range m.workloads {
			switch phase := s.ticks[0].each[at].phase; {
			case phase == done || !s.ticks[0].running:
				continue
			case phase == waiting:
				m.turn(&s.state, rollout)
			}
			m.advance(s, 0, at, pods)
		}
	}
}
