package modelcheck

import (
	"slices"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// The steps of a tick, between any two requests that can be told apart from outside. A write that is refused because the
// object has changed is followed by reading and deciding again, until one goes through, so writing is one step that decides
// from the object as it is. Only a decision without a write is made on what was read at the beginning, since nothing tells
// it that the object has changed.

// step is a state after something has happened, and the invariant that this broke; empty for none.
type step struct {
	state
	broken string
}

func (s *step) require(holds bool, invariant string) {
	if !holds && s.broken == "" {
		s.broken = invariant
	}
}

// begin reads every workload, asks the registry, and plans.
func (m *model) begin(s *step) {
	place := 0
	if s.ticks[0].running {
		place = 1
	}
	key := planned{knows: m.resolve(&s.state)}
	for at := range m.workloads {
		key.views[at] = s.objects[at].view
	}
	plan := m.core.planOf(key)
	t := &s.ticks[place]
	*t = tick{running: true, knows: plan.knows}
	for at := range m.workloads {
		t.each[at] = part{phase: writing, turn: plan.steps[at].turn, began: s.objects[at].texts}
	}
	if !m.ageless {
		s.pass(1)
	}
	m.seen(s, place)
	for at := range m.workloads {
		o, got := &s.objects[at], plan.steps[at]
		m.refusals(s, place, at, got)
		if m.weOwn(o) || got.sets() || got.texts != o.texts {
			continue
		}
		m.decided(s, place, at, got)
		m.proceed(s, place, at, got)
	}
}

// resolve is what a tick learns of the tags.
func (m *model) resolve(s *state) knowledge {
	k := knowledge{targets: uint8(m.targets), now: s.clock, closed: s.closed}
	for t := range m.targets {
		answers := make([][]decide.Latest, m.workloads)
		for at := range answers {
			answer := decide.Latest{Digest: digestOf[s.tags[t]]}
			if s.registry[t] == down || s.registry[t] == half && at > 0 {
				answer = decide.Latest{Failure: unresolved}
			}
			answers[at] = []decide.Latest{answer}
		}
		target, latest := decide.Agree(decide.Target{Name: names[t], Threshold: threshold}, true, answers)
		k.failed[t], k.gateNo[t] = target.Failure != nil, s.registry[t] == gateNo || m.refuses == s.tags[t]
		for at := range latest {
			if latest[at].Digest != "" {
				k.latest[at][t] = s.tags[t]
			}
		}
	}
	return k
}

func (m *model) weOwn(o *object) bool {
	for t := range m.targets {
		for i := range m.slots {
			if o.slots[t][i].claims&claimUs != 0 {
				return true
			}
		}
	}
	return false
}

func (m *model) asked(s *step, place, at int) asked {
	t := &s.ticks[place]
	return asked{view: s.objects[at].view, began: t.each[at].began, knows: t.knows, at: uint8(at), turn: t.each[at].turn}
}

// advance takes a tick one step further on one workload. pods is what they say, where somebody asks.
func (m *model) advance(s *step, place, at int, pods uint8) {
	o, p := &s.objects[at], &s.ticks[place].each[at]
	switch p.phase {
	case writing:
		if m.weOwn(o) { // a tick that died has left this undone
			m.giveBack(o)
			return
		}
		got := m.core.stepOf(m.asked(s, place, at))
		m.refusals(s, place, at, got)
		m.decided(s, place, at, got)
		m.write(s, place, at, got, false)
		p.outcomes, p.failures = got.outcomes, got.failures
		if !got.sets() {
			m.proceed(s, place, at, got)
			return
		}
		p.phase, p.wait = returning, wait{digest: got.wait, contested: got.contested, began: got.texts}
	case returning:
		m.giveBack(o)
		if p.wait.restoring {
			m.finish(s, place, at)
			return
		}
		p.beginWait()
	case waiting:
		p.wait.restoring = false
		key := m.asked(s, place, at)
		key.turn, key.wait, key.pods = false, p.wait, pods
		if s.purged {
			key.purged, key.tags = true, s.tags
		}
		got := m.core.endOf(key)
		before := *o
		m.said(s, at, p.wait, pods)
		m.progress(s, at, p.wait, got)
		m.write(s, place, at, got, true)
		for t := range m.targets {
			if p.wait.digest[t] != 0 {
				p.outcomes[t] = got.outcomes[t]
				m.concluded(s, &before, at, t, p.wait.digest[t], got)
			}
		}
		if !got.sets() {
			m.finish(s, place, at)
			return
		}
		p.phase, p.wait.restoring = returning, true
	}
}

// beginWait begins a wait from what was written last, or read.
func (p *part) beginWait() {
	p.phase, p.beaten = waiting, p.beaten&^(countsAttempt|countsAttempt<<2)
}

// proceed is what follows a decision that set nothing.
func (m *model) proceed(s *step, place, at int, got answer) {
	p := &s.ticks[place].each[at]
	p.outcomes, p.failures = got.outcomes, got.failures
	if got.wait == [mostTargets]uint8{} {
		m.finish(s, place, at)
		return
	}
	p.wait = wait{digest: got.wait, contested: got.contested, began: s.objects[at].texts}
	p.beginWait()
}

// write applies what was decided to the object.
func (m *model) write(s *step, place, at int, got answer, concluding bool) {
	o := &s.objects[at]
	m.written(s, place, at, got, concluding)
	before := o.template()
	for t := range m.targets { // who writes what stands there already takes no claim
		key := keys.Mark(names[t])
		o.foreign[t] = o.foreign[t] && m.core.texts[o.labels][key] == m.core.texts[got.labels][key]
	}
	o.texts = got.texts
	for t := range m.targets {
		for i, d := range got.set[t] {
			if d != 0 {
				o.slots[t][i] = slot{d, claimUs}
			}
		}
	}
	if o.template() != before {
		o.rollout = hangs
		m.start(o, s.tags)
	}
	m.synchronise(o)
}

// giveBack gives the slots that are ours to those who were noted.
func (m *model) giveBack(o *object) {
	for t, claims := range m.core.returnOf(o.view) {
		for i, claim := range claims {
			o.slots[t][i].claims = claim
		}
	}
}

// finish ends a tick's part in a workload and, with the last one, the tick.
func (m *model) finish(s *step, place, at int) {
	t := &s.ticks[place]
	t.each[at].phase, t.each[at].wait, t.each[at].beaten = done, wait{}, 0
	m.ended(s, place, at)
	if !slices.ContainsFunc(t.each[:m.workloads], func(p part) bool { return p.phase != done }) {
		m.endedAll(s, place)
		s.drop(place)
	}
}

// drop removes a tick.
func (s *state) drop(place int) {
	s.ticks[place] = tick{}
	if place == 0 {
		s.ticks[0], s.ticks[1] = s.ticks[1], tick{}
	}
}
