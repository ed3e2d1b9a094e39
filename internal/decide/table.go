package decide

import (
	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// Row is one row of the decision table. The first row that matches decides, unless its answer is "go on
// below".
type Row struct {
	Number int
	Name   string
	when   func(*situation) bool
	then   func(*situation) (Decision, bool) // false: go on below
}

// Table is the decision table, first row first. The diagram in the documentation is drawn from it.
func Table() []Row {
	return []Row{
		{1, "the slot cannot be worked with", (*situation).broken, (*situation).refuse},
		{2, "held by a label, or paused", (*situation).parked, (*situation).park},
		{3, "an env slot is empty", (*situation).empty, (*situation).fill},
		{4, "first observation", (*situation).unknown, (*situation).adopt},
		{5, "our rollout is not settled", (*situation).underway, (*situation).await},
		{6, "a person changed the slot", (*situation).handled, (*situation).yield},
		{7, "latest is unknown", (*situation).blind, (*situation).skipped},
		{8, "live is latest, settled", (*situation).fresh, (*situation).confirm},
		{9, "latest is rejected here", (*situation).refused, (*situation).decline},
		{10, "not settled, not ours", (*situation).unsettled, (*situation).hesitate},
		{11, "a gate says no", (*situation).gated, (*situation).gate},
		{12, "live is not latest", (*situation).stale, (*situation).refresh},
	}
}

// Decide answers by the first row of the table that matches.
func Decide(in Input) Decision {
	s := newSituation(in)
	for _, row := range Table() {
		if !row.when(s) {
			continue
		}
		if decision, decided := row.then(s); decided {
			decision.Row = row.Number
			return s.finish(decision)
		}
	}
	// Rows 8, 10 and 12 leave nothing over (TestEveryCombinationMatches); a hole would be a loud one.
	return Decision{Outcome: Failed, Record: in.Record, Failure: &fault.Error{
		Cause: fault.API, Message: "no row of the decision table matches: please report this, with the workload's annotations",
	}}
}

// situation is the input with what follows from it, and the record as it changes on the way down the table.
type situation struct {
	Input
	live     annotate.Pin
	person   string // who set a slot to something else than the mark, by hand
	deployer string // the same, not by hand
	skip     SkipChange
	streak   int  // the skip streak with this tick, where it was counted
	tally    bool // this tick counts something that another one must not count again (I28)
	events   []Event
	rewound  bool // a person's undo has rewound the annotations (I44)
	cure     bool // the workload is stuck, and latest may be what mends it (I45)
}

func newSituation(in Input) *situation {
	s := &situation{Input: in, live: live(in.Slots)}
	s.Record.Recorded = s.proven()
	s.person, s.deployer = changers(in.Slots, in.Record.Mark)
	if in.Workload.Rollout.Settled && in.Workload.SkipStreak > 0 {
		s.skip = SkipClear
	}
	return s
}

// finish adds to a decision what rows above it have left, the events and the skip streak, and keeps who
// counted last for as long as there is a count. Who has lost the race to count leaves the winner's name there, and
// counts nothing more in this tick: one name stands for all counts of a workload.
func (s *situation) finish(d Decision) Decision {
	if d.Outcome != Unchanged { // a person who puts there what is latest changes nothing that anybody waits for
		d.Events = append(s.events, d.Events...)
	}
	d.Skip, d.Rewound = s.skip, s.rewound
	state := &d.Record.State
	switch {
	case d.Record.Mark != annotate.Unpinned:
		state.Stood = annotate.None
	case s.live == annotate.Unpinned && s.known() && d.Row != 1:
		state.Stood = annotate.Of(s.Latest.Digest)
	}
	switch {
	case s.tally && !s.Lost:
		state.Counted = &annotate.Counted{By: s.Tick.ID, At: s.Tick.Now}
	case !s.Lost && s.Failures == 0 && state.Reapplied == 0 && state.Contested == 0 && state.Attempt == nil && (s.skip == SkipClear || s.Workload.SkipStreak == 0):
		state.Counted = nil
	}
	return d
}

func (s *situation) known() bool   { return s.Latest.Failure == nil && s.Latest.Digest != "" }
func (s *situation) settled() bool { return s.Workload.Rollout.Settled }

// proven is what is recorded, completed where only its mark is known, which an undo leaves: by what the slots
// hold, if that has settled (I4).
func (s *situation) proven() annotate.Pin {
	recorded := s.Record.Recorded
	if recorded.Digest() == "" && s.live.Digest() != "" && recorded.Same(s.live) && s.settled() {
		return s.live
	}
	return recorded
}

// ours says whether the slots hold what a tick has put there and nobody has recorded yet. Where the mark is
// another, what was put there has been restored since, and somebody else has brought it back (I44).
func (s *situation) ours() bool {
	return s.live.Is(s.Record.State.Attempted()) && s.live.Same(s.Record.Mark)
}

// rejection is that of latest, if it is known and rejected here.
func (s *situation) rejection() (annotate.Rejection, bool) {
	if !s.known() {
		return annotate.Rejection{}, false
	}
	return s.Record.State.Rejection(annotate.Of(s.Latest.Digest))
}

// movable says whether there is a better digest than what is live: known, another, and not rejected.
func (s *situation) movable() bool {
	_, rejected := s.rejection()
	return s.known() && !s.live.Is(s.Latest.Digest) && !rejected
}
