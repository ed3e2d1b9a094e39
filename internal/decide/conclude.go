package decide

import (
	"fmt"
	"strings"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Wait is what waiting for a rollout has brought to light, beside what the workload says afterwards.
type Wait struct {
	Digest      image.Digest // what was waited for
	Before      Rollout      // how far the controller was when the wait began
	Contested   *fault.Error // that it was put there although somebody keeps reverting it, and who; nil where nobody does
	Joint       bool         // several targets changed in this rollout: whose fault it is, is not known
	Interrupted bool         // the tick was told to end
	Reasons     []string     // why pods of the workload are not ready, in their own words, cleaned
	PullFailed  bool         // those reasons are a failed pull
	Stuck       []string     // pods that a StatefulSet's controller will not replace by itself
	Namespace   string       // for the command that deletes those
}

// Conclude decides after the wait (DESIGN.md, step 6). Its input was read again after the wait.
func Conclude(in Input, wait Wait) Decision {
	s := newSituation(in)
	return s.finish(s.conclude(wait))
}

func (s *situation) conclude(wait Wait) Decision {
	s.skip = SkipKeep
	switch {
	case s.broken(): // the slot went away under the rollout
		refused, _ := s.refuse()
		return refused
	case !s.live.Is(wait.Digest):
		return s.superseded(wait)
	case !s.ours():
		return s.concluded(wait)
	case s.settled():
		return s.record(wait)
	case s.parked(): // since the rollout began: neither counted nor restored
		held, _ := s.park()
		return held
	case s.Workload.Rollout.AwaitsDelete:
		return Decision{Outcome: Waiting, Record: s.Record, Message: "updateStrategy OnDelete: the new digest runs once the old pods have been deleted"}
	case wait.Interrupted:
		return Decision{Outcome: Waiting, Record: s.Record, Message: "the tick was told to end: the next one continues"}
	case s.Workload.Rollout.Failure == "" && s.Workload.Rollout.Fresh > wait.Before.Fresh:
		return s.progressing()
	default:
		return s.fail(wait)
	}
}

// record is the only place where a digest becomes recorded: it is settled, and still in the slots (I4).
func (s *situation) record(wait Wait) Decision {
	state := s.Record.State.Forgive(s.live)
	d := Decision{Outcome: Refreshed, Message: wait.Digest.Short() + " is rolled out"}
	attempt := *state.Attempt
	if attempt.Again {
		d.Outcome = Reapplied
	}
	if state.Contested > 0 {
		d.Outcome, d.Failure = Failed, wait.Contested
		if d.Failure == nil { // the tick that put it there has died
			d.Failure = s.contested()
		}
	}
	d.Events = []Event{rolledOut(attempt)}
	state.Attempt, state.Seen = nil, nil
	if !s.Claimed {
		state.Owners = nil
	}
	d.Record = annotate.Record{Mark: s.live, Recorded: s.live, State: state}
	if s.Workload.SkipStreak > 0 {
		s.skip = SkipClear
	}
	return d
}

// rolledOut is the Event of a digest that is being recorded.
func rolledOut(attempt annotate.Attempt) Event {
	event := Event{Reason: DigestRefreshed, Note: attempt.Digest.Short() + " is rolled out"}
	if attempt.Again {
		event.Reason = DigestReapplied
	}
	return event
}

// concluded: the slots hold the digest, and it is no tick's attempt any more: another tick was faster, or its
// restoration was undone.
func (s *situation) concluded(wait Wait) Decision {
	if s.settled() && s.Record.Recorded.Is(wait.Digest) {
		return Decision{Outcome: Refreshed, Message: wait.Digest.Short() + " is rolled out", Record: s.Record}
	}
	return Decision{Outcome: Waiting, Message: "another tick, or somebody else, was faster: the next one decides", Record: s.Record}
}

// superseded: the slots hold something else by now.
func (s *situation) superseded(wait Wait) Decision {
	state := s.Record.State
	d := Decision{Outcome: Waiting, Record: s.Record}
	switch {
	case s.live.Same(s.Record.Mark):
		d.Message = "another tick has moved on to " + s.live.Short()
		_, rejected := state.Rejection(annotate.Of(wait.Digest))
		if rejected || state.Attempted() == wait.Digest && state.Attempt.Failed > 0 {
			d.Outcome = RolledBack
			d.Failure = &fault.Error{Cause: fault.RolloutFailed, Message: fmt.Sprintf(
				"the rollout of %s failed, and another tick restored %s", wait.Digest.Short(), s.live.Short())}
		}
	case s.person != "":
		d.Outcome = Held
		d.Message = fmt.Sprintf("a person (%s) replaced %s while it was rolling out", fault.Clean(s.person), wait.Digest.Short())
	default:
		who := "somebody"
		if s.deployer != "" {
			who = "the field manager " + fault.Clean(s.deployer)
		}
		d.Message = fmt.Sprintf("%s reverted %s while it was rolling out: the next tick re-applies it", who, wait.Digest.Short())
		if attempt := state.Attempt; attempt != nil && attempt.Digest == wait.Digest && !attempt.Reverted {
			reverted := *attempt
			reverted.Reverted = true
			d.Record.State.Attempt = &reverted
			d.Record.State.Reapplied = min(d.Record.State.Reapplied+1, s.Policy.Reapplications)
			s.tally = true
		}
	}
	return d
}

// progressing: progress is not failure (I43), but it is counted.
func (s *situation) progressing() Decision {
	s.count()
	if s.streak >= s.Policy.Unsettled {
		return s.frozen()
	}
	return Decision{Outcome: Waiting, Record: s.Record, Message: fmt.Sprintf(
		"the rollout of %s goes on: further replicas became available, %d/%d", s.live.Short(), s.streak, s.Policy.Unsettled)}
}

// fail counts an attempt, and rejects and restores where it is time (I13, I39).
func (s *situation) fail(wait Wait) Decision {
	attempt := *s.Record.State.Attempt
	if s.Lost {
		return Decision{Outcome: Failed, Record: s.Record, Failure: s.rolloutFailed(wait, attempt.Failed, "")}
	}
	attempt.Failed = min(attempt.Failed+1, s.Policy.RolloutFailures)
	rollout := s.Workload.Rollout
	down := attempt.Served > 0 && rollout.Down || rollout.StopsFirst && rollout.Available < min(attempt.Served, rollout.Desired)
	enough := attempt.Failed >= s.Policy.RolloutFailures || down && !wait.PullFailed
	restorable := s.Policy.Rollback && !s.Policy.Notify && s.Record.Recorded.Digest() != "" && !s.Record.Recorded.Is(wait.Digest)
	restore := restorable && (enough || down)

	// Whose fault a joint failure is, is not known: nobody is rejected, and each is tried alone once more.
	alone := restore && wait.Joint
	if alone {
		attempt.Alone = true
		attempt.Failed = min(attempt.Failed, s.Policy.RolloutFailures-1)
	}
	state := s.Record.State
	state.Attempt = &attempt
	state.Counted = &annotate.Counted{By: s.Tick.ID, At: s.Tick.Now}
	if enough && !alone {
		state = state.Reject(annotate.Rejection{
			Digest: annotate.Of(wait.Digest), By: annotate.ByFailure, Why: strings.Join(reasons(rollout, wait), "; "), At: s.Tick.Now,
		})
	}
	d := Decision{Outcome: Failed, Record: annotate.Record{Mark: s.Record.Mark, Recorded: s.Record.Recorded, State: state}}
	if restore {
		d.Outcome, d.Set = RolledBack, s.Record.Recorded.Digest()
		d.Record.Mark = s.Record.Recorded
	}
	d.Failure = s.rolloutFailed(wait, attempt.Failed, s.consequence(restore, enough, alone))
	d.Events = []Event{about(RolloutFailed, d.Failure)}
	if restore {
		d.Events = append(d.Events, Event{Reason: RolledBackEvent, Cause: fault.RolloutFailed, Note: fmt.Sprintf(
			"%s is restored after the rollout of %s failed", d.Set.Short(), wait.Digest.Short())})
	}
	return d
}

func (s *situation) consequence(restore, enough, alone bool) string {
	recorded := s.Record.Recorded.Short()
	switch {
	case restore && alone:
		return recorded + " is restored; several targets changed at once, so the next ticks try them one by one"
	case restore && enough:
		return recorded + " is restored and the digest is rejected: publish a working image under the tag"
	case restore:
		return recorded + " is restored, because the service was down; the next tick tries again"
	case enough && !s.Policy.Rollback:
		return "the digest is rejected and left in place, because ROLLBACK is false: publish a working image under the tag"
	case enough && s.Policy.Notify:
		return "the digest is rejected and left in place, because the target is notify only: publish a working image under the tag"
	case enough:
		return "the digest is rejected, and there is no recorded digest to restore: publish a working image under the tag, or set one by hand"
	default:
		return "the next tick goes on waiting"
	}
}

// rolloutFailed words the failure: which attempt, the pods' own reasons, and what follows.
func (s *situation) rolloutFailed(wait Wait, failed int, consequence string) *fault.Error {
	message := fmt.Sprintf("the rollout of %s failed, attempt %d/%d", wait.Digest.Short(), failed, s.Policy.RolloutFailures)
	if why := reasons(s.Workload.Rollout, wait); len(why) > 0 {
		message += " (" + strings.Join(why, "; ") + ")"
	}
	if consequence != "" {
		message += ": " + consequence
	}
	if len(wait.Stuck) > 0 {
		message += fmt.Sprintf("; the controller does not replace a pod that never became Ready, so delete it: kubectl delete pod -n %s %s",
			wait.Namespace, strings.Join(wait.Stuck, " "))
	}
	return &fault.Error{Cause: fault.RolloutFailed, Message: message}
}

func reasons(rollout Rollout, wait Wait) []string {
	why := wait.Reasons
	if rollout.Failure != "" {
		why = append([]string{rollout.Failure}, why...)
	}
	return why
}
