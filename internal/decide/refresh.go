package decide

import (
	"fmt"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// contestedEvery is how seldom a contested digest is still put back: once in so many ticks.
const contestedEvery = 8

// minAgeFactor bounds how long a tag that keeps moving can defer a workload, in minimum ages.
const minAgeFactor = 3

// Row 11: the checks before the first patch to a digest, and what the configuration says about changing.

func (s *situation) gated() bool {
	return s.stale() && (s.young() || s.needsGate() || s.Gate.Failure != nil || s.Policy.Notify)
}

// unproved says whether latest has not passed the gates here yet: it was never put into these slots.
func (s *situation) unproved() bool {
	latest := s.Latest.Digest
	return !s.Record.Recorded.Is(latest) && s.Record.State.Attempted() != latest && !s.Record.State.Left.Is(latest)
}

func (s *situation) needsGate() bool { return s.unproved() && !s.Gate.Asked }

func (s *situation) gate() (Decision, bool) {
	var d Decision
	switch {
	case s.young():
		d = s.deferred()
	case s.needsGate():
		return Decision{Verify: s.Latest.Digest, Record: s.Record}, true
	case s.Gate.Failure != nil:
		d = s.counted(s.Gate.Failure, s.Gate.Failure)
	default:
		d = Decision{Outcome: Pending, Record: s.Record, Message: fmt.Sprintf("%s is latest, and the target is notify only", s.Latest.Digest.Short())}
	}
	switch {
	case s.cure: // it stays what it was without the cure: stuck
		frozen := s.frozen()
		frozen.Gated, frozen.Record = d.Gated, d.Record
		return frozen, true
	case s.ours() && !s.settled(): // row 5, as long as the newer digest may not be used
		waiting, _ := s.await()
		waiting.Gated, waiting.Record = d.Gated, d.Record
		return waiting, true
	}
	return d, true
}

// young says whether latest is new here and has yet to reach its minimum age.
func (s *situation) young() bool {
	if s.Policy.MinAge <= 0 || !s.unproved() {
		return false
	}
	seen := s.seen()
	return s.Tick.Now.Sub(seen.Since) < s.Policy.MinAge && s.Tick.Now.Sub(seen.Deferred) < minAgeFactor*s.Policy.MinAge
}

func (s *situation) seen() annotate.Seen {
	before := s.Record.State.Seen
	switch {
	case before == nil:
		return annotate.Seen{Digest: s.Latest.Digest, Since: s.Tick.Now, Deferred: s.Tick.Now}
	case before.Digest != s.Latest.Digest:
		return annotate.Seen{Digest: s.Latest.Digest, Since: s.Tick.Now, Deferred: before.Deferred}
	default:
		return *before
	}
}

func (s *situation) deferred() Decision {
	seen := s.seen()
	record := s.Record
	record.State.Seen = &seen
	return Decision{Outcome: Deferred, Record: record, Message: fmt.Sprintf("%s is latest since %s and waits for its minimum age of %s",
		s.Latest.Digest.Short(), seen.Since.UTC().Format(time.RFC3339), s.Policy.MinAge)}
}

// Row 12: put latest where it is used.

func (s *situation) stale() bool { return !s.live.Is(s.Latest.Digest) }

func (s *situation) refresh() (Decision, bool) {
	state := s.Record.State
	if s.again(s.Latest.Digest) && state.Reapplied >= s.Policy.Reapplications && (s.Lost || (state.Contested+1)%contestedEvery != 0) {
		return s.giveUp(), true // before anything that is green: who lost the race to count is as loud (I28)
	}
	if s.Overtaken {
		return Decision{Outcome: Waiting, Record: s.Record, Message: "another tick was faster, and may know a newer digest: the next one decides"}, true
	}
	return s.put(s.Latest.Digest), true
}

// giveUp leaves the slots to whoever reverts them, and says so in every tick.
func (s *situation) giveUp() Decision {
	d := Decision{Outcome: Failed, Failure: s.contested(), Record: s.Record}
	if !s.Lost {
		d.Record.State.Contested++
		s.tally = true
	}
	if s.Record.State.Contested == 0 {
		d.Events = []Event{about(RefreshFrozen, d.Failure)}
	}
	return d
}

// again says whether putting the digest here is a re-application: it was recorded, or it is the digest just
// left (I46), or somebody took it out before it was recorded (I38).
func (s *situation) again(digest image.Digest) bool {
	return s.Record.Recorded.Is(digest) || s.Record.State.Left.Is(digest) ||
		s.Record.State.Attempted() == digest && !s.live.Same(s.Record.Mark)
}

// put is the patch: the digest into every slot, with the intent in the same write (I35).
func (s *situation) put(digest image.Digest) Decision {
	before := s.Record.State
	again := s.again(digest)
	attempt := &annotate.Attempt{Digest: digest, Again: again, Served: s.Workload.Rollout.Available}
	if before.Attempt != nil { // whose rollout may be what is down now
		attempt.Served = max(attempt.Served, before.Attempt.Served)
	}
	if before.Attempted() == digest {
		attempt.Failed, attempt.Alone = before.Attempt.Failed, before.Attempt.Alone
	}
	after := before
	after.Attempt, after.Seen = attempt, nil
	if !s.Record.Recorded.Is(digest) {
		after.Left = s.leaving()
	}
	fought := again && before.Reapplied >= s.Policy.Reapplications
	switch {
	case fought:
		after.Contested++
		s.tally = true
	case again && !(before.Attempted() == digest && before.Attempt.Reverted): // that one is counted already
		after.Reapplied++
		s.tally = true
	}
	if !fought { // a new digest is no part of the contest over the one before
		after.Contested = 0
	}
	d := Decision{Outcome: Refreshed, Set: digest, Wait: true, Record: annotate.Record{
		Mark: annotate.Of(digest), Recorded: s.Record.Recorded, State: after,
	}}
	switch {
	case fought:
		d.Outcome, d.Failure = Failed, s.contested()
	case again:
		d.Outcome = Reapplied
	}
	d.Message = fmt.Sprintf("%s replaces %s", digest.Short(), s.live.Short())
	return d
}

// leaving is the digest that a refresh replaces: what the slots hold if it is what we put there, else what
// was recorded.
func (s *situation) leaving() annotate.Pin {
	pin := s.Record.Recorded
	if s.live.Same(s.Record.Mark) {
		pin = s.live
	}
	if pin.Digest() == "" {
		return annotate.None
	}
	return pin
}

func (s *situation) contested() *fault.Error {
	who := "somebody"
	if s.deployer != "" {
		who = "the field manager " + fault.Clean(s.deployer)
	}
	if s.live.Same(s.Record.Mark) && !s.ours() {
		who = "the tag itself, which flips between digests,"
	}
	until := fmt.Sprintf("it is put back only every %dth tick", contestedEvery)
	if s.empty() { // which is an outage (I7)
		until = "it is put back in every tick"
	}
	return &fault.Error{Cause: fault.Contested, Message: fmt.Sprintf(
		"%s has been put back %d times and %s reverts it again: stop one of the two writers; until then %s",
		s.Latest.Digest.Short(), s.Record.State.Reapplied, who, until)}
}
