package model

import "fmt"

// An event is something that may happen next.
type event struct {
	kind  kind
	value uint8
}

type kind uint8

const (
	tagMoves kind = iota
	registryTurns
	rolloutTurns
	podsBreak
	helmRenders
	personSets
	personUndoes
	personHolds
	personForgets
	tickBegins
	tickSteps
	tickStepsAfterFailedPull
	tickDies
)

func (e event) String() string {
	content := map[uint8]string{empty: "nothing", 1: "A", 2: "B", 3: "C", novel: "N", unpinned: "a tag"}
	switch e.kind {
	case tagMoves:
		return "the tag moves to " + content[e.value]
	case registryTurns:
		return "the registry is " + [...]string{up: "up", down: "down", gateNo: "up, and a gate says no"}[e.value]
	case rolloutTurns:
		return "the rollout " + [...]string{settled: "settles", hangs: "hangs", moves: "progresses", gaveUp: "is given up by the controller"}[e.value]
	case podsBreak:
		return "pods go away"
	case helmRenders:
		return "Helm renders the chart"
	case personSets:
		return "a person sets " + content[e.value]
	case personUndoes:
		return "a person undoes to " + content[e.value]
	case personHolds:
		return "a person sets or removes the hold label"
	case personForgets:
		return "a person removes the state annotation"
	case tickBegins:
		return "a tick reads and resolves"
	case tickSteps, tickStepsAfterFailedPull:
		return fmt.Sprintf("tick %d takes a step", e.value)
	case tickDies:
		return fmt.Sprintf("tick %d is killed", e.value)
	}
	return "?"
}

// events are all that can happen in a world.
func (m *model) events(w *world) []event {
	var events []event
	add := func(kind kind, value uint8) { events = append(events, event{kind, value}) }
	for d := uint8(1); d <= digests; d++ {
		if w.left.tags > 0 && d != w.tag {
			add(tagMoves, d)
		}
	}
	for r := range uint8(answers) {
		if w.left.registry > 0 && r != w.registry && (r != gateNo || m.gates) {
			add(registryTurns, r)
		}
	}
	switch w.rollout {
	case hangs:
		add(rolloutTurns, settled)
		add(rolloutTurns, moves)
		add(rolloutTurns, gaveUp)
	case moves:
		add(rolloutTurns, settled)
	case gaveUp:
		add(rolloutTurns, settled)
	case settled:
		if w.left.breaks > 0 {
			add(podsBreak, 0)
		}
	}
	if w.left.deploys > 0 && (w.live != w.chart || w.claims&claimDeployer == 0) {
		add(helmRenders, 0)
	}
	if w.left.hands > 0 {
		for d := uint8(1); d <= unpinned; d++ {
			if d != w.live && d != novel {
				add(personSets, d)
			}
		}
		for d, set := range w.replicaSets {
			if set.exists && uint8(d) != w.live {
				add(personUndoes, uint8(d))
			}
		}
		add(personHolds, 0)
		if state := w.memory; state != (memory{recorded: w.recorded}) {
			add(personForgets, 0)
		}
	}
	if w.ticks[m.core.parallel-1].phase == idle {
		add(tickBegins, 0)
	}
	for place := range w.ticks {
		phase := w.ticks[place].phase
		if phase == idle {
			continue
		}
		add(tickSteps, uint8(place))
		if phase == waiting && m.core.strategy == recreate && w.rollout != settled {
			add(tickStepsAfterFailedPull, uint8(place))
		}
		if phase != writing && w.left.kills > 0 { // before its first write a tick that dies is as one that never began
			add(tickDies, uint8(place))
		}
	}
	return events
}

// happen lets an event happen.
func (m *model) happen(w world, e event) step {
	s := step{world: w}
	switch e.kind {
	case tagMoves:
		spend(&s.left.tags)
		s.tag = e.value
		s.world.demand()
	case registryTurns:
		spend(&s.left.registry)
		s.registry = e.value
		s.stale = 0
	case rolloutTurns:
		s.rollout = e.value
	case podsBreak:
		spend(&s.left.breaks)
		s.rollout = hangs
	case helmRenders:
		spend(&s.left.deploys)
		if s.live != s.mark || s.chart == s.thrown {
			s.thrown = 0 // what a person did is overwritten before any tick has seen it, or by what they threw out
		}
		if s.live == s.chart {
			s.claims |= claimDeployer
		} else {
			s.change(s.chart, claimDeployer)
		}
	case personSets, personUndoes:
		spend(&s.left.hands)
		s.thrown = 0
		if s.live == s.mark && s.mark != unpinned && e.value != s.mark {
			s.thrown = s.mark
		}
		if e.kind == personUndoes {
			s.notes = s.replicaSets[e.value].notes
			s.uncount()
		}
		s.change(e.value, claimPerson)
		s.proved[e.value] = true // a person vouches for it
	case personHolds:
		spend(&s.left.hands)
		s.hold = !s.hold
		s.world.demand()
	case personForgets:
		spend(&s.left.hands)
		s.memory = memory{recorded: s.recorded}
		s.uncount()
		s.thrown = 0
		s.world.demand()
	case tickBegins:
		m.core.start(&s)
	case tickSteps:
		m.core.advance(&s, int(e.value), false)
	case tickStepsAfterFailedPull:
		m.core.advance(&s, int(e.value), true)
	case tickDies:
		spend(&s.left.kills)
		s.end(int(e.value))
	}
	if s.rollout == settled {
		s.proved[s.live] = true
	}
	if m.hands {
		s.synchronise()
	} else {
		s.replicaSets = world{}.replicaSets
	}
	return s
}

// uncount says that a person has taken away what told ticks of each other's counts.
func (s *step) uncount() { s.ticks[0].beaten, s.ticks[1].beaten = 0, 0 }

// change is a write to the slot by somebody else.
func (s *step) change(content uint8, claim uint8) {
	s.live, s.claims, s.rollout = content, claim, hangs
	s.world.demand()
}
