package model

import "github.com/tracebloc/image-refresh/internal/decide"

// The shell: package tick, between any two requests that can be told apart from outside. A write that is refused
// because the object has changed is followed by reading and deciding again, until one goes through, so writing
// is one step that decides from the object as it is. Only a decision without a write is made on what was read
// at the beginning, since nothing tells it that the object has changed.

// step is a world after something has happened, and the invariant that this broke; empty for none.
type step struct {
	world
	broken string
}

func (s *step) require(holds bool, invariant string) {
	if !holds && s.broken == "" {
		s.broken = invariant
	}
}

// recall reads the record.
func (c *core) recall(w *world) record { return c.read(stored{mark: w.mark, memory: w.memory}) }

// lost says whether another tick has counted while this one was running (tick.counted).
func lost(m memory, place int, phase uint8) bool {
	switch m.by {
	case 0:
		return false
	case phase:
		return true
	default:
		return m.by != uint8(2+2*place) && m.at > uint8(place)
	}
}

func (c *core) question(w *world, place int) question {
	t := w.ticks[place]
	read := c.recall(w)
	phase := uint8(2 + 2*place)
	return question{
		record: read, live: w.live, claims: w.claims, rollout: w.rollout, skip: w.skip, hold: w.hold, latest: t.latest,
		failures: t.failures, overtaken: t.seen != seenIn(read), lost: lost(read.memory, place, phase), phase: phase,
	}
}

// seenIn is what decide.Overtaken compares.
func seenIn(r record) record {
	r.recorded &^= markOnly
	r.by, r.at, r.owners = 0, 0, 0
	return r
}

// evaluate decides, and asks the gates where they matter (tick.evaluate).
func (c *core) evaluate(w *world, place int) answer {
	q := c.question(w, place)
	got := c.ask(q)
	if got.verify {
		q.asked, q.gateNo = true, w.ticks[place].gateNo
		got = c.ask(q)
	}
	return got
}

// failuresOf is the target's failures in a row, this tick's counted (tick.failuresOf).
func (c *core) failuresOf(w *world, place int) uint8 {
	if !w.ticks[place].failed {
		return 0
	}
	before := min(w.failures, threshold)
	if lost(c.recall(w).memory, place, uint8(2+2*place)) {
		return before
	}
	return min(before+1, threshold)
}

// start reads, resolves and decides for the first time.
func (c *core) start(s *step) {
	place := s.begin()
	t := &s.ticks[place]
	t.phase, t.seen = writing, seenIn(c.recall(&s.world))
	if s.registry != down {
		t.latest = s.tag
	}
	t.gateNo = s.registry == gateNo
	t.failed = t.latest == 0
	t.failures = c.failuresOf(&s.world, place)
	if c.evaluate(&s.world, place).gated {
		t.failed = true
		t.failures = c.failuresOf(&s.world, place)
	}
	if s.claims&claimUs != 0 {
		return
	}
	if got, after := c.change(&s.world, place); after == s.written() {
		c.proceed(s, place, got)
	}
}

// written is what a tick may write, for comparing.
func (w *world) written() world {
	return world{live: w.live, mark: w.mark, notes: w.notes}
}

// change is what the tick would write now (tick.change), as it would be afterwards.
func (c *core) change(w *world, place int) (answer, world) {
	got := c.evaluate(w, place)
	after := got.record
	failures := c.failuresOf(w, place)
	if failures > min(w.failures, threshold) {
		after.by, after.at = uint8(2+2*place), 2
		got.untouched = false
	}
	return got, c.apply(w, got, after, failures)
}

// apply puts a decision into the object.
func (c *core) apply(w *world, got answer, after record, failures uint8) world {
	result := w.written()
	if got.set != 0 {
		result.live = got.set
		if after.owners == 0 || w.claims&claimUs == 0 {
			after.owners = 1
			if w.claims&claimDeployer != 0 {
				after.owners = 2
			}
		}
		got.untouched = false
	}
	if !got.untouched {
		recorded := result.recorded
		result.mark, result.memory = after.mark, after.memory
		if after.recorded&markOnly != 0 { // its digest is not known, so it is not written
			result.recorded = recorded
		}
	}
	switch got.skip {
	case decide.SkipCount:
		result.skip = min(result.skip+1, threshold+1)
	case decide.SkipClear:
		result.skip = 0
	case decide.SkipKeep:
	}
	result.failures = failures
	return result
}

// advance takes a tick one step further. pullFailed is what the pods say, where somebody asks.
func (c *core) advance(s *step, place int, pullFailed bool) {
	t := &s.ticks[place]
	switch t.phase {
	case writing:
		if s.claims&claimUs != 0 { // a tick that died has left this undone
			c.handBack(s)
			return
		}
		got, after := c.change(&s.world, place)
		c.write(s, place, after, got, false)
		if got.set == 0 {
			c.proceed(s, place, got)
			return
		}
		t.phase, t.wait, t.digest = handing, got.wait, got.record.attempt
	case handing:
		c.handBack(s)
		if !t.wait {
			s.end(place)
			return
		}
		t.phase, t.before = waiting, s.rollout
	case waiting:
		q := c.question(&s.world, place)
		q.overtaken = false
		q.phase++
		q.lost = lost(q.memory, place, q.phase)
		q.digest, q.before, q.pullFailed = t.digest, t.before, pullFailed
		got := c.ask(q)
		after := c.apply(&s.world, got, got.record, s.failures)
		c.concluded(s, q, got)
		c.write(s, place, after, got, true)
		c.finish(s, place, got)
		if got.set == 0 {
			s.end(place)
			return
		}
		t.phase, t.wait = handing, false
	}
}

// proceed is what follows a decision that set nothing.
func (c *core) proceed(s *step, place int, got answer) {
	t := &s.ticks[place]
	if got.wait {
		t.phase, t.digest, t.before = waiting, got.record.attempt, s.rollout
		return
	}
	c.finish(s, place, got)
	s.end(place)
}

// write makes the write, if it is one.
func (c *core) write(s *step, place int, after world, got answer, restoring bool) {
	if after == s.written() {
		return
	}
	c.writes(s, place, after, got, restoring)
	s.mark, s.notes = after.mark, after.notes
	if got.set != 0 {
		s.live, s.claims, s.rollout = got.set, claimUs, hangs
	}
	s.synchronise()
	if got.untouched && got.set == 0 {
		return
	}
	read := c.read(stored{mark: s.mark, memory: s.memory})
	s.require(read.attempt == s.attempt && read.memory.left == s.memory.left && read.rejected == s.rejected,
		"what a tick writes does not look like an undo")
}

// handBack gives the claim to those that were noted (tick.mend).
func (c *core) handBack(s *step) {
	if s.claims&claimUs == 0 {
		return
	}
	s.claims &^= claimUs
	if c.recall(&s.world).owners == 2 {
		s.claims |= claimDeployer
	}
}
