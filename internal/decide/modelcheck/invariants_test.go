package modelcheck

import (
	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
)

// The invariants of one step. Those of the future are in explore_test.go, and those of time in times_test.go.

// longestStale is how many ticks in a row may be green while the slots are neither fresh nor held, as long as
// nobody outside gives a reason to start again: the bounded count of invariant (a). Ticks that run at once count
// as one.
const longestStale = 4

// Counts that two ticks at once must not both make. Those of the second target stand two bits to the left.
const (
	countsFailures = 1 << iota
	countsAttempt
	countsSkip = 1 << 7
)

// rollouts is how often a digest may be put somewhere for one change of what is desired:
// invariant (b). Where the service is down a failed pull is restored and tried again, up to the threshold; after a joint
// failure each target is tried alone once more. So is a digest that was tried while what was restored was not up, once it is:
// that has proved nothing.
func (m *model) rollouts() uint8 {
	most := uint8(1)
	if m.recreate {
		most = threshold + 1
	}
	return most + uint8(m.targets-1)*2
}

// written checks a write before it is made.
func (m *model) written(s *step, place, at int, got answer, concluding bool) {
	o, g := &s.objects[at], &s.history
	p := &s.ticks[place].each[at]
	held := m.core.texts[o.labels][keys.Hold()] == "true"
	counts, over := uint8(0), uint8(0)
	compare := func(bit uint8, was, is int) {
		switch {
		case is > was:
			counts |= bit
		case is < was:
			over |= bit
		}
	}
	for t := range m.targets {
		before := m.core.recordOf(o.texts, t)
		record := m.core.recordOf(got.texts, t)
		s.require(!record.Torn() || before.Torn(), "what a tick writes does not look like an undo")
		if together := m.together(o, t); together == s.ticks[place].knows.latest[at][t] && !before.Mark.Same(contentOf[together]) {
			g.thrown[at][t] = 0 // who puts latest there throws nothing out
		}
		if got.rows[t] == 4 {
			g.recordable[at][t].add(m.together(o, t)) // the first observation is taken as it is
			g.recordable[at][t].add(o.runs[t])
		}
		if got.set[t] != [mostSlots]uint8{} {
			m.put(s, place, at, t, before, record, got.set[t], concluding)
			s.require(!held, "nothing is set on a held workload")
		}
		if m.notify {
			m.approvals(s, at, t, got)
		}
		if record.Recorded != before.Recorded && record.Recorded != annotate.None { // an undo may take it away
			restored := concluding && got.set[t] != [mostSlots]uint8{}
			s.require(restored || g.recordable[at][t].has(numberOf(record.Recorded)), "(c) nothing is recorded that no replica has run")
		}
		was, is := failedIn(before), failedIn(record)
		s.require(is <= threshold && record.State.Reapplied <= threshold, "counts have a bound")
		if is < 0 || before.State.Attempted() != record.State.Attempted() {
			is = -2 // over, for that digest
		}
		compare(countsAttempt<<(2*t), was, is)
		m.rejections(s, at, t, record, s.ticks[place].knows.now, concluding && got.outcomes[t] != 0)
		if before.Torn() {
			over |= countsAttempt<<(2*t) | countsSkip | countsFailures<<(2*t)
		}
		if at == 0 {
			compare(countsFailures<<(2*t), m.core.failures(o.annotations, t), m.core.failures(got.annotations, t))
		}
	}
	was, is := m.core.skipped(o.annotations), m.core.skipped(got.annotations)
	compare(countsSkip, was, is)
	s.require(is <= was || o.rollout != settled && !o.zero, "only an unsettled tick is counted as one")
	for i := range s.ticks {
		s.ticks[i].each[at].beaten &^= over
	}
	s.require(counts&p.beaten == 0, "two ticks at once count once")
	if other := &s.ticks[1-place].each[at]; s.ticks[1-place].running {
		other.beaten |= counts & m.noticed(other, at, got.annotations)
	}
}

// noticed are the counts that are another number now than what a tick has read. Where a count was over in between and has
// come to the same number again, a tick counts on it, and nothing is lost.
func (m *model) noticed(p *part, at int, annotations id) uint8 {
	var counts uint8
	if m.core.skipped(annotations) != m.core.skipped(p.began.annotations) {
		counts |= countsSkip
	}
	for t := range m.targets {
		if at == 0 && m.core.failures(annotations, t) != m.core.failures(p.began.annotations, t) {
			counts |= countsFailures << (2 * t)
		}
		if p.phase == waiting && p.wait.digest[t] != 0 && m.failed(annotations, t) != m.failed(p.wait.began.annotations, t) {
			counts |= countsAttempt << (2 * t) // they are counted from the begin of the wait
		}
	}
	return counts
}

// failed is how many attempts have failed, as annotations say.
func (m *model) failed(annotations id, t int) int {
	return max(0, failedIn(m.core.recordOf(texts{annotations: annotations}, t)))
}

// failedIn is how many attempts have failed, as a record says; -1: it has none.
func failedIn(record annotate.Record) int {
	if record.State.Attempt == nil {
		return -1
	}
	return record.State.Attempt.Failed
}

// decided checks what is said before a wait.
func (m *model) decided(s *step, place, at int, got answer) {
	o := &s.objects[at]
	for t := range m.targets {
		m.aged(s, place, at, t, got)
		outcome := outcomes[got.outcomes[t]]
		record, together := m.core.recordOf(got.texts, t), m.together(o, t)
		latest, unchanged := s.ticks[place].knows.latest[at][t], outcome == decide.Unchanged
		stays := !unchanged && got.rows[t] == 9
		s.require(!stays || m.standsFor(o, t, record, latest) == empty, "what a deployer took away is put back where latest is rejected")
		s.require(!unchanged || m.fresh(o, t, latest) && (o.rollout == settled || o.zero), "unchanged is fresh and settled")
		marked := record.Mark.Same(contentOf[together]) && record.Recorded.Same(contentOf[latest])
		s.require(!unchanged || marked, "unchanged is marked and recorded")
		waits := outcome == decide.Deferred && m.minAge == 0
		s.require(!waits || s.ticks[place].knows.closed, "nothing waits for a window that is open")
	}
}

// fresh says whether slots hold latest, or a tag alone and their pods run it.
func (m *model) fresh(o *object, t int, latest uint8) bool {
	return latest != empty && (m.together(o, t) == latest || m.bare(o, t) && o.runs[t] == latest && !o.zero)
}

// standsFor is the digest that is wanted in place of a rejected one, where somebody has replaced it; empty for none.
func (m *model) standsFor(o *object, t int, record annotate.Record, latest uint8) uint8 {
	_, latestRejected := record.State.Rejection(contentOf[latest])
	_, rejected := record.State.Rejection(record.Recorded)
	together := contentOf[m.together(o, t)]
	replaced := !together.Same(record.Mark) && !together.Same(record.Recorded)
	if !latestRejected || rejected || record.Recorded.Digest() == "" || !replaced {
		return empty
	}
	return numberOf(record.Recorded)
}

// put checks that a digest may be put into the slots of a target.
func (m *model) put(s *step, place, at, t int, before, after annotate.Record, set [mostSlots]uint8, restoring bool) {
	o, g := &s.objects[at], &s.history
	isEmpty := m.together(o, t) == empty
	g.fresh[at] = 0
	latest := s.ticks[place].knows.latest[at][t]
	gateNo := s.ticks[place].knows.gateNo[t]
	for _, d := range set[:m.slots] {
		s.require(d != empty || restoring, "a refresh sets every slot")
		if d == empty || restoring {
			continue
		}
		pinned := gateNo && m.bare(o, t) && after.Recorded.Is(digestOf[d]) // to what runs, where latest is refused
		heeded := before                                                   // and what a label says of latest
		heeded.State.Rejected = after.State.Rejected
		wanted := isEmpty || d == latest || pinned || m.standsFor(o, t, heeded, latest) == d
		s.require(wanted, "only latest is rolled out, or what stands for it where it is rejected")
		known := after.Recorded.Is(digestOf[d]) || before.State.Attempted() == digestOf[d] || before.State.Left.Is(digestOf[d])
		s.require(!gateNo || known, "what a gate refused is put nowhere")
		allowed := g.recordable[at][t].has(d) || before.Mark.Is(digestOf[d]) || before.State.Left.Is(digestOf[d])
		s.require(!s.ticks[place].knows.closed || isEmpty || allowed, "what is new is put nowhere outside of the window")
		runs := m.bare(o, t) && o.runs[t] == d && o.rollout == settled && !o.zero
		s.require(gateNo || m.pins || m.window || !runs, "nothing is restarted for what runs already")
		s.require(isEmpty || m.approves(o.labels, d) || !m.keptOut(before, d, m.core.tickOf(s.ticks[place].knows).Now), "what is rejected is not rolled out")
		s.require(isEmpty || d != g.thrown[at][t], "a person's choice wins until the tag moves")
		stood := isEmpty && before.Recorded.Is(digestOf[d]) || pinned
		s.require(stood || !g.refused[at][t].has(d), "nothing that a gate refused is ever put anywhere")
	}
	m.chosen(s, at, t, before, set[0], restoring)
	if restoring {
		for i, held := range g.before[at][t][:m.slots] {
			forgotten := before.State.Attempt != nil && before.State.Attempt.Held == nil // a person has removed the state
			if forgotten || digestNumber(held) == 0 && held != novel {
				held = numberOf(before.Recorded) // a tag, or nothing
			}
			serves := !o.zero && freshIn(o.rollout) > 0
			there := !s.purged || set[i] == s.tags[t] || o.slots[t][i].content == set[i]
			s.require(!serves || there, "what registries no longer have replaces nothing that serves")
			s.require(set[i] == held, "a restoration puts into each slot what it held before the first attempt")
		}
		return
	}
	proven := o.rollout == settled && !o.zero
	if before.State.Attempt == nil || before.State.Attempt.Held == nil || proven {
		live := contentOf[m.together(o, t)]
		forgotten := before.Mark.Same(live) && !before.Recorded.Same(live) && before.Recorded.Digest() != "" && !proven
		for i := range m.slots {
			if g.before[at][t][i] = o.slots[t][i].content; forgotten { // of what was tried there, it is not known what stood before
				g.before[at][t][i] = numberOf(before.Recorded)
			}
		}
	}
	s.require(after.Mark.Is(digestOf[set[0]]) && after.State.Attempted() == digestOf[set[0]], "mark and intent are in the patch")
	m.ageing(s, place, at, t, before, set[0])
	counter := &g.puts[at][t][set[0]]
	*counter++
	s.require(*counter <= m.rollouts(), "(b) one rollout a change, and the retries that the table states")
}

// refusals notes what the gates have refused for what it is.
func (m *model) refusals(s *step, place, at int, got answer) {
	for t, refused := range got.refused {
		if d := s.ticks[place].knows.latest[at][t]; refused && d != empty && d == m.refuses {
			s.history.refused[at][t].add(d)
		}
	}
}

// progress checks that progress since any tick before is no failed attempt.
func (m *model) progress(s *step, at int, w wait, got answer) {
	o, most := &s.objects[at], &s.history.fresh[at]
	if fresh := freshIn(o.rollout); !o.zero && o.rollout != settled && fresh > *most {
		*most = fresh
		for t := range m.targets {
			failed := m.failed(o.annotations, t) < m.failed(got.annotations, t)
			s.require(!failed || w.digest[t] != m.together(o, t), "progress since any tick before is no failure")
		}
	}
}

// concluded checks what is said after a wait.
func (m *model) concluded(s *step, o *object, at, t int, digest uint8, got answer) {
	outcome := outcomes[got.outcomes[t]]
	if outcome == decide.Refreshed || outcome == decide.Reapplied {
		is := o.rollout == settled && !o.zero && m.together(o, t) == digest
		s.require(is, "(c) refreshed is settled, in the slot, and a replica runs it")
	}
	if outcome == decide.RolledBack && got.set[t] != [mostSlots]uint8{} { // mark and record say what is there
		after := &s.objects[at]
		record, together := m.core.recordOf(after.texts, t), contentOf[m.together(after, t)]
		s.require(record.Mark.Same(together) && record.Recorded.Same(together), "mark and record are what was restored")
	}
}

// allFine says whether a tick may end so for ever on a workload: for one of its targets it is loud, or all of them are fine.
func (m *model) allFine(s *state, place, at int) bool {
	fine := true
	for t := range m.targets {
		if outcomes[s.ticks[place].each[at].outcomes[t]].NeedsAttention() {
			return true
		}
		fine = fine && m.fine(s, place, at, t)
	}
	return fine
}

// fine says whether a tick may end so for ever for a target on a workload: loud, held by a person, waiting for replicas that
// nobody wants, or fresh.
func (m *model) fine(s *state, place, at, t int) bool {
	k, p, o := &s.ticks[place].knows, &s.ticks[place].each[at], &s.objects[at]
	outcome := outcomes[p.outcomes[t]]
	switch {
	case outcome.NeedsAttention(), outcome == decide.Held, k.failed[t] && m.counted(s, place, t) >= threshold:
		return true
	case outcome == decide.Unchanged: // another target's rollout may be under way
		return m.fresh(o, t, k.latest[at][t]) && (o.rollout == settled || o.zero || m.targets > 1)
	case outcome == decide.Refreshed || outcome == decide.Reapplied:
		return m.together(o, t) == k.latest[at][t] && (o.rollout == settled || o.zero)
	case outcome == decide.Deferred:
		return k.closed // it opens
	case outcome == decide.Pending:
		return m.notify && s.history.awaited[at][t] != k.latest[at][t]
	default:
		return outcome == decide.Waiting && o.zero
	}
}

// counted is a target's failures in a row as a tick reports them.
func (m *model) counted(s *state, place, t int) uint8 {
	return max(s.ticks[place].each[0].failures[t], s.ticks[place].knows.count[t].n)
}

// ended checks the end of a tick's part in a workload.
func (m *model) ended(s *step, place, at int) {
	if m.parts != nil {
		m.parts(&s.state, place, at)
	}
	if m.allFine(&s.state, place, at) || m.timely() && outcomes[s.ticks[place].each[at].outcomes[0]] == decide.Deferred {
		s.history.stale[at] = 0
		return
	}
	s.history.stale[at]++
	most := uint8((longestStale + 2*(m.targets-1) + m.workloads - 1) * m.parallel)
	s.require(s.history.stale[at] <= most, "(a) green is fresh, held, or soon loud")
}

// endedAll checks the end of a tick: who had to wait for a turn waits for no more ticks than there are workloads.
func (m *model) endedAll(s *step, place int) {
	if m.maxRollouts == 0 {
		return
	}
	t := &s.ticks[place]
	for at := range m.workloads {
		if t.each[at].turn || outcomes[t.each[at].outcomes[0]] != decide.Waiting {
			s.history.deferred[at] = 0
			continue
		}
		s.history.deferred[at]++
		s.require(int(s.history.deferred[at]) < m.workloads*m.parallel, "who has waited longest for a turn goes first")
	}
}
