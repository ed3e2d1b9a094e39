package decide

import (
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Row is one row of the decision table. The first row that matches decides, unless it goes on to those below.
type Row struct {
	Number int    // as a Decision has it
	Label  string // as people know it
	Name   string
	when   func(*evaluation) bool
	asks   func(*evaluation) []Question // what must be answered before then; nil: nothing
	then   func(*evaluation) found
}

// recordsRow is the number of row 4a.
const recordsRow = 13

// found is what a row has found: a decision or, where onward is set, what the rows below decide on.
type found struct {
	decision Decision
	onward   *evaluation
}

func decided(d Decision) found { return found{decision: d} }

// Table is the decision table, first row first. The diagram in the documentation is drawn from it.
func Table() []Row {
	return []Row{
		{1, "1", "the slot cannot be worked with", (*evaluation).slotInvalid, nil, (*evaluation).refuseSlot},
		{2, "2", "held by a label, or paused", (*evaluation).onHold, nil, (*evaluation).hold},
		{3, "3", "an env slot is empty", (*evaluation).slotEmpty, (*evaluation).asksToFill, (*evaluation).fill},
		{4, "4", "first observation", (*evaluation).firstObservation, (*evaluation).asksWhatRuns, (*evaluation).adopt},
		{recordsRow, "4a", "somebody has changed our records", (*evaluation).recordsChanged, (*evaluation).asksWhatRuns, (*evaluation).writeRecordsAnew},
		{5, "5", "our rollout is not proven", (*evaluation).ourRollout, nil, (*evaluation).awaitRollout},
		{6, "6", "a person changed the slot", (*evaluation).manualChange, nil, (*evaluation).acceptManualChange},
		{7, "7", "latest is unknown", (*evaluation).latestUnknown, nil, (*evaluation).skipUnresolved},
		{8, "8", "live is latest, settled", (*evaluation).upToDate, (*evaluation).asksWhatRuns, (*evaluation).confirm},
		{9, "9", "latest is rejected here", (*evaluation).latestRejected, nil, (*evaluation).keepOut},
		{10, "10", "not settled, not ours", (*evaluation).foreignRollout, nil, (*evaluation).waitOrUnblock},
		{11, "11", "a gate says no", (*evaluation).gateFailed, (*evaluation).asksGates, (*evaluation).heedGates},
		{12, "12", "live is not latest", (*evaluation).outdated, nil, (*evaluation).refresh},
	}
}

var table = Table()

// Decide answers by the first row of the table that matches. All its Questions must have been answered.
func Decide(in Input) Decision {
	decision, _ := decide(in)
	return decision
}

// decide walks down the table, up to a decision or to a row whose questions have no answers yet.
func decide(in Input) (Decision, []Question) {
	e := newEvaluation(in)
	for _, row := range table {
		if !row.when(e) {
			continue
		}
		if row.asks != nil {
			if questions := row.asks(e); len(questions) > 0 {
				return Decision{Row: row.Number, Record: in.Record}, questions
			}
		}
		found := row.then(e)
		if found.onward != nil {
			e = found.onward
			continue
		}
		found.decision.Row = row.Number
		return e.finish(found.decision), nil
	}
	// Rows 8, 10 and 12 leave nothing over (TestEveryCombination); a hole would be a loud one.
	return Decision{Outcome: Failed, Record: in.Record, Failure: &failure.Error{
		Cause: failure.API, Message: "no row of the decision table matches", Fix: "please report this, with the workload's annotations",
	}}, nil
}

// evaluation is the input with what follows from it. A row never changes it: one that goes on to the rows below hands
// them an evaluation of its own.
type evaluation struct {
	Input
	every    []Slot          // those that are left empty among them
	read     annotate.Record // the record as it stands on the workload
	live     annotate.Content
	served   image.Digest   // what the registry serves, whatever a row puts in its place; empty where that is unknown
	person   string         // the person who set a slot to something else than the mark, by the field manager's name
	deployer string         // the deployer who did
	undone   bool           // an undo has rewound the annotations (I44)
	records  *failure.Error // somebody else has changed our records while this tick waited

	// What rows above have found.
	events         []Event
	skip           SkipChange
	yielded        bool                // it was a person
	unblockAttempt bool                // the workload is stuck, and latest may be what frees it (I45)
	rejectedLatest *annotate.Rejection // latest is rejected, and what is recorded stands in its place
}

func newEvaluation(in Input) *evaluation {
	e := &evaluation{Input: in, read: in.Record, live: Together(in.Slots), every: in.Slots, served: in.Latest.Digest}
	if others := filled(in.Slots); len(others) > 0 { // beside them, a slot that is left empty is as if it was not there
		e.Slots = others
	}
	e.person, e.deployer = changedBy(e.Slots, in.Record.Mark)
	switch {
	case !in.Record.Torn() || e.live == annotate.None || e.firstObservation() || e.recordsChanged():
	case e.live.Same(in.Record.Mark): // somebody has removed the state, which re-arms everything
		e.Record.State = annotate.State{Attempt: &annotate.Attempt{Digest: e.live.Digest()}}
	default: // an undo has rewound the annotations: they are of another time than the mark (I44)
		e.undone = true
		e.Record = annotate.Record{Mark: in.Record.Mark, Slots: in.Record.Slots, Recorded: in.Record.Mark}
	}
	e.heedLabels()
	return e
}

// filled are the slots but for those that are left empty.
func filled(slots []Slot) []Slot {
	if !slices.ContainsFunc(slots, isLeft) {
		return slots
	}
	return slices.DeleteFunc(slices.Clone(slots), isLeft)
}

func isLeft(s Slot) bool { return s.Left }

// inEvery spreads what is put into the slots that are decided on over all slots: nothing into those that are left empty.
func (e *evaluation) inEvery(set []image.Digest) []image.Digest {
	if set == nil || len(e.every) == len(e.Slots) {
		return set
	}
	spread := make([]image.Digest, len(e.every))
	for at, slot := range e.every {
		if !slot.Left {
			spread[at], set = set[0], set[1:]
		}
	}
	return spread
}

// Together is what the slots of a target hold together: None where one is empty, the digest where all hold the same,
// Unpinned otherwise. One that is left empty does not count beside others.
func Together(slots []Slot) annotate.Content {
	together := annotate.None
	for i, slot := range filled(slots) {
		switch {
		case slot.Live == annotate.None:
			return annotate.None
		case i == 0:
			together = slot.Live
		case !slot.Live.Same(together):
			together = annotate.Unpinned
		}
	}
	return together
}

// changedBy finds who changed the slots that hold something else than the mark: the person, if one did, and the deployer,
// if one did. Each is a field manager's name, empty for none.
func changedBy(slots []Slot, mark annotate.Content) (person, deployer string) {
	for _, slot := range slots {
		if slot.Live.Same(mark) {
			continue
		}
		if slot.Person != "" {
			person = slot.Person
		}
		if slot.Deployer != "" {
			deployer = slot.Deployer
		}
	}
	return person, deployer
}

// finish adds to a decision what rows above it have found, and notes latest as it was seen.
func (e *evaluation) finish(d Decision) Decision {
	if d.Outcome != Unchanged { // a person who puts there what is latest changes nothing that anybody waits for
		d.Events = append(e.events, d.Events...)
	}
	d.Rewound = d.Rewound || e.undone && e.yielded
	d = e.stillRejected(e.rejectedLatest, d)
	switch {
	case d.Skip == SkipKeep && e.skip != SkipKeep:
		d.Skip = e.skip
	case d.Skip == SkipKeep && d.Row != 1 && e.settled() && e.Unsettled.before() > 0:
		d.Skip = SkipClear
	}
	d.Record.State = e.stood(d)
	if d.Gated != nil && isRefused(d.Gated) {
		d.Record.State.Refused = &annotate.Refusal{
			Digest: e.Latest.Digest, Why: failure.CleanEnds(d.Gated.Error()), Unsigned: d.Gated.Cause == failure.Unsigned,
		}
	}
	d.Record.Slots = e.markedSlots(d)
	d.Record.Build = e.buildOf(d.Record.Recorded)
	d.Set = e.inEvery(d.Set)
	return e.heeded(d)
}

// slotsName names the slots of the target here, those that are left empty among them.
func (e *evaluation) slotsName() string {
	keys := make([]string, 0, len(e.every))
	for _, slot := range e.every {
		keys = append(keys, slot.Key)
	}
	return annotate.SlotsName(keys)
}

// markedSlots names the slots that the mark is for which a decision leaves: those of now, where it writes the mark anew.
func (e *evaluation) markedSlots(d Decision) string {
	if !d.Rolls() && d.Row != 4 && d.Record.Mark.Same(e.read.Mark) {
		return e.read.Slots
	}
	return e.slotsName()
}

// stood notes latest as it was seen where it is not what the slots hold, and forgets it once it is; and what has failed to
// unblock the workload, where that is settled.
func (e *evaluation) stood(d Decision) annotate.State {
	state := d.Record.State
	if e.settled() && d.Row > 2 {
		state.UnblockFailed = "" // what is tried next is tried on a workload that works
	}
	if e.live != annotate.Unpinned && d.Row > 2 {
		state.Runs = nil
	}
	latest := annotate.Of(e.Latest.Digest)
	_, rejected := state.Rejection(latest)
	switch {
	case d.Rolls(), e.latestKnown() && (rejected || e.rejectedLatest != nil || e.live.Same(latest)):
		state.Stood = annotate.None
	case e.latestKnown() && d.Row > 3 && !d.Record.Recorded.Same(latest):
		state.Stood = latest
	case e.latestKnown() && d.Row > 3:
		state.Stood = annotate.None
	}
	state.Seen = e.lastSeen(state.Seen, d.Row)
	return state
}

// lastSeen is what was latest last and since when, which a target with staleAfter remembers in every row. noted is what a row
// has noted itself.
func (e *evaluation) lastSeen(noted *annotate.Seen, row int) *annotate.Seen {
	if e.Policy.StaleAfter <= 0 || e.served == "" || row == 1 {
		return noted
	}
	seen := annotate.Seen{Digest: e.served, Since: e.Now}
	if before := e.read.State.Seen; before != nil && before.Digest == e.served {
		seen.Since = before.Since
	}
	if noted != nil {
		seen.Deferred = noted.Deferred
	}
	return &seen
}

func (e *evaluation) latestKnown() bool { return e.Latest.Failure == nil && e.Latest.Digest != "" }
func (e *evaluation) settled() bool     { return e.Facts.Rollout.Settled }

// weOwnSlots says whether the owner of a slot has not got it back yet.
func (e *evaluation) weOwnSlots() bool {
	for _, slot := range e.Slots {
		if slot.Ours {
			return true
		}
	}
	return false
}

// ours says whether the slots hold what a tick has put there and nobody has recorded yet. Where the mark is
// another, what was put there has been restored since, and somebody else has brought it back (I44).
func (e *evaluation) ours() bool {
	return e.live.Is(e.Record.State.Attempted()) && e.live.Same(e.Record.Mark)
}

// rejection is that of latest, if it is known and rejected here.
func (e *evaluation) rejection() (annotate.Rejection, bool) {
	if !e.latestKnown() {
		return annotate.Rejection{}, false
	}
	return e.rejectionOf(annotate.Of(e.Latest.Digest))
}

// rejectionFor is how long a rejection lasts that pods did not speak for.
const rejectionFor = 24 * time.Hour

// rejectionOf is that of a digest, unless it has ended by itself.
func (e *evaluation) rejectionOf(digest annotate.Content) (annotate.Rejection, bool) {
	rejection, rejected := e.Record.State.Rejection(digest)
	if rejected && rejection.By == annotate.ByFailure && !rejection.Evidence && e.Now.Sub(rejection.At) >= rejectionFor {
		return annotate.Rejection{}, false
	}
	return rejection, rejected
}

// betterKnown says whether there is a better digest than what is live: known, another, and not rejected.
func (e *evaluation) betterKnown() bool {
	_, rejected := e.rejection()
	return e.latestKnown() && !e.live.Is(e.Latest.Digest) && !rejected
}
