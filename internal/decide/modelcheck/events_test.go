package modelcheck

import (
	"fmt"
	"slices"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// kind is what may happen. Those up to unlimited happen only so often.
type kind uint8

const (
	tags kind = iota
	registry
	purges
	breaks
	starts
	scales
	deploys
	manual
	undos
	holds
	forgets
	approves
	skips
	leaps
	windows
	others
	kills
	unlimited
	turns = iota
	begins
	steps
	passes
)

var kinds = [...]string{
	tags: "the tag moves", registry: "the registry answers otherwise", purges: "registries purge what no tag stands for",
	breaks: "pods are evicted, or their nodes go away", starts: "pods start, and all run", scales: "scaled to zero, or up again",
	deploys: "a deployer sets slots", manual: "a person sets a slot", undos: "a person undoes to a revision",
	holds: "a person sets or removes the hold label", forgets: "a person removes the state",
	approves: "a person approves a digest by the label", skips: "a person skips a digest by the label", leaps: "the clock leaps", windows: "the window closes, or opens",
	others: "somebody else writes or drops our records", kills: "a tick is killed", turns: "the rollout goes on",
	begins: "a tick reads, resolves and plans", steps: "a tick takes a step", passes: "a tick from beginning to end",
}

// budget is how often each may still happen.
type budget [unlimited]uint8

// An event is something that may happen next: to which workload, target or tick, and what.
type event struct {
	kind               kind
	at, which, content uint8
	happens            func(*step)
}

func (e event) String() string {
	return fmt.Sprintf("%s (workload %d, target, slot or tick %d, %d)", kinds[e.kind], e.at, e.which, e.content)
}

// happen lets an event happen.
func (m *model) happen(before state, e event) step {
	s := step{state: before}
	if e.kind < unlimited {
		s.may[e.kind]--
	}
	e.happens(&s)
	for at := range m.workloads {
		if o := &s.objects[at]; m.healthy && !o.zero {
			o.rollout = settled
		}
		m.prove(&s.state, at)
		m.synchronise(&s.objects[at])
	}
	return s
}

// events are all that can happen in a state.
func (m *model) events(s *state) []event {
	all := m.eventsOfRegistries(s)
	for at := range uint8(m.workloads) {
		all = append(all, m.eventsOfPods(&s.objects[at], s.tags, at)...)
		all = append(all, m.eventsOfPeople(&s.objects[at], s.known, at)...)
	}
	all = slices.DeleteFunc(append(all, m.eventsOfTicks(s)...), func(e event) bool { return e.kind < unlimited && s.may[e.kind] == 0 })
	return all
}

func (m *model) eventsOfRegistries(s *state) (all []event) {
	for t := range uint8(m.targets) {
		for d := uint8(1); d <= min(digests, s.known+1); d++ {
			if d != s.tags[t] {
				all = append(all, event{tags, 0, t, d, func(s *step) {
					s.tags[t] = d
					s.known = max(s.known, d)
					for at := range m.workloads {
						s.history.awaited[at][t], s.history.skipped[at][t] = empty, empty
					}
					s.demandAll()
				}})
			}
		}
		for r := range uint8(answers) {
			if r != s.registry[t] && (r != gateNo || m.gates) && (r != half || m.workloads > 1) {
				all = append(all, event{registry, 0, t, r, func(s *step) {
					s.registry[t] = r
					s.history.stale = [mostWorkloads]uint8{}
				}})
			}
		}
	}
	all = append(all, event{windows, 0, 0, 0, func(s *step) {
		s.closed = !s.closed
		s.history.stale = [mostWorkloads]uint8{}
	}})
	all = append(all, event{purges, 0, 0, 0, func(s *step) { s.purged = true }})
	for i, by := range [...]int{twoHours, aDay, -aDay} {
		all = append(all, event{leaps, 0, 0, uint8(i), func(s *step) { m.leap(s, by) }})
	}
	return all
}

func (m *model) eventsOfPods(o *object, tags [mostTargets]uint8, at uint8) (all []event) {
	for _, next := range m.turns(o) {
		all = append(all, event{turns, at, 0, next, func(s *step) {
			o := &s.objects[at]
			o.rollout = next
			if next == settled && m.unblockFailed(o) {
				s.demand(int(at)) // what has failed to unblock the workload is tried again now
			}
		}})
	}
	if !o.zero && o.rollout != lost {
		all = append(all, event{breaks, at, 0, 0, func(s *step) {
			s.objects[at].rollout = lost
			s.demand(int(at))
		}})
	}
	for t := range uint8(m.targets) {
		for _, d := range []uint8{empty, tags[t]} {
			if m.says && m.bare(o, int(t)) && !o.zero && d != o.runs[t] {
				all = append(all, event{starts, at, t, d, func(s *step) {
					s.objects[at].runs[t] = d
					s.demand(int(at))
				}})
			}
		}
	}
	return append(all, event{scales, at, 0, 0, func(s *step) {
		o := &s.objects[at]
		if o.zero = !o.zero; !o.zero {
			o.rollout = hangs
			m.start(o, s.tags)
		}
		s.demand(int(at))
	}})
}

// turns are how a rollout may go on.
func (m *model) turns(o *object) []uint8 {
	if o.zero {
		return nil
	}
	return [...][]uint8{
		settled: nil, hangs: {settled, moves, gaveUp}, moves: {settled, further}, further: {settled}, gaveUp: {settled}, lost: {settled, hangs},
	}[o.rollout]
}

func (m *model) eventsOfPeople(o *object, known, at uint8) (all []event) {
	on := int(at)
	if !m.rendered(o) {
		all = append(all, event{deploys, at, 0, m.chart, func(s *step) { m.render(s, on) }})
	}
	for t := range uint8(m.targets) {
		for i := range uint8(m.slots) {
			for d := uint8(1); d <= unpinned; d++ {
				if d == o.slots[t][i].content || d == novel || d != unpinned && d > known+1 {
					continue
				}
				if m.slots > 1 && d != unpinned && t == 0 {
					all = append(all, event{deploys, at, i, d, func(s *step) {
						s.history.thrown[at] = [mostTargets]uint8{}
						s.known = max(s.known, d)
						m.change(s, on, 0, int(i), slot{d, claimDeployer})
					}})
				}
				all = append(all, event{manual, at, i, d, func(s *step) {
					m.throwOut(s, on, int(t), d)
					s.known = max(s.known, digestNumber(d))
					m.change(s, on, int(t), int(i), slot{d, claimPerson})
					s.history.recordable[at][t].add(d)
					m.vouch(s, on)
				}})
			}
		}
		for d := range uint8(digests + 1) { // none among them
			key, mark := keys.Mark(names[t]), contentOf[d].Mark()
			if o.labels != 0 && mark != m.core.texts[o.labels][key] && d <= known {
				all = append(all, event{others, at, t, d, func(s *step) {
					o := &s.objects[at]
					o.labels, o.foreign[t] = m.core.with(o.labels, map[string]string{key: mark}), mark != ""
					m.touched(s, on)
				}})
			}
		}
		if key := keys.State(names[t]); m.core.texts[o.annotations][key] != "" {
			all = append(all, event{forgets, at, t, 0, func(s *step) {
				o := &s.objects[at]
				o.annotations, s.history.thrown[at][t] = m.core.with(o.annotations, map[string]string{key: ""}), 0
				m.forget(s, on, int(t))
				s.uncount(on)
				s.demand(on)
			}})
		}
	}
	all = append(all, m.eventsOfLabels(o, known, at)...)
	if o.annotations != 0 {
		all = append(all, event{others, at, 0, 0, func(s *step) {
			s.objects[at].annotations = 0
			m.touched(s, on)
		}})
	}
	for i, r := range o.revisions {
		if r.exists && r.template != o.template() {
			all = append(all, event{undos, at, 0, uint8(i), func(s *step) {
				m.undo(s, on, r)
				m.vouch(s, on)
			}})
		}
	}
	return append(all, event{holds, at, 0, 0, func(s *step) {
		o, hold := &s.objects[at], map[string]string{keys.Hold(): "true"}
		if m.core.texts[o.labels][keys.Hold()] != "" {
			hold[keys.Hold()] = ""
		}
		o.labels = m.core.with(o.labels, hold)
		s.demand(on)
	}})
}

func (m *model) eventsOfTicks(s *state) (all []event) {
	passes := func(rollout, pods uint8) {
		all = append(all, event{passes, 0, rollout, pods, func(s *step) { m.run(s, rollout, pods) }})
	}
	switch {
	case m.entire:
		passes(settled, podsCrash)
		for pods := uint8(podsCrash); pods <= podsUnreadable && !m.healthy; pods++ {
			passes(hangs, pods)
		}
		if !m.healthy {
			passes(gaveUp, podsCrash)
		}
		return all
	case !s.ticks[m.parallel-1].running && (m.ticks == 0 || s.begun < m.ticks || s.ticks[0].running):
		all = append(all, event{begins, 0, 0, 0, func(s *step) {
			if m.ticks > 0 {
				s.begun++
			}
			m.begin(s)
		}})
	}
	for who := range m.parallel {
		t := &s.ticks[who]
		if !t.running {
			continue
		}
		started := false
		for at := range m.workloads {
			phase := t.each[at].phase
			started = started || phase > writing
			last := uint8(podsCrash)
			if phase == waiting && s.objects[at].rollout != settled && !s.objects[at].zero {
				last = podsUnreadable
			}
			for pods := uint8(podsCrash); pods <= last && phase != done; pods++ {
				all = append(all, event{steps, uint8(at), uint8(who), pods, func(s *step) { m.advance(s, who, at, pods) }})
			}
		}
		if started { // before its first write a tick that dies is as one that never began
			all = append(all, event{kills, 0, uint8(who), 0, func(s *step) { s.drop(who) }})
		}
	}
	return all
}

// rendered says whether the slots are what the chart renders, and a deployer's.
func (m *model) rendered(o *object) bool {
	for t := range m.targets {
		for i := range m.slots {
			if o.slots[t][i].content != m.chart || o.slots[t][i].claims&claimDeployer == 0 {
				return false
			}
		}
	}
	return true
}

// touched says that somebody else has changed our records: what they remembered of a person and of counts may be lost.
func (m *model) touched(s *step, at int) {
	s.history.thrown[at] = [mostTargets]uint8{}
	for t := range m.targets {
		m.forget(s, at, t)
	}
	s.uncount(at)
	s.demand(at)
}

func (m *model) unblockFailed(o *object) bool {
	for t := range m.targets {
		if m.core.recordOf(o.texts, t).State.UnblockFailed != "" {
			return true
		}
	}
	return false
}

// prove notes what replicas have run.
func (m *model) prove(s *state, at int) {
	if o := &s.objects[at]; o.rollout == settled && !o.zero {
		for t := range m.targets {
			s.history.recordable[at][t].add(m.together(o, t))
			s.history.recordable[at][t].add(o.runs[t])
		}
	}
}

func digestNumber(d uint8) uint8 {
	if d > digests {
		return 0
	}
	return d
}

// change is a write to a slot by somebody else.
func (m *model) change(s *step, at, t, i int, to slot) {
	o := &s.objects[at]
	before := o.slots[t][i].content
	if o.slots[t][i] = to; m.together(o, t) == s.history.skipped[at][t] {
		s.history.skipped[at][t] = empty
	}
	if to.claims == claimPerson {
		s.history.awaited[at][t] = empty
	}
	if before != to.content {
		o.rollout = hangs
		s.demand(at)
		m.start(o, s.tags)
	}
}

// vouch says that a person has chosen what the slots hold together.
func (m *model) vouch(s *step, at int) {
	for t := range m.targets {
		together := m.together(&s.objects[at], t)
		s.history.recordable[at][t].add(together)
		s.history.refused[at][t] &^= 1 << together
	}
}

// throwOut notes what a person throws out by setting a slot.
func (m *model) throwOut(s *step, at, t int, to uint8) {
	o, thrown := &s.objects[at], &s.history.thrown[at][t]
	*thrown = 0
	record := m.core.recordOf(o.texts, t)
	switch live := m.together(o, t); {
	case record.Mark.Is(digestOf[live]) && to != live:
		*thrown = live
	case m.bare(o, t) && record.Mark == annotate.Unpinned && record.Recorded.Digest() != "" && to != unpinned && !record.Recorded.Is(digestOf[to]):
		*thrown = numberOf(record.Recorded)
	}
}

// uncount says that somebody has taken away what told ticks of each other's counts.
func (s *step) uncount(at int) {
	s.ticks[0].each[at].beaten, s.ticks[1].each[at].beaten = 0, 0
}

// render is a deployer's write of all slots.
func (m *model) render(s *step, at int) {
	o := &s.objects[at]
	for t := range m.targets {
		mark := m.core.recordOf(o.texts, t).Mark
		if live := m.together(o, t); !mark.Same(contentOf[live]) || m.chart == s.history.thrown[at][t] {
			s.history.thrown[at][t] = 0 // what a person did is overwritten before any tick has seen it, or by what they threw out
		}
		for i := range m.slots {
			claims := uint8(claimDeployer)
			if o.slots[t][i].content == m.chart {
				claims |= o.slots[t][i].claims
			}
			m.change(s, at, t, i, slot{m.chart, claims})
		}
	}
}

// undo is kubectl rollout undo: the template and all annotations of a revision.
func (m *model) undo(s *step, at int, to revision) {
	o := &s.objects[at]
	var undone object
	for t := range m.targets {
		for i, content := range to.template[t] {
			undone.slots[t][i].content = content
		}
		m.throwOut(s, at, t, m.together(&undone, t))
	}
	for t := range m.targets {
		for i := range m.slots {
			if content := to.template[t][i]; content != o.slots[t][i].content {
				m.change(s, at, t, i, slot{content, claimPerson})
			}
		}
	}
	o.annotations = to.annotations
	for t := range m.targets {
		m.forget(s, at, t)
	}
	s.uncount(at)
}
