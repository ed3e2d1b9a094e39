package modelcheck

import (
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
)

// Time, and the invariants that depend on it: minimum ages, two hours without a re-application, a rejection's day. The clock is
// the API server's, which may be set forward or back at any moment. What is remembered here is set back with it: a time that is
// later than now is read as now. All is in quarters of an hour.
const (
	noon     = 400 // where the clock begins
	twoHours = 8
	aDay     = 96
)

func quarters(n int) time.Duration { return time.Duration(n) * 15 * time.Minute }

// ages is what no tick can see of time.
type ages struct {
	spoken   [mostWorkloads][mostTargets]set              // digests that a pod has spoken against
	rejected [mostWorkloads][mostTargets][contents]uint16 // since when by failure; 0: not
	latest   [mostWorkloads][mostTargets]uint8            // what a tick has seen last as latest
	since    [mostWorkloads][mostTargets]uint16           // and since when
	deferred [mostWorkloads][mostTargets]uint16           // since when it waits for a minimum age; 0: it does not
	// contest rises by two hours with each re-application, and falls with time.
	contest [mostWorkloads][mostTargets]uint8
}

// timely says whether time matters in this model.
func (m *model) timely() bool { return !m.ageless || m.initial.may[leaps] > 0 }

// pass lets time pass.
func (s *step) pass(quarters uint16) {
	s.clock += quarters
	for at := range s.history.ages.contest {
		for t := range s.history.ages.contest[at] {
			contest := &s.history.ages.contest[at][t]
			*contest -= uint8(min(uint16(*contest), quarters))
		}
	}
}

// leap sets the clock.
func (m *model) leap(s *step, by int) {
	if by < 0 {
		s.clock -= uint16(-by)
		return
	}
	s.pass(uint16(by))
	s.demandAll()
}

// seen notes what a tick sees: the clock, and latest.
func (m *model) seen(s *step, place int) {
	a, k := &s.history.ages, &s.ticks[place].knows
	for at := range m.workloads {
		for t := range m.targets {
			a.since[at][t], a.deferred[at][t] = min(a.since[at][t], k.now), min(a.deferred[at][t], k.now)
			for d := range a.rejected[at][t] {
				a.rejected[at][t][d] = min(a.rejected[at][t][d], k.now)
			}
			if d := k.latest[at][t]; m.minAge > 0 && d != empty && d != a.latest[at][t] {
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
	a, now, closed, outcome := &s.history.ages, s.ticks[place].knows.now, s.ticks[place].knows.closed, outcomes[got.outcomes[t]]
	digest := m.together(&s.objects[at], t)
	if got.rows[t] != 5 {
		digest = s.ticks[place].knows.latest[at][t]
	}
	since, deferred := a.rejected[at][t][digest], &a.deferred[at][t]
	bounded := outcome == decide.Rejected && since != 0 && !a.spoken[at][t].has(digest)
	s.require(!bounded || now < since+aDay, "what no pod has spoken against is rejected for a day at most")
	switch {
	case outcome == decide.Unchanged || outcome == decide.Rejected:
		*deferred = 0
	case outcome == decide.Deferred && *deferred == 0 && !closed: // outside of the window it waits for that
		*deferred = now
	}
	s.require(outcome != decide.Deferred || closed || now < *deferred+3*m.minAge, "a digest that is too young waits for three minimum ages at most")
}

// rejections notes since when digests are rejected by failure.
func (m *model) rejections(s *step, at, t int, record annotate.Record, now uint16, concluding bool) {
	for d := uint8(1); d <= digests && m.timely(); d++ {
		since := &s.history.ages.rejected[at][t][d]
		rejection, rejected := record.State.Rejection(contentOf[d])
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
			s.history.ages.spoken[at][t].add(d)
		}
	}
}

// keptOut says whether a record rejects a digest, and no day has ended that.
func (m *model) keptOut(record annotate.Record, digest uint8, now time.Time) bool {
	rejection, rejected := record.State.Rejection(contentOf[digest])
	return rejected && (rejection.By == annotate.ByPerson || rejection.Evidence || now.Sub(rejection.At) < quarters(aDay))
}

// ageing checks a patch against the clock.
func (m *model) ageing(s *step, place, at, t int, before annotate.Record, digest uint8) {
	if !m.timely() {
		return
	}
	a, now := &s.history.ages, s.ticks[place].knows.now
	proven, isEmpty := s.history.recordable[at][t].has(digest), m.together(&s.objects[at], t) == empty
	if m.minAge > 0 && !proven && !isEmpty && before.State.Attempted() != digestOf[digest] {
		long := a.deferred[at][t] != 0 && now >= a.deferred[at][t]+3*m.minAge
		s.require(long || now >= a.since[at][t]+m.minAge, "a new digest waits for its minimum age")
	}
	a.deferred[at][t] = 0
	if proven && !isEmpty {
		a.contest[at][t] += twoHours
		s.require(a.contest[at][t] <= (threshold+1)*twoHours, "what somebody reverts again and again is put back once in two hours")
	}
}
