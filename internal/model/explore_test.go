package model

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// model is a configuration of the checker.
type model struct {
	core    *core
	initial world
	gates   bool // gates may say no
	hands   bool // a person may undo: ReplicaSets are kept
	quiet   map[world]string
}

// A node is how a world was first reached. The worlds themselves are not kept, only their hashes: two worlds
// with one 64-bit hash would hide one of them, which at ten million worlds has a chance of one in 300,000.
type node struct {
	parent uint32
	event  event
}

// found is what an exploration came to.
type found struct {
	worlds  int
	events  int
	depth   int
	broken  string
	example string // the shortest sequence of events that breaks the invariant
}

// endlessly is no limit to the depth: to the fixpoint.
const endlessly = 1 << 30

// explore visits every world that can be reached by at most so many events, those reached by the fewest first,
// up to the first broken invariant.
func (m *model) explore(deepest int) found {
	m.quiet = map[world]string{}
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{}
	var nodes []node
	var result found
	start, _ := m.initial.canonical()
	level := []world{start}
	ids := []uint32{0}
	nodes = append(nodes, node{})
	seen[maphash.Comparable(seed, start)] = struct{}{}
	for len(level) > 0 && result.depth < deepest {
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
				reached, _ := s.world.forget().canonical()
				hash := maphash.Comparable(seed, reached)
				if _, known := seen[hash]; known {
					continue
				}
				seen[hash] = struct{}{}
				nodes = append(nodes, node{ids[i], e})
				next = append(next, reached)
				nextIDs = append(nextIDs, uint32(len(nodes)-1))
			}
		}
		level, ids = next, nextIDs
		if len(level) > 0 {
			result.depth++
		}
	}
	result.worlds = len(nodes)
	return result
}

// tell retells how a world was reached, in the names of digests that the beginning used.
func (m *model) tell(nodes []node, id uint32, last *event) string {
	var events []event
	for ; id != 0; id = nodes[id].parent {
		events = append([]event{nodes[id].event}, events...)
	}
	if last != nil {
		events = append(events, *last)
	}
	w, to := m.initial.canonical()
	names := inverse(to)
	var text strings.Builder
	fmt.Fprintf(&text, "  0. %s\n", w.rename(names))
	for i, e := range events {
		s := m.happen(w, e)
		told := e
		if e.kind == tagMoves || e.kind == personSets || e.kind == personUndoes {
			told.value = names[e.value]
		}
		fmt.Fprintf(&text, "%3d. %-45s %s\n", i+1, told, s.world.rename(names))
		w, to = s.world.forget().canonical()
		var composed [contents]uint8
		for d := range to {
			composed[to[d]] = names[d]
		}
		names = composed
	}
	return text.String()
}

func inverse(to [contents]uint8) [contents]uint8 {
	var from [contents]uint8
	for d := range to {
		from[to[d]] = uint8(d)
	}
	return from
}

// String shows what matters of a world.
func (w world) String() string {
	name := func(d uint8) string {
		text := [...]string{"-", "A", "B", "C", "N", "tag"}[d&^markOnly]
		if d&markOnly != 0 {
			text += "?"
		}
		return text
	}
	var text strings.Builder
	fmt.Fprintf(&text, "latest %s %s | slot %s %s mark %s", name(w.tag), [...]string{"", "down", "gated"}[w.registry], name(w.live),
		[...]string{"settled", "hangs", "moves", "gave-up"}[w.rollout], name(w.mark))
	fmt.Fprintf(&text, " claims %03b", w.claims)
	if w.hold {
		text.WriteString(" HOLD")
	}
	fmt.Fprintf(&text, " | recorded %s", name(w.recorded))
	if w.attempt != 0 {
		fmt.Fprintf(&text, " attempt %s failed %d again %t reverted %t", name(w.attempt), w.failed, w.again, w.reverted)
	}
	for d, by := range w.rejected {
		if by != 0 {
			fmt.Fprintf(&text, " rejected %s by %s", name(uint8(d)), [...]string{"", "failure", "person"}[by])
		}
	}
	fmt.Fprintf(&text, " left %s reapplied %d contested %d counted %d@%d skip %d failures %d", name(w.memory.left), w.reapplied, w.contested, w.by, w.at, w.skip, w.failures)
	for i, t := range w.ticks {
		if t.phase != idle {
			fmt.Fprintf(&text, " | tick %d %s latest %s", i, [...]string{"", "writes", "hands back", "waits"}[t.phase], name(t.latest))
		}
	}
	return text.String()
}
