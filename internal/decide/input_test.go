package decide_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// The digests of the tables: A is what runs, B is latest, C and D are others.
var (
	digestA    = image.Digest("sha256:" + strings.Repeat("a", 64))
	digestB    = image.Digest("sha256:" + strings.Repeat("b", 64))
	digestC    = image.Digest("sha256:" + strings.Repeat("c", 64))
	digestD    = image.Digest("sha256:" + strings.Repeat("d", 64))
	a, b, c, d = annotate.Of(digestA), annotate.Of(digestB), annotate.Of(digestC), annotate.Of(digestD)
)

var (
	earlier = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	now     = earlier.Add(time.Minute)
)

// input is one valid input, which the rows of the tables change in one respect each: A is live, marked and
// recorded, everything is settled, and the tag has moved to B, which may be rolled out. The tick has read the record as
// it is, unless a change says what it read.
func input(changes ...func(*decide.Input)) decide.Input {
	in := decide.Input{
		Policy:    decide.Policy{RolloutFailures: 3, Unsettled: 8, Reapplications: 3, Rollback: true},
		Now:       now,
		Latest:    decide.Latest{Digest: digestB},
		Answers:   mayRollOut(digestB, nil),
		Unsettled: decide.Count{N: 1, Of: 8, ByUs: true},
		Facts:     decide.Facts{Rollout: decide.Rollout{Settled: true, Fresh: 2, Available: 2, Desired: 2}, Targets: []string{"api", "web"}},
		Slots:     slotsOf(a),
		Record:    annotate.Record{Mark: a, Recorded: a},
	}
	for _, change := range changes {
		change(&in)
	}
	if reflect.DeepEqual(in.Began, annotate.Record{}) {
		in.Began = in.Record
	}
	return in
}

// mayRollOut are the answers in which the gates were asked about a digest.
func mayRollOut(digest image.Digest, no *failure.Error) decide.Answers {
	return decide.Answers{{Kind: decide.MayRollOut, Digest: digest}: {Failure: no}}
}

// slotsOf are slots with these contents, named by their place.
func slotsOf(contents ...annotate.Content) []decide.Slot {
	slots := make([]decide.Slot, 0, len(contents))
	for at, content := range contents {
		slots = append(slots, decide.Slot{Key: fmt.Sprint(at), Live: content})
	}
	return slots
}

// heldBy is what slots hold, as an attempt remembers it.
func heldBy(slots []decide.Slot) map[string]annotate.Content {
	held := map[string]annotate.Content{}
	for _, slot := range slots {
		held[slot.Key] = slot.Live
	}
	return held
}

// relabelled says that somebody else has written the mark.
func relabelled(by decide.Writer) func(*decide.Input) {
	return func(in *decide.Input) { in.Writers.Mark, in.Writers.RecordIsOurs = by, in.Record.Mark != annotate.None }
}

func live(contents ...annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Slots = slotsOf(contents...) }
}

// leftEmpty says that these slots are empty, and to be left so.
func leftEmpty(places ...int) func(*decide.Input) {
	return func(in *decide.Input) {
		for _, at := range places {
			in.Slots[at].Left = true
		}
	}
}

func latest(digest image.Digest) func(*decide.Input) {
	return func(in *decide.Input) { in.Latest, in.Answers = decide.Latest{Digest: digest}, mayRollOut(digest, nil) }
}

func unknown(in *decide.Input) {
	in.Latest = decide.Latest{Failure: &failure.Error{Cause: failure.Proxy, Message: "the proxy refused ghcr.io"}}
	in.Answers = nil
}

func setRollout(rollout decide.Rollout) func(*decide.Input) {
	return func(in *decide.Input) { in.Facts.Rollout = rollout }
}

func unsettled(in *decide.Input) {
	setRollout(decide.Rollout{Fresh: 1, Available: 1})(in)
}

func awaitsDelete(in *decide.Input) {
	setRollout(decide.Rollout{AwaitsDelete: true, Available: 2})(in)
}

// noReplica is a workload that is settled because nothing runs.
func noReplica(in *decide.Input) {
	setRollout(decide.Rollout{Settled: true, NoReplica: true})(in)
}

// streak is so many ticks in a row, before this one, in which the workload was not settled.
func streak(n int) func(*decide.Input) {
	return func(in *decide.Input) { in.Unsettled = decide.Count{N: n + 1, Of: in.Policy.Unsettled, ByUs: true} }
}

// lostStreak is as many, of which another tick has counted the last since this one began.
func lostStreak(n int) func(*decide.Input) {
	return func(in *decide.Input) { in.Unsettled = decide.Count{N: n, Of: in.Policy.Unsettled} }
}

func unasked(in *decide.Input) { in.Answers = nil }

func gateSaysNo(in *decide.Input) {
	in.Answers = mayRollOut(in.Latest.Digest, &failure.Error{Cause: failure.PlatformMissing, Message: "linux/arm64"})
}

func notify(in *decide.Input) { in.Policy.Notify = true }

func held(in *decide.Input)   { in.Facts.Held = true }
func paused(in *decide.Input) { in.Facts.Paused = true }

// read says what the tick read first, where that is another record than what is there now: a change of the latter.
func read(change func(*annotate.Record)) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Began = in.Record
		change(&in.Began)
	}
}

func record(mark, recorded annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Mark, in.Record.Recorded = mark, recorded }
}

func attempt(attempt annotate.Attempt) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.State.Attempt = &attempt }
}

// failedBefore is what the tick read, where another one has counted a failed attempt since.
func failedBefore(n int) func(*annotate.Record) {
	return func(r *annotate.Record) {
		attempt := *r.State.Attempt
		attempt.Failed = n
		r.State.Attempt = &attempt
	}
}

// stood is what the tag in an unpinned slot stands for, remembered.
func stood(content annotate.Content) func(*annotate.Record) {
	return func(r *annotate.Record) { r.State.Stood = content }
}

// ours is how it is between a refresh to B and its record: B is live and marked, A recorded and held before.
func ours(failed int) func(*decide.Input) {
	return func(in *decide.Input) {
		live(b)(in)
		unsettled(in)
		in.Record = annotate.Record{Mark: b, Recorded: a, State: annotate.State{
			Attempt: &annotate.Attempt{Digest: digestB, Failed: failed, Served: 2, Wanted: 2, Fresh: 1, Held: map[string]annotate.Content{"0": a}}, Left: a,
		}}
	}
}

func rejected(content annotate.Content, by annotate.Rejecter) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Record.State = in.Record.State.Reject(annotate.Rejection{Digest: content, By: by, Why: "because", At: earlier})
	}
}

// reapplied says how often the digest was put back, how long ago that was last, and whether it is contested.
func reapplied(count int, ago time.Duration, contested bool) func(*decide.Input) {
	return func(in *decide.Input) {
		at := now.Add(-ago)
		in.Record.State.Reapplied, in.Record.State.ReappliedAt, in.Record.State.Contested = count, &at, contested
	}
}

// person says that a person claims every slot, by this field manager.
func person(manager string) func(*decide.Input) {
	return func(in *decide.Input) {
		for i := range in.Slots {
			in.Slots[i].Person = manager
		}
	}
}

// deployer says the same of a deployer.
func deployer(manager string) func(*decide.Input) {
	return func(in *decide.Input) {
		for i := range in.Slots {
			in.Slots[i].Deployer = manager
		}
	}
}

// taken says that our patch still owns every slot.
func taken(in *decide.Input) {
	for i := range in.Slots {
		in.Slots[i].Ours = true
	}
}

// want is what a decision must be. The zero value of a field is expected too: a row says all that happens.
type want struct {
	row      int
	outcome  decide.Outcome
	cause    failure.Cause
	set      image.Digest   // into every slot
	sets     []image.Digest // slot by slot
	asks     image.Digest   // the gates must be asked about this first: there is no decision yet
	waitsFor image.Digest   // where the slots are set one by one
	wait     bool           // for what was set or, where nothing is, for what was attempted
	gated    bool
	rewound  bool
	skip     decide.SkipChange
	events   []decide.Reason
	says     string                 // part of the message or of the failure's message
	record   func(*annotate.Record) // what changes in the input's record; nil: nothing
}

// decides holds a row of a table against Decide, and against the Questions that come before.
func (w want) decides(t *testing.T, in decide.Input) {
	t.Helper()
	questions := decide.Questions(in)
	if w.asks != "" {
		for i := range questions {
			questions[i].Live = "" // TestQuestions has it
		}
		assert.Equal(t, []decide.Question{{Kind: decide.MayRollOut, Digest: w.asks}}, questions, "questions")
		return
	}
	assert.Empty(t, questions, "questions")
	w.check(t, in, decide.Decide(in))
}

// seen is latest as a decision notes it: where it is not what the slots hold, is not put there now, and is not thrown out.
func seen(in decide.Input, got decide.Decision, before annotate.Content) annotate.Content {
	_, rejected := got.Record.State.Rejection(annotate.Of(in.Latest.Digest))
	switch known := in.Latest.Digest != ""; {
	case got.Rolls(), known && (rejected || decide.Together(in.Slots).Is(in.Latest.Digest)):
		return annotate.None
	case known && got.Row > 3 && got.Record.Recorded.Is(in.Latest.Digest):
		return annotate.None
	case known && got.Row > 3:
		return annotate.Of(in.Latest.Digest)
	}
	return before
}

func (w want) check(t *testing.T, in decide.Input, got decide.Decision) {
	t.Helper()
	expected := in.Record
	if w.record != nil {
		w.record(&expected)
	}
	var events []decide.Reason
	for _, event := range got.Events {
		events = append(events, event.Reason)
		assert.NotEmpty(t, event.Note)
	}
	cause, text := failure.None, got.Message
	if got.Failure != nil {
		cause, text = got.Failure.Cause, text+got.Failure.Message
	}
	sets, wait := w.sets, w.waitsFor
	if w.set != "" {
		sets = slices.Repeat([]image.Digest{w.set}, len(in.Slots))
	}
	if w.wait {
		if wait = w.set; wait == "" {
			wait = in.Record.State.Attempted()
		}
	}
	assert.Equal(t, w.row, got.Row, "row")
	assert.Equal(t, w.outcome, got.Outcome, "outcome")
	assert.Equal(t, w.cause, cause, "cause")
	assert.Equal(t, sets, got.Set, "set")
	assert.Equal(t, wait, got.Wait, "wait")
	assert.Equal(t, w.gated, got.Gated != nil, "gated")
	assert.Equal(t, w.rewound, got.Rewound, "rewound")
	assert.Equal(t, w.skip, got.Skip, "skip")
	assert.Equal(t, w.events, events, "events")
	assert.Contains(t, text, w.says, "message")
	if attempt := got.Record.State.Attempt; attempt != nil && expected.State.Attempt != nil {
		same := *expected.State.Attempt
		same.Served = attempt.Served // TestServed has it
		same.Wanted = attempt.Wanted
		if w.set != "" && same.Held == nil {
			same.Held = heldBy(in.Slots)
		}
		expected.State.Attempt = &same
	}
	if got.Gated != nil && got.Gated.Cause == failure.PlatformMissing { // a no for what the digest is, which is noted
		expected.State.Refused = &annotate.Refusal{Digest: in.Latest.Digest, Why: "linux/arm64"}
	}
	expected.State.Stood = seen(in, got, expected.State.Stood)
	if got.Record.Mark != in.Record.Mark || got.Rolls() { // a mark is for the slots that there are when it is written
		var keys []string
		for _, slot := range in.Slots {
			keys = append(keys, slot.Key)
		}
		expected.Slots = annotate.SlotsName(keys)
	}
	assert.Equal(t, expected, got.Record, "record")
}
