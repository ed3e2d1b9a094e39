package decide

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// What is known of a target as a whole once all its workloads have come to their end in a tick: since when it fails, and what
// is said of that again, or at last.

// day is how often a failure that lasts is said again.
const day = 24 * time.Hour

// Ended is how a target has ended on one of its workloads.
type Ended struct {
	Outcome   Outcome
	Failure   *failure.Error
	Underway  bool         // a rollout is under way there, and shows later what has come of it
	Rejected  bool         // latest is rejected there since its rollout failed
	Contested bool         // it was put back so often that the next revert is contested
	Digest    image.Digest // latest there
	Recorded  bool         // this tick has recorded it
	Builds    string       // what it is put in place of, and what it is, by their builds
}

// Ended is how a target has ended by this decision, with the rollout as it is then. latest is what was to be there.
func (d Decision) Ended(rollout Rollout, latest image.Digest) Ended {
	return Ended{
		Outcome: d.Outcome, Failure: d.Failure, Underway: !rollout.Settled && !rollout.AwaitsDelete, Digest: latest, Builds: d.Builds,
		Rejected: d.Record.State.RejectedBy(latest) == annotate.ByFailure, Contested: d.Record.State.Contested,
		Recorded: slices.ContainsFunc(d.Events, func(event Event) bool { return event.Reason == DigestRefreshed }),
	}
}

// standing is how the target is there.
func (on Ended) standing() annotate.Standing {
	switch {
	case on.Outcome == Held:
		return annotate.Fine
	case on.Contested:
		return annotate.Fought
	case !on.Outcome.NeedsAttention() || on.Failure == nil:
		return annotate.Fine
	case on.Rejected:
		return annotate.Refused
	}
	switch on.Failure.Cause {
	case failure.RolloutFailed, failure.NotSettled:
		return annotate.NotRolledOut
	case failure.Contested:
		return annotate.Fought
	case failure.WorkloadMissing, failure.SlotInvalid, failure.SlotMismatch, failure.API:
		return annotate.Wrong
	default:
		return annotate.Unresolved
	}
}

// lastingContest is what is said of a contest that may go on, in a tick that finds nothing to put back.
func lastingContest() *failure.Error {
	return &failure.Error{
		Cause: failure.Contested, Message: "latest is there now, and was put back so often that the next revert is contested", Fix: "stop one of the two writers",
	}
}

// Standing is how a target is at the end of a tick.
type Standing struct {
	// Fails says that it fails, or could not be resolved in this tick.
	Fails bool
	// Unknown says that nothing speaks against it, and that it is not known to be fine: it is what it was before.
	Unknown bool
	// Failure is why an operator must look, the worst of all workloads; nil where none must.
	Failure *failure.Error
	At      int // which of the workloads that was; -1 for the target itself
	// Kind is how it is, as people are told of it; where AsBefore is set, or what it was before if that is worse.
	Kind     annotate.Standing
	AsBefore bool
	// Waits is the digest that waits for a person, and Recorded one that this tick has recorded; NewsAt is on which workload, and
	// Builds from and to which build.
	Waits, Recorded image.Digest
	NewsAt          int
	Builds          string
}

// StandingOf is how a target is that has ended so on its workloads.
func StandingOf(target Target, ended []Ended) Standing {
	s := Standing{Fails: target.Failure != nil || target.Stale != nil, At: -1}
	s.Unknown = !target.Asked && target.Failures.N > 0
	var outcomes []Outcome
	for at, on := range ended {
		outcomes = append(outcomes, on.Outcome)
		s.Fails = s.Fails || on.Outcome == Skipped || on.Outcome.NeedsAttention()
		s.Unknown = s.Unknown || on.Underway && on.Outcome == Waiting
		s.AsBefore = s.AsBefore || on.Outcome == Skipped
		s.Kind = annotate.WorstStanding(s.Kind, on.standing())
		switch {
		case on.Outcome == Pending:
			s.Waits, s.NewsAt, s.Builds = on.Digest, at, on.Builds
		case on.Recorded:
			s.Recorded, s.NewsAt, s.Builds = on.Digest, at, on.Builds
		}
		if on.Contested && on.standing() == annotate.Fought && on.Failure == nil {
			s.Fails, s.Failure, s.At = true, failure.Worst(s.Failure, lastingContest()), at
		}
		if worst := failure.Worst(s.Failure, on.Failure); on.Outcome.NeedsAttention() && worst != s.Failure {
			s.Failure, s.At = worst, at
		}
	}
	if s.Failure == nil && target.Failure != nil && NeedsAttention(target.Failures, outcomes) {
		s.Failure = target.Failure
	}
	if s.Failure == nil {
		s.Failure = target.Stale
	}
	if s.Failure != nil && s.At < 0 { // the target itself
		s.Kind = annotate.WorstStanding(s.Kind, annotate.Unresolved)
	}
	s.AsBefore = s.AsBefore || s.Unknown
	s.Unknown = s.Unknown && !s.Fails
	return s
}

// Since is since when a target fails that stood so before.
func (t Tick) Since(before time.Time, s Standing) time.Time {
	switch {
	case s.Unknown, s.Fails && !before.IsZero():
		return before
	case s.Fails:
		return t.Now
	}
	return time.Time{}
}

// Closing is what is left to be written to a workload at the end of a tick, about the targets whose home it is.
type Closing struct {
	Change Change
	Events []TargetEvent
	Since  []time.Time // by home: since when the target fails; zero where it is fine
	Tells  []Telling   // what is to be sent once the change is written
}

func (w Workload) carries(target int) bool {
	return slices.ContainsFunc(w.Bindings, func(b Binding) bool { return b.Target == target })
}

// MayClose says whether anything may be left to be written to a workload: in most ticks there is not.
func MayClose(w Workload, standings []Standing) bool {
	for at, home := range w.Homes {
		if s := standings[home.Target]; s.Fails || s.Waits != "" || s.Recorded != "" || !w.Began.Since[at].IsZero() || w.Began.Told[at] != nil {
			return true
		}
	}
	return false
}

// Close decides what is left to be written to a workload. standings are those of all targets.
func (t Tick) Close(w Workload, targets []Target, standings []Standing) Closing {
	closing := Closing{Change: Change{Labels: map[string]string{}, Annotations: map[string]string{}}}
	now := t.Remember(w, targets)
	for at, home := range w.Homes {
		target, standing := targets[home.Target], standings[home.Target]
		since := t.Since(now.Since[at], standing)
		record, _ := t.Keys.Read(target.Name, w.Object.Labels, w.Object.Annotations)
		if w.Object.Newer != nil || !t.Tells && record.Mark == annotate.None && now.Since[at].IsZero() && w.carries(home.Target) {
			closing.Since = append(closing.Since, time.Time{}) // what is not what was meant is left alone
			continue
		}
		closing.Since = append(closing.Since, since)
		state, told := record.State, annotate.Told{}
		if now.Told[at] != nil {
			told = *now.Told[at]
		}
		say := func(event Event) { closing.Events = append(closing.Events, TargetEvent{home.Target, event}) }
		before := began(w.Began.Told[at])
		switch {
		case since.IsZero():
			if !now.Since[at].IsZero() && wasLoud(w.Began.Failures[at], target, told) {
				say(recovered(now.Since[at], t.Now))
				if before == (annotate.Notice{}) && told.Notice == before { // what was told went with the state that a person removed
					before.Standing = annotate.Unresolved
					told.Notice = before
				}
			}
			told.Event = time.Time{}
		case standing.Failure != nil && t.Now.Sub(since) >= day && t.Now.Sub(told.Event) >= day:
			if event, found := stillFailing(standing.Failure, since); found {
				told.Event = t.Now
				say(event)
			}
		}
		if telling, tells := t.tell(told.Notice, before, standing, cmp.Or(now.Since[at], since)); tells {
			telling.Target = home.Target
			told.Notice = telling.Notice
			closing.Tells = append(closing.Tells, telling)
		} else {
			told.Notice = telling.Notice
		}
		if state.Told = &told; told == (annotate.Told{}) {
			state.Told = nil
		}
		differ(closing.Change.Annotations, w.Object.Annotations, t.Keys.FailingSince(target.Name), annotate.FormatTime(since))
		if !reflect.DeepEqual(record.State.Told, state.Told) {
			differ(closing.Change.Annotations, w.Object.Annotations, t.Keys.State(target.Name), state.String())
		}
	}
	return closing
}

// wasLoud says whether an operator had to look before this tick. A failure to resolve that ends below its threshold was never
// said, and so is not its end.
func wasLoud(failures int, target Target, told annotate.Told) bool {
	return failures == 0 || failures >= target.Threshold || !told.Event.IsZero()
}

// Lasted is how long something lasted, to the minute and at least one.
func Lasted(d time.Duration) string {
	d = d.Round(time.Minute)
	days, hours, minutes := int(d/day), int(d%day/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	}
	return fmt.Sprintf("%d min", max(minutes, 1))
}

func recovered(since, now time.Time) Event {
	return Event{Reason: Recovered, Note: fmt.Sprintf("fine again after %s; it failed since %s", Lasted(now.Sub(since)), annotate.FormatTime(since))}
}

// sinceNote is a note about a failure, with since when.
func sinceNote(failed *failure.Error, since time.Time) string {
	return failure.WithFix(failed.Message+" (failing since "+annotate.FormatTime(since)+")", failed.Fix)
}

func resolveFailing(failed *failure.Error, since time.Time) Event {
	return Event{Reason: ResolveFailing, Cause: failed.Cause, Note: string(failed.Cause) + ": " + sinceNote(failed, since)}
}

// stillFailing is the Event of a failure that lasts; none where there has been none when it began.
func stillFailing(failed *failure.Error, since time.Time) (Event, bool) {
	event := Event{Cause: failed.Cause, Note: sinceNote(failed, since)}
	switch failed.Cause {
	case failure.RolloutFailed:
		event.Reason = RolloutFailed
	case failure.NotSettled:
		event.Reason = RefreshFrozen
	case failure.Contested:
		event.Reason = RefreshContested
	case failure.WorkloadMissing, failure.SlotInvalid, failure.SlotMismatch, failure.API:
		return event, false
	default:
		return resolveFailing(failed, since), true
	}
	return event, true
}
