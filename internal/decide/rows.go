package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// Row 1: not transient, so it is loud at once and nothing is touched.

func (s *situation) problem() *fault.Error {
	var problems []*fault.Error
	for _, slot := range s.Slots {
		problems = append(problems, slot.Problem)
	}
	return fault.Worst(problems...)
}

func (s *situation) broken() bool { return s.problem() != nil }

func (s *situation) refuse() (Decision, bool) {
	s.skip = SkipKeep
	return Decision{Outcome: Failed, Failure: s.problem(), Record: s.Record}, true
}

// Row 2: a person has said so on the workload itself.

func (s *situation) parked() bool { return s.Workload.Held || s.Workload.Paused }

func (s *situation) park() (Decision, bool) {
	message := "held by the label refresh-hold" + s.Workload.ParkedBy + " until a person removes it"
	if !s.Workload.Held {
		message = "the Deployment is paused" + s.Workload.ParkedBy + ": refreshed once it is resumed"
	}
	return Decision{Outcome: Held, Message: message, Record: s.Record}, true
}

// Row 3: an empty slot is an outage (I7), so whatever is known to be good goes in at once.

func (s *situation) empty() bool { return s.live == annotate.None }

func (s *situation) fill() (Decision, bool) {
	_, rejected := s.rejection()
	usable := s.known() && !rejected
	var gated *fault.Error
	if usable && s.unproved() && !s.Policy.Notify {
		if !s.Gate.Asked {
			return Decision{Verify: s.Latest.Digest, Record: s.Record}, true
		}
		gated = s.Gate.Failure
	}
	digest := s.Record.Recorded.Digest()
	if usable && gated == nil {
		digest = s.Latest.Digest
	}
	switch {
	case digest == "" && gated != nil:
		return s.counted(gated, gated), true
	case digest == "" && rejected:
		return s.decline()
	case digest == "":
		return s.skipped()
	case s.Policy.Notify:
		return Decision{Outcome: Pending, Message: "the slot is empty, and the target is notify only", Record: s.Record}, true
	}
	decision := s.put(digest)
	decision.Gated = gated
	return decision, true
}

// Row 4: what runs is taken as it is; nothing that was remembered before the mark means anything (I5, I6, I36).

func (s *situation) unknown() bool { return s.Record.Mark == annotate.None }

func (s *situation) adopt() (Decision, bool) {
	return Decision{
		Outcome: Adopted, Message: "first observation of " + s.live.Short(),
		Record: annotate.Record{Mark: s.live, Recorded: s.live},
	}, true
}

// Row 5: a rollout that a tick began and that is not over is continued, not restarted (I3, I10, I19).

func (s *situation) underway() bool { return s.ours() && !s.settled() && !s.movable() }

func (s *situation) await() (Decision, bool) {
	if rejection, rejected := s.Record.State.Rejection(s.live); rejected {
		return s.rejected(rejection), true
	}
	d := Decision{Outcome: Waiting, Message: "waiting for the rollout of " + s.live.Short(), Record: s.Record}
	if s.Workload.Rollout.AwaitsDelete {
		d.Message = "updateStrategy OnDelete: " + s.live.Short() + " runs once the old pods have been deleted"
		return d, true
	}
	d.Wait = true
	return d, true
}

// Row 6: a person's hand wins until the tag moves on from what they left (I8, I9, I44).

func (s *situation) handled() bool { return !s.live.Same(s.Record.Mark) && s.person != "" }

func (s *situation) yield() (Decision, bool) {
	replaced := fmt.Sprintf("a person (%s) replaced %s by %s", fault.Clean(s.person), s.Record.Mark.Short(), s.live.Short())
	left := []annotate.Pin{s.Record.Mark, annotate.Of(s.Record.State.Attempted())}
	unpinned := s.Record.Mark == annotate.Unpinned
	if unpinned { // they left the tag itself, and with it what it stood for
		left[0] = s.Record.State.Stood
	}
	movedOn := s.known()
	state := s.Record.State
	for _, pin := range left {
		movedOn = movedOn && !pin.Is(s.Latest.Digest)
		state = state.Reject(annotate.Rejection{Digest: pin, By: annotate.ByPerson, Why: s.person, At: s.Tick.Now})
	}
	state = state.Forgive(s.live)
	s.rewound = s.Record.Rewound
	s.Record = annotate.Record{Mark: s.live, Recorded: s.live, State: annotate.State{
		Rejected: state.Rejected, Owners: state.Owners, Counted: state.Counted,
	}}
	if movedOn || unpinned && s.live.Is(s.Latest.Digest) {
		s.events = append(s.events, Event{Reason: RefreshHeld, Note: replaced + ", and the tag has moved on since"})
		return Decision{}, false
	}
	message := replaced + ": held until the tag moves on"
	s.events = append(s.events, Event{Reason: RefreshHeld, Note: message})
	return Decision{Outcome: Held, Message: message, Record: s.Record}, true
}

// Row 7: nothing is known of the tag, so nothing is done, and it is counted (I1, I2).

func (s *situation) blind() bool { return !s.known() }

func (s *situation) skipped() (Decision, bool) { return s.counted(s.Latest.Failure, nil), true }

// counted is skipped below the target's threshold and failed from there on.
func (s *situation) counted(failure, gated *fault.Error) Decision {
	outcome := Skipped
	if s.Failures >= s.Policy.ResolveFailures {
		outcome = Failed
	}
	return Decision{Outcome: outcome, Failure: failure, Gated: gated, Record: s.Record}
}

// Row 8: fresh. Only what is not true any more is written.

func (s *situation) fresh() bool { return s.live.Is(s.Latest.Digest) && s.settled() }

func (s *situation) confirm() (Decision, bool) {
	state := s.Record.State.Forgive(s.live)
	var events []Event
	if attempt := state.Attempt; attempt != nil {
		if s.live.Is(attempt.Digest) { // the tick that put it there has died, or is slower
			events = []Event{rolledOut(*attempt)}
		}
		if s.live.Is(attempt.Digest) || attempt.Failed == 0 {
			state.Attempt = nil
		}
	}
	if state.Reapplied > 0 && !s.Lost {
		state.Reapplied--
		s.tally = state.Reapplied > 0
	}
	state.Contested = 0
	state.Seen = nil
	if !s.Claimed {
		state.Owners = nil
	}
	record := annotate.Record{Mark: s.live, Recorded: s.live, State: state}
	return Decision{Outcome: Unchanged, Record: record, Events: events}, true
}

// Row 9: the digest was tried here, or thrown out by a person; it stays out until the tag moves on.

func (s *situation) refused() bool {
	_, rejected := s.rejection()
	return rejected
}

func (s *situation) decline() (Decision, bool) {
	rejection, _ := s.rejection()
	s.Record.State.Seen = nil // nothing waits for its age: the next digest's wait begins with itself
	return s.rejected(rejection), true
}

func (s *situation) rejected(rejection annotate.Rejection) Decision {
	since := rejection.At.UTC().Format(time.RFC3339)
	if rejection.By == annotate.ByPerson {
		return Decision{Outcome: Held, Record: s.Record, Message: fmt.Sprintf(
			"%s was taken out by a person (%s) at %s: held until the tag moves on", rejection.Digest.Short(), fault.Clean(rejection.Why), since)}
	}
	return Decision{Outcome: Rejected, Record: s.Record, Failure: &fault.Error{Cause: fault.RolloutFailed, Message: fmt.Sprintf(
		"%s was rejected at %s because its rollout failed (%s): publish a working image under the tag",
		rejection.Digest.Short(), since, fault.CleanEnds(rejection.Why))}}
}

// Row 10: somebody else's rollout, or pods that went away. No new rollout on top of it (I10), but not for
// ever (I11, I45).

func (s *situation) unsettled() bool {
	if s.settled() || s.ours() {
		return false
	}
	return !s.Workload.Rollout.AwaitsDelete || s.live.Is(s.Latest.Digest)
}

func (s *situation) hesitate() (Decision, bool) {
	if s.Workload.Rollout.AwaitsDelete {
		return Decision{Outcome: Waiting, Record: s.Record, Message: "updateStrategy OnDelete: pods of an old revision await deletion"}, true
	}
	s.count()
	if s.streak < s.Policy.Unsettled {
		return Decision{Outcome: Waiting, Record: s.Record, Message: fmt.Sprintf(
			"not settled, and not by us: no rollout on top of it, %d/%d", s.streak, s.Policy.Unsettled)}, true
	}
	if s.movable() && !s.tried() {
		s.cure = true
		return Decision{}, false
	}
	return s.frozen(), true
}

// tried says whether latest has been in the slots of this workload before.
func (s *situation) tried() bool {
	latest := s.Latest.Digest
	return s.Record.Recorded.Is(latest) || s.Record.Mark.Is(latest) || s.Record.State.Left.Is(latest) || s.Record.State.Attempted() == latest
}

// count adds this tick to the skip streak, once for all targets of the workload, unless another tick has counted
// while this one was running.
func (s *situation) count() {
	s.streak = s.Workload.SkipStreak
	if !s.Lost && !s.Workload.Skipped {
		s.streak++
		s.skip, s.tally = SkipCount, true
	}
}

func (s *situation) frozen() Decision {
	failure := &fault.Error{Cause: fault.NotSettled, Message: fmt.Sprintf(
		"not settled for %d ticks (threshold %d), which freezes %s: find out why its pods are not all updated and available, with kubectl describe and kubectl get events",
		s.streak, s.Policy.Unsettled, strings.Join(s.Workload.Targets, ", "))}
	d := Decision{Outcome: Failed, Failure: failure, Record: s.Record}
	if s.skip == SkipCount && s.streak == s.Policy.Unsettled {
		d.Events = []Event{about(RefreshFrozen, failure)}
	}
	return d
}
