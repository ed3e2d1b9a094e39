// Package decide decides what a tick does, in three layers of pure functions over plain values:
//
//   - a target on one workload: Decide is the decision table, Conclude what follows the wait for a rollout
//     (docs/how-a-tick-decides.md draws both);
//   - a workload: what concerns all of its targets, which share one rollout and one patch (workload.go);
//   - a tick: what concerns several workloads, such as counting and MAX_ROLLOUTS (tick.go).
//
// What a decision needs to know from a registry, or from the pods, is a Question. The caller asks, and decides then.
//
// No client, no clock, no logger: the package imports neither Kubernetes nor a registry (a test says so). It is tabled
// exhaustively, and explored by a model checker (decide/modelcheck).
package decide

import (
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/window"
)

// Policy is what the configuration says about a target.
type Policy struct {
	RolloutFailures int            // failed attempts of one digest, at least 1
	Unsettled       int            // ticks in a row, at least 1
	Reapplications  int            // at least 1
	Rollback        bool           // restore what the slots held when a rollout failed
	StaleAfter      time.Duration  // how long the same digest may be latest; 0: for ever
	MinAge          time.Duration  // how long a digest must have been latest; 0: no wait
	Window          *window.Window // in which new digests are rolled out; nil: at any time
	Notify          bool           // report and count; roll out only what a person has approved
	PinAtOnce       bool           // a bare tag is pinned in the tick after the first, though that restarts pods for the same bytes
	Platforms       bool           // the configuration names platforms, which latest must offer
	Verify          bool           // the configuration names keys, by one of which latest must be signed
}

// Latest is what the registry answered for one workload's credentials: a digest or the reason for none.
type Latest struct {
	Digest  image.Digest
	Failure *failure.Error
}

// Facts is what was read of a workload as a whole.
type Facts struct {
	Held    bool           // the hold label is set
	Paused  bool           // a paused Deployment
	HeldBy  string         // who held or paused it, and since when, as far as that is known; cleaned
	Rollout Rollout        // how far the controller is
	Newer   *failure.Error // a newer release has left a state here; nil where none has
	Targets []string       // the names of all targets that it carries, for messages
}

// Rollout is how far the controller is with the newest generation of a workload.
type Rollout struct {
	Settled      bool   // `kubectl rollout status` would return at once
	NoReplica    bool   // no replica is meant to run the newest revision: scaled to zero, or a partition covers all of them
	AwaitsDelete bool   // OnDelete: everything is available, but pods of an old revision await deletion by a person
	Failure      string // the controller's own report that it gave up, cleaned; empty where it did not
	Fresh        int    // replicas that are certainly both updated and available; 0 until the controller has seen the newest generation
	Available    int    // replicas that are available, whatever their revision
	Desired      int    // replicas that are wanted
}

// Proven says that the newest revision has settled, and that a replica has run it. Zero replicas prove nothing (I56).
func (r Rollout) Proven() bool { return r.Settled && !r.NoReplica }

// Slot is one place that holds the target's digest.
type Slot struct {
	Key      string           // names the slot in the state
	Problem  *failure.Error   // why the slot cannot be worked with; nil for none
	Live     annotate.Content // None: an environment variable that is empty or missing
	Left     bool             // it is empty, which means something to that application: it is left so
	Image    bool             // it is a container's image, so that its pods say what it runs
	Person   string           // the field manager of the newest claim on the slot, where a person made it; else empty
	Deployer string           // the same of a deployer
	Ours     bool             // our patch has taken the slot, and its owner has not got it back yet
	Appliers []string         // the field managers that own the slot by server-side apply
}

// Writer is a field manager other than this program's. The zero value is nobody.
type Writer struct {
	Manager string
	Person  bool
}

// Writers are those of the records of a target on a workload.
type Writers struct {
	Mark, Recorded Writer // who has written them over ours; nobody where they are ours, or nobody's
	RecordIsOurs   bool   // recorded is there, and we have written it
	Template       Writer // who has written the pod template last; a person where that was since we have written last
}

// Input is everything that a decision on one target on one workload depends on.
type Input struct {
	Binding   int // which of the workload's targets this is, as pods speak of them
	Policy    Policy
	Now       time.Time
	Latest    Latest
	Answers   Answers
	Unsettled Count // the ticks in a row in which the workload was not settled, if this tick is one of them
	Facts     Facts
	Slots     []Slot
	Record    annotate.Record // as it is now
	Writers   Writers         // of the record
	Keys      RecordKeys      // of the record, for messages
	Postponed Postponement    // why the slots are not to be changed in this tick, whatever the table says

	Approve, Skip Label // those that a person has set

	// Began is the record as this tick read it first or, after a wait, as it was when the wait began. A tick counts only
	// where the counter is still what it was then, so that ticks at once count once (I28, I80).
	Began annotate.Record
}

// RecordKeys are the label and the annotation that a record is read from.
type RecordKeys struct{ Mark, Recorded string }

// Postponement is a reason to leave the slots alone in one tick. The zero value is none.
type Postponement struct {
	Message string // for people
	ForTurn bool   // another workload's turn comes first, and since when this one waits is to be noted
}

// Outcome is what became of a target on a workload. The set is part of the contract (docs/schema/result-v1.json).
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

// NeedsAttention says whether an operator must look: the tick that has such an outcome exits with 1.
func (o Outcome) NeedsAttention() bool {
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

	RefreshContested Reason = "RefreshContested"

	Recovered Reason = "Recovered"
)

// Event is a change of state worth an Event on the workload.
type Event struct {
	Reason Reason
	Cause  failure.Cause // what the note is about, where that is a failure
	Note   string        // one sentence; where to read on about the cause is added to it
}

func about(reason Reason, failed *failure.Error) Event {
	return Event{Reason: reason, Cause: failed.Cause, Note: failed.Error()}
}

// Decision is what a tick does about one target on one workload.
type Decision struct {
	Row     int     // the row of the table that matched; 0 after a wait
	Outcome Outcome // as far as it is known before the wait
	Failure *failure.Error
	Message string // why, where there is no Failure
	Builds  string // what is put in place of what, by their builds; part of Message

	Set    []image.Digest  // what to put into each slot, empty for one to be left alone; nil: leave all of them alone
	Wait   image.Digest    // the digest whose rollout is to be waited for; then Conclude
	Record annotate.Record // what must be remembered, with Set in the same write
	Skip   SkipChange
	Gated  *failure.Error // a gate said no: counts towards the target's failures
	Events []Event

	// Approvable is the digest that would be put into the slots if a person approved it; empty where none would.
	Approvable        image.Digest
	Approved, Skipped bool // the label by which a person has said so is heeded, and to be removed

	// Rewound says that an undo has rewound the annotations: the counters on the workload, of whichever target, are of
	// another time and read as absent.
	Rewound bool
}

// Rolls says whether the decision changes what runs.
func (d Decision) Rolls() bool { return d.Set != nil }

// SkipChange is what happens to the count of ticks in a row in which the workload was not settled.
type SkipChange int

// What happens to that count.
const (
	SkipKeep  SkipChange = iota
	SkipCount            // one more
	SkipClear
)
