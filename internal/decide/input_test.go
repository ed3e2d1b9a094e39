package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// The digests of the tables: A is what runs, B is latest, C is a third one.
var (
	digestA = image.Digest("sha256:" + strings.Repeat("a", 64))
	digestB = image.Digest("sha256:" + strings.Repeat("b", 64))
	digestC = image.Digest("sha256:" + strings.Repeat("c", 64))
	a, b, c = annotate.Of(digestA), annotate.Of(digestB), annotate.Of(digestC)
)

var (
	began = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	now   = began.Add(time.Minute)
)

// input is one valid input, which the rows of the tables change in one respect each: A is live, marked and
// recorded, everything is settled, and the tag has moved to B, which may be rolled out.
func input(changes ...func(*decide.Input)) decide.Input {
	in := decide.Input{
		Policy:   decide.Policy{ResolveFailures: 3, RolloutFailures: 3, Unsettled: 8, Reapplications: 3, Rollback: true},
		Tick:     decide.Tick{ID: "tick", Started: began, Now: now},
		Latest:   decide.Latest{Digest: digestB},
		Gate:     decide.Gate{Asked: true},
		Workload: decide.Workload{Rollout: decide.Rollout{Settled: true, Fresh: 2, Available: 2, Desired: 2}, Targets: []string{"api", "web"}},
		Slots:    []decide.Slot{{Live: a}},
		Record:   annotate.Record{Mark: a, Recorded: a},
	}
	for _, change := range changes {
		change(&in)
	}
	return in
}

func live(pins ...annotate.Pin) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Slots = nil
		for _, pin := range pins {
			in.Slots = append(in.Slots, decide.Slot{Live: pin})
		}
	}
}

func latest(digest image.Digest) func(*decide.Input) {
	return func(in *decide.Input) { in.Latest = decide.Latest{Digest: digest} }
}

func unknown(in *decide.Input) {
	in.Latest = decide.Latest{Failure: &fault.Error{Cause: fault.Proxy, Message: "the proxy refused ghcr.io"}}
	in.Gate = decide.Gate{}
}

func failures(n int) func(*decide.Input) { return func(in *decide.Input) { in.Failures = n } }

func unsettled(in *decide.Input) { in.Workload.Rollout = decide.Rollout{Fresh: 1, Available: 1} }

func awaitsDelete(in *decide.Input) {
	in.Workload.Rollout = decide.Rollout{AwaitsDelete: true, Available: 2, StopsFirst: true}
}

func streak(n int) func(*decide.Input) { return func(in *decide.Input) { in.Workload.SkipStreak = n } }

func unasked(in *decide.Input) { in.Gate = decide.Gate{} }

func gateSaysNo(in *decide.Input) {
	in.Gate = decide.Gate{Asked: true, Failure: &fault.Error{Cause: fault.PlatformMissing, Message: "linux/arm64"}}
}

func notify(in *decide.Input) { in.Policy.Notify = true }

func lost(in *decide.Input) { in.Lost = true }

func record(mark, recorded annotate.Pin) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Mark, in.Record.Recorded = mark, recorded }
}

func attempt(attempt annotate.Attempt) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.State.Attempt = &attempt }
}

// stood is what the tag in an unpinned slot stands for, remembered.
func stood(pin annotate.Pin) func(*annotate.Record) {
	return func(r *annotate.Record) { r.State.Stood = pin }
}

// ours is the situation between a refresh to B and its record: B is live and marked, A recorded.
func ours(failed int) func(*decide.Input) {
	return func(in *decide.Input) {
		live(b)(in)
		unsettled(in)
		in.Record = annotate.Record{Mark: b, Recorded: a, State: annotate.State{
			Attempt: &annotate.Attempt{Digest: digestB, Failed: failed, Served: 2}, Left: a,
		}}
	}
}

func rejected(pin annotate.Pin, by annotate.Rejecter) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Record.State = in.Record.State.Reject(annotate.Rejection{Digest: pin, By: by, Why: "because", At: began})
	}
}

func reapplied(count, contested int) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.State.Reapplied, in.Record.State.Contested = count, contested }
}

// by gives every slot a claim of the manager; Apply where its name says so.
func by(managers ...string) func(*decide.Input) {
	return func(in *decide.Input) {
		for i := range in.Slots {
			in.Slots[i].Claims = nil
			for _, manager := range managers {
				name, apply := strings.CutSuffix(manager, "/Apply")
				in.Slots[i].Claims = append(in.Slots[i].Claims, decide.Claim{Manager: name, Apply: apply, Time: began})
			}
		}
	}
}

// want is what a decision must be. The zero value of a field is expected too: a row says all that happens.
type want struct {
	row     int
	outcome decide.Outcome
	cause   fault.Cause
	set     image.Digest
	verify  image.Digest
	wait    bool
	gated   bool
	rewound bool
	skip    decide.SkipChange
	events  []decide.Reason
	says    string                 // part of the message or of the failure's message
	record  func(*annotate.Record) // what changes in the input's record; nil: nothing
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
	cause, text := fault.None, got.Message
	if got.Failure != nil {
		cause, text = got.Failure.Cause, text+got.Failure.Message
	}
	assert.Equal(t, w.row, got.Row, "row")
	assert.Equal(t, w.outcome, got.Outcome, "outcome")
	assert.Equal(t, w.cause, cause, "cause")
	assert.Equal(t, w.set, got.Set, "set")
	assert.Equal(t, w.verify, got.Verify, "verify")
	assert.Equal(t, w.wait, got.Wait, "wait")
	assert.Equal(t, w.gated, got.Gated != nil, "gated")
	assert.Equal(t, w.rewound, got.Rewound, "rewound")
	assert.Equal(t, w.skip, got.Skip, "skip")
	assert.Equal(t, w.events, events, "events")
	assert.Contains(t, text, w.says, "message")
	if attempt := got.Record.State.Attempt; attempt != nil && expected.State.Attempt != nil { // TestServed has it
		same := *expected.State.Attempt
		same.Served = attempt.Served
		expected.State.Attempt = &same
	}
	assert.Equal(t, expected, got.Record, "record")
}

// counted is who counts in these tests.
func counted() *annotate.Counted { return &annotate.Counted{By: "tick", At: now} }
