package modelcheck

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// model is a configuration of the checker.
type model struct {
	shape
	core    *core
	gates   bool  // gates may say no
	undoes  bool  // a person may undo: ReplicaSets are kept
	chart   uint8 // what a deployer renders into every slot
	initial world
	futures map[world]string
	looks   bool                          // into the future
	parts   func(w *world, place, at int) // told of every end of a tick's part; nil: nobody listens
}

// A node is how a world was first reached. The worlds themselves are not kept, only their hashes: two worlds
// with one 64-bit hash would hide one of them, which at ten million worlds has a chance of one in 300,000.
type node struct {
	parent uint32
	event  event
}

// found is what an exploration came to.
type found struct {
	worlds, events, depth int
	whole                 bool // every world was visited that can be reached
	broken                string
	example               string // the shortest sequence of events that breaks the invariant
}

// explore visits the worlds that can be reached, those reached by the fewest events first, up to so many worlds, or to the
// first broken invariant.
func (m *model) explore(most int) found {
	m.futures = map[world]string{}
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{}
	nodes := []node{{}}
	var result found
	level, ids := []world{m.initial}, []uint32{0}
	seen[maphash.Comparable(seed, m.initial)] = struct{}{}
	for len(level) > 0 && len(nodes) < most {
		var next []world
		var nextIDs []uint32
		for i, w := range level {
			if broken := m.future(w); broken != "" {
				result.broken, result.example = broken, m.tell(nodes, ids[i], nil)
				result.worlds = len(nodes)
				return result
			}
			for _, e := range m.events(&w) {
				result.events++
				s := m.happen(w, e)
				if s.broken != "" {
					result.broken, result.example = s.broken, m.tell(nodes, ids[i], &e)
					result.worlds = len(nodes)
					return result
				}
				hash := maphash.Comparable(seed, s.world)
				if _, known := seen[hash]; known {
					continue
				}
				seen[hash] = struct{}{}
				nodes = append(nodes, node{ids[i], e})
				next = append(next, s.world)
				nextIDs = append(nextIDs, uint32(len(nodes)-1))
			}
		}
		level, ids = next, nextIDs
		if len(level) > 0 {
			result.depth++
		}
	}
	result.whole = len(level) == 0
	result.worlds = len(nodes)
	return result
}

// tell retells how a world was reached.
func (m *model) tell(nodes []node, at uint32, last *event) string {
	var events []event
	for ; at != 0; at = nodes[at].parent {
		events = append([]event{nodes[at].event}, events...)
	}
	if last != nil {
		events = append(events, *last)
	}
	w := m.initial
	var text strings.Builder
	fmt.Fprintf(&text, "  0. %s\n", m.describe(&w))
	for i, e := range events {
		s := m.happen(w, e)
		fmt.Fprintf(&text, "%3d. %s\n     %s\n", i+1, e, m.describe(&s.world))
		w = s.world
	}
	return text.String()
}

// describe shows what matters of a world.
func (m *model) describe(w *world) string {
	var text strings.Builder
	for t := range m.targets {
		fmt.Fprintf(&text, "tag %d is %s%s; ", t, contentName(w.tags[t]), [...]string{"", ", registry down", ", a gate says no", ", half"}[w.registry[t]])
	}
	for at := range m.workloads {
		o := &w.objects[at]
		fmt.Fprintf(&text, "workload %d %s", at, [...]string{settled: "settled", hangs: "hangs", moves: "moves", further: "moves further", gaveUp: "gave up", lost: "lost"}[o.rollout])
		if o.zero {
			text.WriteString(" at zero")
		}
		for t := range m.targets {
			for s := range m.slots {
				fmt.Fprintf(&text, " [%s %03b]", contentName(o.slots[t][s].content), o.slots[t][s].claims)
			}
		}
		short := strings.NewReplacer("sha256:", "", "1111", "", "2222", "", "3333", "", "4444", "", `"version":1,`, "", epoch.Format(time.RFC3339), "")
		fmt.Fprintf(&text, " %s %s; ", short.Replace(fmt.Sprint(m.core.texts[o.labels])), short.Replace(fmt.Sprint(m.core.texts[o.annotations])))
	}
	for i, t := range w.ticks {
		if !t.running {
			continue
		}
		fmt.Fprintf(&text, "tick %d", i)
		for at := range m.workloads {
			fmt.Fprintf(&text, " %s", [...]string{"done", "writes", "returns", "waits"}[t.each[at].phase])
		}
		text.WriteString("; ")
	}
	return text.String()
}
