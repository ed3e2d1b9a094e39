package decide_test

import (
	"fmt"
	"reflect"
	"strings"
	"time"

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

const (
	none, tag           = annotate.None, annotate.Unpinned // what a slot holds, beside a digest
	byFailure, byPerson = annotate.ByFailure, annotate.ByPerson
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
	return func(in *decide.Input) { in.Writers.Mark, in.Writers.RecordIsOurs = by, in.Record.Mark != none }
}

func live(contents ...annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Slots = slotsOf(contents...) }
}

func slots(slots ...decide.Slot) func(*decide.Input) {
	return func(in *decide.Input) { in.Slots = slots }
}

func problem(cause failure.Cause) decide.Slot {
	return decide.Slot{Problem: &failure.Error{Cause: cause, Message: "the " + string(cause)}}
}

// all makes several changes of an input one.
func all(changes ...func(*decide.Input)) func(*decide.Input) {
	return func(in *decide.Input) {
		for _, change := range changes {
			change(in)
		}
	}
}

// leftEmpty says that these slots are empty, and to be left so.
func leftEmpty(places ...int) func(*decide.Input) {
	return func(in *decide.Input) {
		for _, at := range places {
			in.Slots[at].Left = true
		}
	}
}

func latest(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Latest, in.Answers = decide.Latest{Digest: content.Digest()}, mayRollOut(content.Digest(), nil)
	}
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
	no := &failure.Error{Cause: failure.PlatformMissing, Message: "linux/arm64"}
	answered(decide.Question{Kind: decide.MayRollOut, Digest: in.Latest.Digest}, decide.Answer{Failure: no})(in)
}

// answered adds an answer to those that there are.
func answered(question decide.Question, answer decide.Answer) func(*decide.Input) {
	return func(in *decide.Input) { in.Answers = in.Answers.With(question, answer) }
}

// isServed says whether the registry still has a digest.
func isServed(content annotate.Content, yes bool) func(*decide.Input) {
	return answered(decide.Question{Kind: decide.StillServed, Digest: content.Digest()}, decide.Answer{Yes: yes})
}

func young(in *decide.Input)  { in.Policy.MinAge = time.Hour }
func notify(in *decide.Input) { in.Policy.Notify = true }

func held(in *decide.Input)   { in.Facts.Held = true }
func paused(in *decide.Input) { in.Facts.Paused = true }

func record(mark, recorded annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Mark, in.Record.Recorded = mark, recorded }
}

func noRecord(in *decide.Input) { in.Record = annotate.Record{} }

func mark(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Mark = content }
}

// saw says what was latest in the tick before.
func saw(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.State.Stood = content }
}

// inVain says that the digest was put there to unblock the workload.
func inVain(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.State.UnblockFailed = content.Digest() }
}

// waitsForTurn is how it is where MAX_ROLLOUTS has left the workload no place so far.
func waitsForTurn(in *decide.Input) { in.Record.State.TurnSince = &earlier }

func attempted(content annotate.Content, failed int) func(*decide.Input) {
	return attempt(annotate.Attempt{Digest: content.Digest(), Failed: failed})
}

func attempt(attempt annotate.Attempt) func(*decide.Input) {
	return func(in *decide.Input) {
		own := attempt
		in.Record.State.Attempt = &own
	}
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

var failedB, thrownOutB, helm = rejected(b, byFailure), rejected(b, byPerson), deployer("helm")

// reapplied says how often the digest was put back, how long ago that was last, and whether it is contested.
func reapplied(count int, ago time.Duration, contested bool) func(*decide.Input) {
	return func(in *decide.Input) {
		at := now.Add(-ago)
		in.Record.State.Reapplied, in.Record.State.ReappliedAt, in.Record.State.Contested = count, &at, contested
	}
}

// person says that a person claims every slot.
func person(in *decide.Input) {
	for i := range in.Slots {
		in.Slots[i].Person = "kubectl"
	}
}

// deployer says that a deployer does, by this field manager.
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
