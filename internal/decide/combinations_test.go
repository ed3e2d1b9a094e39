package decide_test

import (
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// A dimension is one thing that decisions depend on, with the values that make a difference. Each value
// changes an input that all dimensions before it have changed already.
type dimension []func(*decide.Input)

func nothing(*decide.Input) {}

func setLive(pin annotate.Pin) func(*decide.Input) {
	return func(in *decide.Input) { in.Slots = []decide.Slot{{Live: pin}} }
}

func setMark(pin annotate.Pin) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Mark = pin }
}

func setRecorded(pin annotate.Pin) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Recorded = pin }
}

// dimensions are all inputs, discretised: B is latest where latest is known, so A, B, a tag and nothing at all
// are what any digest can be.
func dimensions() []dimension {
	pins := func(set func(annotate.Pin) func(*decide.Input)) dimension {
		return dimension{set(annotate.None), set(annotate.Unpinned), set(a), set(b)}
	}
	return []dimension{
		pins(setMark),
		pins(setRecorded),
		{nothing, attempt(annotate.Attempt{Digest: digestA, Failed: 2}), attempt(annotate.Attempt{Digest: digestB, Reverted: true})},
		pins(setLive),
		{nothing, by("helm"), by("kubectl-set")},
		{nothing, unknown},
		{nothing, unsettled, awaitsDelete},
		{nothing, rejected(b, annotate.ByFailure), rejected(b, annotate.ByPerson)},
		{nothing, func(in *decide.Input) { reapplied(3, 0)(in); in.Record.State.Left = b }, func(in *decide.Input) { reapplied(3, 7)(in); in.Record.State.Left = b }},
		{unasked, nothing, gateSaysNo},
		{nothing, notify},
		{nothing, func(in *decide.Input) { in.Policy.MinAge = time.Hour }},
		{nothing, func(in *decide.Input) { streak(7)(in); failures(3)(in) }, func(in *decide.Input) { streak(8)(in); failures(3)(in); lost(in) }},
		{nothing, func(in *decide.Input) { in.Workload.Held = true }, func(in *decide.Input) { in.Slots[0] = problem(fault.SlotInvalid) }},
	}
}

// each calls visit with every combination of the dimensions.
func each(in decide.Input, rest []dimension, visit func(decide.Input)) {
	if len(rest) == 0 {
		visit(in)
		return
	}
	for _, change := range rest[0] {
		next := in
		next.Slots = slices.Clone(in.Slots)
		change(&next)
		each(next, rest[1:], visit)
	}
}

// rewound says what annotate.Keys.Read never returns: a mark that is neither recorded nor attempted.
func rewound(r annotate.Record) bool {
	return r.Mark != annotate.None && !r.Mark.Same(r.Recorded) && !r.Mark.Is(r.State.Attempted())
}

// TestEveryCombinationMatches is the proof that no combination of inputs falls through the table, and that
// whatever row decides, a few things never happen.
func TestEveryCombinationMatches(t *testing.T) {
	t.Parallel()
	var combinations atomic.Int64
	var seen outcomesByRow
	t.Run("all", func(t *testing.T) {
		all := dimensions()
		each(input(), all[:3], func(in decide.Input) { // mark, recorded and attempt
			if rewound(in.Record) {
				return
			}
			t.Run("", func(t *testing.T) {
				t.Parallel()
				each(in, all[3:], func(in decide.Input) {
					if combinations.Add(1)%sample != 0 {
						return
					}
					decision := decide.Decide(in)
					if broken := violates(in, decision); broken != "" {
						t.Fatalf("%s:\n%+v\nis decided as\n%+v", broken, in, decision)
					}
					seen.add(decision)
				})
			})
		})
	})
	t.Logf("%d combinations, of which every %dth was tried", combinations.Load(), sample)
	if sample == 1 && !t.Failed() {
		requireDiagram(t, &seen)
	}
}

// violates names the rule that a decision breaks; empty for none.
func violates(in decide.Input, d decide.Decision) string {
	after := d.Record
	parked := in.Workload.Held || in.Workload.Paused || in.Slots[0].Problem != nil
	pin := in.Slots[0].Live
	known := in.Latest.Digest != ""
	_, isRejected := in.Record.State.Rejection(annotate.Of(d.Set))
	switch {
	case d.Row < 1 || d.Row > 12:
		return "no row matches"
	case d.Verify != "" && (in.Gate.Asked || d.Set != "" || d.Verify != in.Latest.Digest):
		return "the gates are asked about latest, once, before anything is set"
	case d.Verify == "" && d.Outcome == "":
		return "a decision has an outcome"
	case d.Verify == "" && d.Failure == nil && (d.Outcome.Loud() || d.Outcome == decide.Skipped):
		return "a failure has a cause"
	case d.Gated != nil && d.Gated != in.Gate.Failure:
		return "only what the gates said is their failure"
	case d.Set != "" && (parked || in.Policy.Notify):
		return "nothing is set where a person, the slot or the mode says no"
	case d.Set != "" && d.Row != 3 && d.Row != 12:
		return "only rows 3 and 12 set"
	case d.Set != "" && d.Row == 12 && (d.Set != in.Latest.Digest || isRejected || pin.Is(d.Set)):
		return "a refresh sets latest where it is not, and never what is rejected"
	case d.Set != "" && d.Row == 3 && (pin != annotate.None || !annotate.Of(d.Set).Same(in.Record.Recorded) && (d.Set != in.Latest.Digest || isRejected)):
		return "an empty slot is filled with latest or with what was recorded"
	case d.Set != "" && !wellFormed(d.Set):
		return "a tick never writes a tag"
	case d.Set != "" && (!d.Wait || !after.Mark.Is(d.Set) || after.State.Attempted() != d.Set):
		return "mark and intent are in the same patch, and the rollout is waited for (I35)"
	case d.Wait && d.Set == "" && (d.Outcome != decide.Waiting || after.State.Attempted() == "" || in.Workload.Rollout.Settled):
		return "only our own rollout is waited for"
	case after.Mark != annotate.None && rewound(after):
		return "what we write never looks like an undo"
	case d.Set == "" && !after.Mark.Same(in.Record.Mark) && !after.Mark.Same(pin):
		return "the mark is what we put or accepted"
	case after.Recorded != in.Record.Recorded && (!after.Recorded.Same(pin) || d.Row != 4 && d.Row != 6 && d.Row != 8 && !handed(in)):
		return "only what is live is recorded (I4)"
	case d.Row == 8 && (!in.Workload.Rollout.Settled || !pin.Is(in.Latest.Digest)):
		return "unchanged is fresh and settled (I3)"
	case d.Outcome == decide.Unchanged && clean(in) && !reflect.DeepEqual(after, in.Record):
		return "an unchanged tick writes nothing"
	case d.Skip == decide.SkipCount && (in.Workload.Rollout.Settled || in.Lost):
		return "only an unsettled tick counts, and two at once count once"
	case d.Skip == decide.SkipClear && !in.Workload.Rollout.Settled:
		return "the streak ends when the workload is settled"
	case known && pin.Is(in.Latest.Digest) && in.Workload.Rollout.Settled && !parked && in.Record.Mark != annotate.None && d.Outcome != decide.Unchanged && !handed(in):
		return "what is fresh is unchanged"
	case in.Record.Mark == annotate.None && pin != annotate.None && !parked && d.Outcome != decide.Adopted:
		return "the first observation rolls nothing (I5)"
	}
	return ""
}

// handed says whether a person has changed the slot since the mark was written.
func handed(in decide.Input) bool {
	pin, claims := in.Slots[0].Live, in.Slots[0].Claims
	return pin != annotate.None && in.Record.Mark != annotate.None && !pin.Same(in.Record.Mark) && len(claims) == 1 && claims[0].Person()
}

// clean says whether there is nothing about the record that is no longer true where live is latest.
func clean(in decide.Input) bool {
	r, latest := in.Record, annotate.Of(in.Latest.Digest)
	_, isRejected := r.State.Rejection(latest)
	return r.Mark.Same(latest) && r.Recorded.Same(latest) && !isRejected && r.State.Reapplied == 0 && r.State.Contested == 0 &&
		(r.State.Attempt == nil || r.State.Attempt.Failed > 0 && r.State.Attempt.Digest != in.Latest.Digest)
}

// TestEveryConclusion is the same for what is decided after the wait.
func TestEveryConclusion(t *testing.T) {
	t.Parallel()
	conclusions := 0
	all := dimensions()
	down := func(in *decide.Input) { in.Workload.Rollout.Down = !in.Workload.Rollout.Settled }
	reduced := append(append([]dimension(nil), all[:5]...), all[6], all[7], all[len(all)-1], all[len(all)-2],
		dimension{nothing, noRollback, notify, down})
	waits := []decide.Wait{waited(), waited(pullFailed), waited(joint), {Digest: digestB}}
	each(input(), reduced, func(in decide.Input) {
		if rewound(in.Record) {
			return
		}
		for _, wait := range waits {
			if conclusions++; conclusions%sample != 0 {
				continue
			}
			if broken := concludesBadly(in, wait, decide.Conclude(in, wait)); broken != "" {
				t.Fatalf("%s:\n%+v\n%+v\nis concluded as\n%+v", broken, in, wait, decide.Conclude(in, wait))
			}
		}
	})
	t.Logf("%d conclusions, of which every %dth was tried", conclusions, sample)
}

func noRollback(in *decide.Input) { in.Policy.Rollback = false }

func concludesBadly(in decide.Input, wait decide.Wait, d decide.Decision) string {
	after, pin := d.Record, in.Slots[0].Live
	parked := in.Workload.Held || in.Workload.Paused || in.Slots[0].Problem != nil
	restorable := in.Policy.Rollback && !in.Policy.Notify && !parked && pin.Is(wait.Digest) && in.Record.State.Attempted() == wait.Digest
	switch {
	case d.Outcome == "" || d.Outcome.Loud() && d.Failure == nil:
		return "a conclusion has an outcome, and a failure a cause"
	case d.Wait || d.Verify != "":
		return "after the wait nothing is waited for or verified"
	case d.Set != "" && (!restorable || in.Workload.Rollout.Settled || d.Set != in.Record.Recorded.Digest() || d.Set == wait.Digest):
		return "only what was recorded is restored, in place of what failed"
	case d.Set != "" && (d.Outcome != decide.RolledBack || !after.Mark.Is(d.Set)):
		return "a restored digest is marked"
	case after.Mark != annotate.None && rewound(after):
		return "what we write never looks like an undo"
	case after.Recorded != in.Record.Recorded && (!in.Workload.Rollout.Settled || !after.Recorded.Is(wait.Digest) || !pin.Is(wait.Digest)):
		return "nothing is recorded that did not settle (I4)"
	case !after.Mark.Same(in.Record.Mark) && d.Set == "" && !after.Mark.Same(after.Recorded):
		return "the mark is what we put or accepted"
	case d.Outcome == decide.Refreshed && !in.Workload.Rollout.Settled:
		return "refreshed is settled (I3)"
	}
	return ""
}

func wellFormed(digest image.Digest) bool {
	return digest == digestA || digest == digestB
}
