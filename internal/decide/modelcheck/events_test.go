package modelcheck

import (
	"fmt"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// An event is something that may happen next: to which workload, target or tick, and what.
type event struct {
	kind            kind
	at, target, who uint8
	value           uint8
}

type kind uint8

const (
	tagMoves kind = iota
	registryTurns
	registriesPurge
	rolloutTurns
	podsBreak
	podsStart
	scales
	helmRenders
	deployerSets
	personSets
	personUndoes
	personHolds
	personForgets
	clockLeaps
	tickPasses
	othersMark
	othersStrip
	tickBegins
	tickSteps
	tickDies
)

// What pods say of a rollout that is not settled.
const (
	podsCrash = iota
	podsMayHang
	podsSayNothing
	podsUnreadable
)

func contentName(d uint8) string {
	return map[uint8]string{empty: "nothing", 1: "A", 2: "B", 3: "C", novel: "N", unpinned: "a tag"}[d]
}

func (e event) String() string {
	on := fmt.Sprintf(" (workload %d)", e.at)
	switch e.kind {
	case tagMoves:
		return fmt.Sprintf("tag %d moves to %s", e.target, contentName(e.value))
	case registryTurns:
		return fmt.Sprintf("the registry of tag %d is ", e.target) +
			[...]string{up: "up", down: "down", gateNo: "up, and a gate says no", half: "up for one of two credentials"}[e.value]
	case registriesPurge:
		return "registries purge what no tag stands for"
	case rolloutTurns:
		return "the rollout " + [...]string{settled: "settles", hangs: "hangs", moves: "progresses", further: "progresses further", gaveUp: "is given up by the controller"}[e.value] + on
	case podsBreak:
		return "pods are evicted, or their nodes go away" + on
	case podsStart:
		return "pods start, and all run " + map[uint8]string{empty: "different digests"}[e.value] + contentName(e.value) + on
	case scales:
		return "scaled to zero, or up again" + on
	case helmRenders:
		return "Helm renders the chart" + on
	case deployerSets:
		return fmt.Sprintf("a deployer sets slot %d of target %d to %s", e.who, e.target, contentName(e.value)) + on
	case personSets:
		return fmt.Sprintf("a person sets slot %d of target %d to %s", e.who, e.target, contentName(e.value)) + on
	case personUndoes:
		return fmt.Sprintf("a person undoes to revision %d", e.value) + on
	case personHolds:
		return "a person sets or removes the hold label" + on
	case personForgets:
		return fmt.Sprintf("a person removes the state of target %d", e.target) + on
	case clockLeaps:
		return fmt.Sprintf("the clock leaps by %s", quarters(leaps[e.value]))
	case tickPasses:
		return "a tick from beginning to end, " + [...]string{settled: "rollouts settle", hangs: "rollouts hang", gaveUp: "rollouts are given up"}[e.who] + saying(e.value)
	case othersMark:
		return fmt.Sprintf("somebody else writes the mark of target %d: %s", e.target, contentName(e.value)) + on
	case othersStrip:
		return "an operator drops all annotations" + on
	case tickBegins:
		return "a tick reads, resolves and plans"
	case tickSteps:
		return fmt.Sprintf("tick %d takes a step", e.who) + saying(e.value) + on
	case tickDies:
		return fmt.Sprintf("tick %d is killed", e.who)
	}
	return "?"
}

func saying(pods uint8) string {
	return [...]string{podsCrash: "", podsMayHang: ", pods may hang on the digest", podsSayNothing: ", pods say nothing", podsUnreadable: ", pods may not be read"}[pods]
}

// events are all that can happen in a world.
func (m *model) events(w *world) []event {
	var events []event
	add := func(e event) { events = append(events, e) }
	for t := range uint8(m.targets) {
		for d := uint8(1); d <= digests; d++ {
			if w.may.tags > 0 && d != w.tags[t] && d <= w.known+1 {
				add(event{kind: tagMoves, target: t, value: d})
			}
		}
		for r := range uint8(answers) {
			if w.may.registry > 0 && r != w.registry[t] && (r != gateNo || m.gates) && (r != half || m.workloads > 1) {
				add(event{kind: registryTurns, target: t, value: r})
			}
		}
	}
	if w.may.purges > 0 {
		add(event{kind: registriesPurge})
	}
	for at := range uint8(m.workloads) {
		m.eventsOn(w, at, add)
	}
	for i := range leaps {
		if w.may.leaps > 0 {
			add(event{kind: clockLeaps, value: uint8(i)})
		}
	}
	if m.entire {
		m.wholeTicks(add)
		return events
	}
	if !w.ticks[m.parallel-1].running && (w.may.ticks != 1 || w.ticks[0].running) {
		add(event{kind: tickBegins})
	}
	for who := range uint8(m.parallel) {
		t := &w.ticks[who]
		if !t.running {
			continue
		}
		started := false
		for at := range uint8(m.workloads) {
			phase := t.each[at].phase
			started = started || phase > writing
			if phase == done {
				continue
			}
			add(event{kind: tickSteps, at: at, who: who})
			if phase == waiting && w.objects[at].rollout != settled && !w.objects[at].zero {
				for pods := uint8(podsMayHang); pods <= podsUnreadable; pods++ {
					add(event{kind: tickSteps, at: at, who: who, value: pods})
				}
			}
		}
		if started && w.may.kills > 0 { // before its first write a tick that dies is as one that never began
			add(event{kind: tickDies, who: who})
		}
	}
	return events
}

// wholeTicks are ticks within which nothing else happens, but for the rollout and what pods say of it.
func (m *model) wholeTicks(add func(event)) {
	add(event{kind: tickPasses, who: settled})
	if m.healthy {
		return
	}
	for pods := uint8(podsCrash); pods <= podsUnreadable; pods++ {
		add(event{kind: tickPasses, who: hangs, value: pods})
	}
	add(event{kind: tickPasses, who: gaveUp})
}

func (m *model) eventsOn(w *world, at uint8, add func(event)) {
	o := &w.objects[at]
	for _, next := range m.turns(o) {
		add(event{kind: rolloutTurns, at: at, value: next})
	}
	if w.may.breaks > 0 && !o.zero && o.rollout != lost {
		add(event{kind: podsBreak, at: at})
	}
	for t := range uint8(m.targets) {
		if w.may.starts > 0 && m.says && m.bare(o, int(t)) && !o.zero {
			for _, d := range []uint8{empty, w.tags[t]} {
				if d != o.runs[t] {
					add(event{kind: podsStart, at: at, target: t, value: d})
				}
			}
		}
	}
	if w.may.scales > 0 {
		add(event{kind: scales, at: at})
	}
	if w.may.deploys > 0 && !m.rendered(o) {
		add(event{kind: helmRenders, at: at})
	}
	if w.may.deploys > 0 && m.slots > 1 {
		for s := range uint8(m.slots) {
			for d := uint8(1); d <= min(w.known+1, digests); d++ {
				if d != o.slots[0][s].content {
					add(event{kind: deployerSets, at: at, who: s, value: d})
				}
			}
		}
	}
	if w.may.manual > 0 {
		for t := range uint8(m.targets) {
			for s := range uint8(m.slots) {
				for d := uint8(1); d <= unpinned; d++ {
					if d != o.slots[t][s].content && d != novel && (d == unpinned || d <= w.known+1) {
						add(event{kind: personSets, at: at, target: t, who: s, value: d})
					}
				}
			}
		}
	}
	if w.may.undos > 0 {
		for i, r := range o.revisions {
			if r.exists && r.template != o.template() {
				add(event{kind: personUndoes, at: at, value: uint8(i)})
			}
		}
	}
	if w.may.holds > 0 {
		add(event{kind: personHolds, at: at})
	}
	if w.may.others > 0 && o.annotations != 0 {
		add(event{kind: othersStrip, at: at})
	}
	if w.may.others > 0 && o.labels != 0 {
		for t := range uint8(m.targets) {
			for d := range uint8(digests + 1) { // none among them
				if mark := contentOf(d).Mark(); mark != m.core.texts[o.labels][keys.Mark(names[t])] && d <= w.known {
					add(event{kind: othersMark, at: at, target: t, value: d})
				}
			}
		}
	}
	if w.may.forgets > 0 {
		for t := range uint8(m.targets) {
			if _, stands := m.core.texts[o.annotations][keys.State(names[t])]; stands {
				add(event{kind: personForgets, at: at, target: t})
			}
		}
	}
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

// rendered says whether the slots are what the chart renders, and a deployer's.
func (m *model) rendered(o *object) bool {
	for t := range m.targets {
		for s := range m.slots {
			if o.slots[t][s].content != m.chart || o.slots[t][s].claims&claimDeployer == 0 {
				return false
			}
		}
	}
	return true
}

// happen lets an event happen.
func (m *model) happen(w world, e event) step {
	s := step{world: w}
	at := int(e.at)
	o := &s.objects[at]
	switch e.kind {
	case tagMoves:
		s.may.tags--
		s.tags[e.target] = e.value
		s.known = max(s.known, e.value)
		s.demandAll()
	case registryTurns:
		s.may.registry--
		s.registry[e.target] = e.value
		s.ghost.stale = [mostWorkloads]uint8{}
	case registriesPurge:
		s.may.purges--
		s.purged = true
	case rolloutTurns:
		o.rollout = e.value
		if e.value == settled && m.unblockFailed(o) {
			s.demand(at) // what has failed to unblock the workload is tried again now
		}
	case podsBreak:
		s.may.breaks--
		o.rollout = lost
		s.demand(at)
	case podsStart:
		s.may.starts--
		o.runs[e.target] = e.value
		s.demand(at)
	case scales:
		s.may.scales--
		if o.zero = !o.zero; !o.zero {
			o.rollout = hangs
			m.start(o, s.tags)
		}
		s.demand(at)
	case helmRenders:
		s.may.deploys--
		m.render(&s, at)
	case deployerSets:
		s.may.deploys--
		s.ghost.thrown[at] = [mostTargets]uint8{}
		s.known = max(s.known, e.value)
		m.change(&s, at, int(e.target), int(e.who), slot{e.value, claimDeployer})
	case personSets:
		s.may.manual--
		m.throwOut(&s, at, int(e.target), e.value)
		s.known = max(s.known, digestNumber(e.value))
		m.change(&s, at, int(e.target), int(e.who), slot{e.value, claimPerson})
		s.ghost.recordable[at][e.target][e.value] = true
		m.vouch(&s, at)
	case personUndoes:
		s.may.undos--
		m.undo(&s, at, o.revisions[e.value])
		m.vouch(&s, at)
	case personHolds:
		s.may.holds--
		hold := map[string]string{keys.Hold(): "true"}
		if m.core.texts[o.labels][keys.Hold()] != "" {
			hold[keys.Hold()] = ""
		}
		o.labels = m.core.with(o.labels, hold)
		s.demand(at)
	case personForgets:
		s.may.forgets--
		o.annotations = m.core.with(o.annotations, map[string]string{keys.State(names[e.target]): ""})
		s.ghost.thrown[at][e.target] = 0
		s.uncount(at)
		s.demand(at)
	case clockLeaps:
		s.may.leaps--
		m.leap(&s, leaps[e.value])
	case tickPasses:
		m.run(&s, e.who, e.value)
	case othersMark:
		s.may.others--
		mark := contentOf(e.value).Mark()
		o.labels = m.core.with(o.labels, map[string]string{keys.Mark(names[e.target]): mark})
		o.foreign[e.target] = mark != ""
		m.touched(&s, at)
	case othersStrip:
		s.may.others--
		o.annotations = m.core.idOf(nil)
		m.touched(&s, at)
	case tickBegins:
		if s.may.ticks > 1 {
			s.may.ticks--
		}
		m.begin(&s)
	case tickSteps:
		m.advance(&s, int(e.who), at, e.value)
	case tickDies:
		s.may.kills--
		s.drop(int(e.who))
	}
	for at := range m.workloads {
		if o := &s.objects[at]; m.healthy && !o.zero {
			o.rollout = settled
		}
		m.prove(&s.world, at)
		m.synchronise(&s.objects[at])
	}
	return s
}

// touched says that somebody else has changed our records: what they remembered of a person and of counts may be lost.
func (m *model) touched(s *step, at int) {
	s.ghost.thrown[at] = [mostTargets]uint8{}
	s.uncount(at)
	s.demand(at)
}

func (m *model) unblockFailed(o *object) bool {
	for t := range m.targets {
		if m.core.recordOf(o, t).State.UnblockFailed != "" {
			return true
		}
	}
	return false
}

// prove notes what replicas have run.
func (m *model) prove(w *world, at int) {
	if o := &w.objects[at]; o.rollout == settled && !o.zero {
		for t := range m.targets {
			w.ghost.recordable[at][t][m.together(o, t)] = true
			w.ghost.recordable[at][t][o.runs[t]] = true
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
	if o.slots[t][i].content != to.content {
		o.rollout = hangs
		s.demand(at)
	}
	before := o.slots[t][i].content
	if o.slots[t][i] = to; before != to.content {
		m.start(o, s.tags)
	}
}

// vouch says that a person has chosen what the slots hold together.
func (m *model) vouch(s *step, at int) {
	for t := range m.targets {
		together := m.together(&s.objects[at], t)
		s.ghost.recordable[at][t][together] = true
		s.ghost.refused[at][t] &^= 1 << together
	}
}

// throwOut notes what a person throws out by setting a slot.
func (m *model) throwOut(s *step, at, t int, to uint8) {
	o := &s.objects[at]
	s.ghost.thrown[at][t] = 0
	record := m.core.recordOf(o, t)
	switch live := m.together(o, t); {
	case record.Mark.Is(digestOf(live)) && to != live:
		s.ghost.thrown[at][t] = live
	case m.bare(o, t) && record.Mark == annotate.Unpinned && record.Recorded.Digest() != "" && to != unpinned && !record.Recorded.Is(digestOf(to)):
		s.ghost.thrown[at][t] = numberOf(record.Recorded)
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
		mark := m.core.recordOf(o, t).Mark
		if live := m.together(o, t); !mark.Same(contentOf(live)) || m.chart == s.ghost.thrown[at][t] {
			s.ghost.thrown[at][t] = 0 // what a person did is overwritten before any tick has seen it, or by what they threw out
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
	for t := range m.targets {
		m.throwOut(s, at, t, m.together(&object{slots: slotsOf(to.template)}, t))
	}
	for t := range m.targets {
		for i := range m.slots {
			if content := to.template[t][i]; content != o.slots[t][i].content {
				m.change(s, at, t, i, slot{content, claimPerson})
			}
		}
	}
	o.annotations = to.annotations
	s.uncount(at)
}

func slotsOf(of template) (slots [mostTargets][mostSlots]slot) {
	for t := range of {
		for i := range of[t] {
			slots[t][i].content = of[t][i]
		}
	}
	return slots
}
