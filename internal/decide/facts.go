// Package decide holds the decision table: pure functions from what was read to what a tick does about it.
// No client, no clock, no logger; the package imports neither Kubernetes nor a registry (a test says so), so
// that it can be tabled exhaustively and model-checked.
//
// Decide is the table of DESIGN.md, "One tick", step 4. Conclude is its step 6, after the wait. Both take
// plain facts and return the whole record as it must be afterwards, so that a caller compares and writes.
package decide

import (
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Policy is what the configuration says about a target.
type Policy struct {
	ResolveFailures int           // ticks in a row, at least 1
	RolloutFailures int           // failed attempts of one digest, at least 1
	Unsettled       int           // ticks in a row, at least 1
	Reapplications  int           // at least 1
	Rollback        bool          // restore the recorded digest when a rollout failed
	MinAge          time.Duration // how long a digest must have been latest; 0: no wait
	Notify          bool          // report and count, change no slot
}

// Tick identifies one run.
type Tick struct {
	ID      string
	Started time.Time
	Now     time.Time
}

// Latest is what the registry answered for one workload's credentials: a digest or the reason for none.
type Latest struct {
	Digest  image.Digest
	Failure *fault.Error
}

// Gate is the answer of the checks before the first patch to a digest. The zero value has not been asked.
type Gate struct {
	Asked   bool
	Failure *fault.Error // nil: the digest may be rolled out
}

// Workload is what was read of a workload as a whole.
type Workload struct {
	Held       bool     // the hold label is set
	Paused     bool     // a paused Deployment
	ParkedBy   string   // who held or paused it, and since when, as far as that is known; cleaned
	Rollout    Rollout  // how far the controller is
	SkipStreak int      // ticks in a row in which it was unsettled, before this one
	Skipped    bool     // this tick is in the streak already: another target's decision has counted it
	Targets    []string // the names of all targets that it carries, for messages
}

// Rollout is how far the controller is with the newest generation of a workload.
type Rollout struct {
	Settled      bool   // `kubectl rollout status` would return at once
	AwaitsDelete bool   // OnDelete: everything is available, but pods of an old revision await deletion by a person
	Failure      string // the controller's own report that it gave up, cleaned; empty where it did not
	Fresh        int    // replicas that are certainly both updated and available
	Available    int    // replicas that are available, whatever their revision
	Desired      int    // replicas that are wanted
	StopsFirst   bool   // the controller stops old pods before new ones run (StatefulSet, DaemonSet)
	Down         bool   // while unsettled the service is down: Recreate, or a Deployment no longer Available
}

// Slot is one place that holds the target's digest.
type Slot struct {
	Problem *fault.Error // why the slot cannot be worked with; nil for none
	Live    annotate.Pin // None: an environment variable that is empty or missing
	Claims  []Claim
}

// Input is everything that a decision on one target on one workload depends on.
type Input struct {
	Policy   Policy
	Tick     Tick
	Latest   Latest
	Gate     Gate
	Failures int  // the target's failures in a row, this tick's counted
	Lost     bool // another tick counted here while this one was running (I28)
	Claimed  bool // we still own a slot: handing the claim back is not done yet

	// Overtaken says that another tick has put, restored or recorded something here since this one resolved the
	// tag: what it calls latest may be older than what it would replace.
	Overtaken bool

	Workload Workload
	Slots    []Slot
	Record   annotate.Record
}

// Overtaken compares a record with what was read before the tag was resolved (Input.Overtaken). Who counted, and
// how long a digest has waited, tell nothing of the tag; all else does, since a tag may move there and back.
func Overtaken(before, now annotate.Record) bool {
	facts := func(r annotate.Record) string {
		r.State.Counted, r.State.Seen, r.State.Owners = nil, nil, nil
		return r.Mark.Mark() + " " + r.Recorded.Mark() + " " + r.State.String()
	}
	return facts(before) != facts(now)
}

// Outcome is what became of a target on a workload. The set is part of the contract (DESIGN.md, "Result").
type Outcome string

// The outcomes.
const (
	Unchanged  Outcome = "unchanged"
	Adopted    Outcome = "adopted"
	Refreshed  Outcome = "refreshed"
	Reapplied  Outcome = "reapplied"
	Held       Outcome = "held"
	Deferred   Outcome = "deferred"
	Skipped    Outcome = "skipped"
	Waiting    Outcome = "waiting"
	Rejected   Outcome = "rejected"
	RolledBack Outcome = "rolled-back"
	Failed     Outcome = "failed"
	Pending    Outcome = "pending"
)

// Loud says whether an operator must look: the tick that has such an outcome exits with 1.
func (o Outcome) Loud() bool {
	switch o {
	case Rejected, RolledBack, Failed:
		return true
	case Unchanged, Adopted, Refreshed, Reapplied, Held, Deferred, Skipped, Waiting, Pending:
		return false
	}
	return true // an outcome that is not known is a failure
}

// Reason is the reason of an Event. The set is part of the contract.
type Reason string

// The reasons.
const (
	DigestRefreshed Reason = "DigestRefreshed"
	DigestReapplied Reason = "DigestReapplied"
	ResolveFailing  Reason = "ResolveFailing"
	RolloutFailed   Reason = "RolloutFailed"
	RolledBackEvent Reason = "RolledBack"
	RefreshHeld     Reason = "RefreshHeld"
	RefreshFrozen   Reason = "RefreshFrozen"
)

// Event is a change of state worth an Event on the workload.
type Event struct {
	Reason Reason
	Cause  fault.Cause // what the note is about, where that is a failure
	Note   string      // one sentence; where to read on about the cause is added to it
}

func about(reason Reason, failure *fault.Error) Event {
	return Event{Reason: reason, Cause: failure.Cause, Note: failure.Message}
}

// Decision is what a tick does about one target on one workload.
type Decision struct {
	Row     int     // the row of the table that matched
	Outcome Outcome // as far as it is known before the wait
	Failure *fault.Error
	Message string // why, where there is no Failure

	Verify image.Digest    // ask the gates about this digest, then decide again; nothing else counts
	Set    image.Digest    // put this digest into every slot; empty: leave the slots alone
	Wait   bool            // wait for the rollout, then Conclude
	Record annotate.Record // what must be remembered, with Set in the same write
	Skip   SkipChange

	// Rewound says that an undo has rewound the annotations: the counters on the workload, of whichever target, read as
	// absent, and the others are to be decided again without them.
	Rewound bool

	Gated  *fault.Error // a gate said no: counts towards the target's failures
	Events []Event
}

// SkipChange is what happens to the workload's skip streak.
type SkipChange int

// What happens to the skip streak.
const (
	SkipKeep  SkipChange = iota
	SkipCount            // one more
	SkipClear
)
