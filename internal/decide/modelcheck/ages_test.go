package modelcheck

import (
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
)

// Time, and what depends on it: minimum ages, two hours without a re-application, a rejection's day. The clock is the API
// server's, which may be set forward or back at any moment. What is remembered here is set back with it: a
// time that is later than now is read as now.

const (
	noon     = 400 // where the clock begins, in quarters of an hour
	twoHours = 8
	aDay     = 96
)

// leaps are how the clock may be set, in quarters of an hour.
var leaps = [...]int{twoHours, aDay, -aDay}

func quarters(n int) time.Duration { return time.Duration(n) * 15 * time.Minute }

// ages is what no tick can see of time, kept for the invariants.
type ages struct {
	spoken   [mostWorkloads][mostTargets]set              // digests that a pod has spoken against
	rejected [mostWorkloads][mostTargets][contents]uint16 // since when by failure; 0: not
	latest   [mostWorkloads][mostTargets]uint8            // what a tick has seen last as latest
	since    [mostWorkloads][mostTargets]uint16           // and since when
	deferred [mostWorkloads][mostTargets]uint16           // since when it waits for a minimum age; 0: it does not
	// fight rises by two hours with each re-application, and falls with time.
	fight [mostWorkloads][mostTargets]uint8
}

// timely says whether time matters in this model.
func (m *model) timely() bool { return !m.ageless || m.initial.may.leaps > 0 }

// pass lets time pass.
func (s *step) pass(quarters uint16) {
	s.clock += quarters
	for at := range s.ghost.ages.fight {
		for t, fight := range s.ghost.ages.fight[at] {
			s.ghost.ages.fight[at][t] = fight - uint8(min(uint16(fight), quarters))
		}
	}
}

// leap sets the clock.
func (m *model) leap(s *step, by int) {
	if by > 0 {
		s.pass(uint16(by))
		s.demandAll()
		return
	}
	s.clock -= uint16(-by)
}

// bound sets what is remembered back to the clock, as a tick reads it.
func (a *ages) bound(now uint16) {
	for at := range mostWorkloads {
		for t := range mostTargets {
			a.since[at][t], a.deferred[at][t] = min(a.since[at][t], now), min(a.deferred[at][t], now)
			for d := range a.rejected[at][t] {
				a.rejected[at][t][d] = min(a.rejected[at][t][d], now)
			}
		}
	}
}

// seen notes what a tick sees: the clock, and latest.
func (m *model) seen(s *step, place int) {
	a, k := &s.ghost.ages, &s.ticks[place].knows
	a.bound(k.now)
	if m.minAge == 0 {
		return
	}
	for at := range m.workloads {
		for t := range m.targets {
			if d := k.latest[at][t]; d != empty && d != a.latest[at][t] {
				a.latest[at][t], a.since[at][t] = d, k.now
			}
		}
	}
}

// aged checks a decision against the clock.
func (m *model) aged(s *step, place, at, t int, got answer) {
	if !m.timely() {
		return
	}
	a, o, now := &s.ghost.ages, &s.objects[at], s.ticks[place].knows.now
	digest := m.together(o, t)
	if got.rows[t] != 5 {
		digest = s.ticks[place].knows.latest[at][t]
	}
	outcome := outcomes[got.outcomes[t]]
	if since := a.rejected[at][t][digest]; outcome == decide.Rejected && since != 0 && !a.spoken[at][t].has(digest) {
		s.require(now < since+aDay, "what no pod has spoken against is rejected for a day at most")
	}
	if outcome == decide.Unchanged || outcome == decide.Rejected {
		a.deferred[at][t] = 0
	}
	if outcome != decide.Deferred {
		return
	}
	if a.deferred[at][t] == 0 {
		a.deferred[at][t] = now
	}
	s.require(now < a.deferred[at][t]+3*m.minAge, "a digest that is too young waits for three minimum ages at most")
}

// rejections notes since when digests are rejected by failure.
func (m *model) rejections(s *step, at, t int, record annotate.Record, now uint16, concluding bool) {
	if !m.timely() {
		return
	}
	for d := uint8(1); d <= digests; d++ {
		since := &s.ghost.ages.rejected[at][t][d]
		rejection, rejected := record.State.Rejection(contentOf(d))
		switch {
		case !rejected || rejection.By != annotate.ByFailure:
			*since = 0
		case *since == 0 || concluding: // it has failed once more
			*since = now
		}
	}
}

// said notes that a pod has spoken against what is waited for.
func (m *model) said(s *step, at int, w wait, pods uint8) {
	o := &s.objects[at]
	for t := range m.targets {
		if d := w.digest[t]; m.timely() && pods == podsCrash && d != empty && d == m.together(o, t) && o.rollout != settled && !o.zero {
			s.ghost.ages.spoken[at][t].add(d)
		}
	}
}

// keptOut says whether a record rejects a digest, and no day has ended that.
func (m *model) keptOut(record annotate.Record, digest uint8, now time.Time) bool {
	rejection, rejected := record.State.Rejection(contentOf(digest))
	return rejected && (rejection.By == annotate.ByPerson || rejection.Evidence || now.Sub(rejection.At) < quarters(aDay))
}

// ageing checks a patch against the clock.
func (m *model) ageing(s *step, place, at, t int, before annotate.Record, digest uint8) {
	if !m.timely() {
		return
	}
	a, now := &s.ghost.ages, s.ticks[place].knows.now
	proven, isEmpty := s.ghost.recordable[at][t][digest], m.together(&s.objects[at], t) == empty
	if m.minAge > 0 && !proven && !isEmpty && before.State.Attempted() != digestOf(digest) {
		long := a.deferred[at][t] != 0 && now >= a.deferred[at][t]+3*m.minAge
		s.require(long || now >= a.since[at][t]+m.minAge, "a new digest waits for its minimum age")
	}
	a.deferred[at][t] = 0
	if proven && !isEmpty {
		a.fight[at][t] += twoHours
		s.require(a.fight[at][t] <= (threshold+1)*twoHours, "what somebody reverts again and again is put back once in two hours")
	}
}
