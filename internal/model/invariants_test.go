package model

import "github.com/tracebloc/image-refresh/internal/decide"

// The invariants of one step. Those of the future are in quiet_test.go.

// longestStale is how many ticks in a row may be green while the slots are neither fresh nor held, as long as
// nobody outside gives a reason to start again: the bounded count of invariant (a). Ticks that run at once count
// as one.
const longestStale = 4

// Counts that two ticks at once must not both make.
const (
	countsFailures = 1 << iota
	countsSkip
	countsAttempt
)

// rollouts is how often a digest may be put somewhere, and restored, for one change of what is desired:
// invariant (b). Where the service is down a failed pull is restored and tried again, up to the threshold.
func (c *core) rollouts() uint8 {
	if c.strategy == recreate {
		return threshold
	}
	return 1
}

// writes checks a write before it is made.
func (c *core) writes(s *step, place int, after world, got answer, restoring bool) {
	before := c.recall(&s.world)
	if got.row == 4 {
		s.proved[s.live] = true // the first observation is taken as it is
	}
	if got.set != 0 {
		s.require(!s.hold, "nothing is set on a held workload")
		s.require(got.set != s.live, "nothing is set where it is")
		s.require(got.set >= 1 && got.set <= novel, "a tick never writes a tag")
		s.require(restoring || s.live == empty || got.set == s.ticks[place].latest, "only latest is rolled out")
		s.require(restoring || s.live == empty || before.rejected[got.set] == 0, "what is rejected is not rolled out")
		s.require(got.set != s.thrown || s.live == empty, "a person's hand wins until the tag moves")
		s.require(!restoring || s.proved[got.set], "only what has settled is restored")
		counter := &s.puts[got.set]
		if restoring {
			counter = &s.restores[s.live]
		}
		*counter++
		s.require(*counter <= c.rollouts(), "(b) one rollout a change, and the retries that the table states")
		s.require(after.mark == got.set && (restoring || after.attempt == got.set), "mark and intent are in the patch")
	}
	if after.recorded != s.recorded {
		s.require(s.proved[after.recorded], "(c) nothing is recorded that did not settle")
	}
	counts := uint8(0)
	if after.failures > s.failures {
		counts |= countsFailures
	}
	if after.skip > s.skip {
		counts |= countsSkip
	}
	if after.attempt == before.attempt && after.failed > before.failed {
		counts |= countsAttempt
	}
	if before.mark != 0 && s.recorded != before.mark && s.attempt != before.mark {
		counts = 0 // what tells ticks of each other's counts was rewound, and stays so until this has settled
	}
	over := uint8(0) // what begins anew, where counting is no second count
	if after.failures < s.failures {
		over |= countsFailures
	}
	if after.skip < s.skip {
		over |= countsSkip
	}
	if after.attempt != before.attempt {
		over |= countsAttempt
	}
	for i := range s.ticks {
		s.ticks[i].beaten &^= over
	}
	s.require(counts&s.ticks[place].beaten == 0, "two ticks at once count once")
	if other := &s.ticks[1-place]; other.phase != idle {
		other.beaten |= counts
	}

	facts, known := after, s.written()
	facts.by, facts.at, known.by, known.at = 0, 0, 0, 0
	capped := got.skip == decide.SkipCount || restoring && got.outcome.Loud() // a count that stays at its cap is a fact all the same
	s.require(facts != known || after.by == 0 || capped, "(d) no write without a changed fact")
}

// concluded checks what is said after a wait.
func (c *core) concluded(s *step, q question, got answer) {
	if got.outcome == decide.Refreshed || got.outcome == decide.Reapplied {
		s.require(s.rollout == settled && s.live == q.digest, "(c) refreshed is settled, in the slot")
	}
}

// loud says whether a tick that ends so exits with 1.
func loud(t tick, got answer) bool {
	return got.outcome.Loud() || got.outcome != decide.Held && t.failed && t.failures >= threshold
}

// fine says whether a tick may end so for ever: loud, held by a person, or fresh.
func fine(w *world, t tick, got answer) bool {
	switch {
	case loud(t, got), got.outcome == decide.Held:
		return true
	default:
		return (got.outcome == decide.Unchanged || got.outcome == decide.Refreshed || got.outcome == decide.Reapplied) &&
			w.live == t.latest && w.rollout == settled
	}
}

// finish checks the result of a tick.
func (c *core) finish(s *step, place int, got answer) {
	t := s.ticks[place]
	if c.ended != nil {
		c.ended(&s.world, t, got)
	}
	if got.outcome == decide.Unchanged {
		s.require(s.live == t.latest && s.rollout == settled && s.mark == s.live && s.recorded == s.live, "unchanged is fresh, settled, marked and recorded")
	}
	if fine(&s.world, t, got) {
		s.stale = 0
		return
	}
	s.stale++
	s.require(s.stale <= longestStale*c.parallel, "(a) green is fresh, held, or soon loud")
}

// demand says that the surroundings have given a reason for another rollout.
func (w *world) demand() { w.puts, w.restores, w.stale = [contents]uint8{}, [contents]uint8{}, 0 }
