package decide_test

import (
	"testing"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

type row struct {
	name string
	in   decide.Input
	want want
}

func run(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.want.decides(t, r.in)
		})
	}
}

// put is the record that a refresh writes: the digest attempted, and left what it replaced.
func put(digest image.Digest, left annotate.Content) func(*annotate.Record) {
	return func(r *annotate.Record) {
		r.Mark = annotate.Of(digest)
		r.State.Attempt = &annotate.Attempt{Digest: digest}
		r.State.Left = left
	}
}

// again is the record that a re-application writes.
func again(digest image.Digest, left annotate.Content, reapplied int) func(*annotate.Record) {
	return func(r *annotate.Record) {
		put(digest, left)(r)
		r.State.Attempt.Again = true
		r.State.Reapplied, r.State.ReappliedAt = reapplied, &now
	}
}

func both(changes ...func(*annotate.Record)) func(*annotate.Record) {
	return func(r *annotate.Record) {
		for _, change := range changes {
			change(r)
		}
	}
}

func marked(content annotate.Content) func(*annotate.Record) {
	return func(r *annotate.Record) { r.Mark, r.Recorded = content, content }
}

// keeping is the record in which the attempt remembers what the slots held before another one.
func keeping(put func(*annotate.Record), held map[string]annotate.Content) func(*annotate.Record) {
	return both(put, func(r *annotate.Record) { r.State.Attempt.Held = held })
}

// waitsForTurn is how it is where MAX_ROLLOUTS has left the workload no place so far.
func waitsForTurn(in *decide.Input) { in.Record.State.TurnSince = &earlier }

func problem(cause failure.Cause) decide.Slot {
	return decide.Slot{Problem: &failure.Error{Cause: cause, Message: "the " + string(cause)}}
}

// Rows 1 to 4: what comes before any thought of the tag.
func TestRowsOfTheSlot(t *testing.T) {
	t.Parallel()
	broken := func(slots ...decide.Slot) func(*decide.Input) { return func(in *decide.Input) { in.Slots = slots } }
	newer := func(in *decide.Input) { in.Facts.Newer = problem(failure.SlotInvalid).Problem }
	noRecord := func(in *decide.Input) { in.Record = annotate.Record{} }
	claims := func(in *decide.Input) { // what the shell script left behind: a record, and no mark
		in.Record = annotate.Record{Recorded: c, State: annotate.State{Reapplied: 2, Rejected: []annotate.Rejection{{Digest: b, By: annotate.ByPerson}}}}
	}
	run(t, []row{
		{"1 workload missing, I17", input(broken(problem(failure.WorkloadMissing))), want{row: 1, outcome: decide.Failed, cause: failure.WorkloadMissing}},
		{"1 valueFrom, I40", input(broken(problem(failure.SlotInvalid))), want{row: 1, outcome: decide.Failed, cause: failure.SlotInvalid}},
		{"1 another tag, I41", input(broken(problem(failure.SlotMismatch))), want{row: 1, outcome: decide.Failed, cause: failure.SlotMismatch}},
		{"1 the worse of two", input(broken(decide.Slot{Live: a}, problem(failure.API), problem(failure.SlotInvalid))),
			want{row: 1, outcome: decide.Failed, cause: failure.SlotInvalid}},
		{"1 a newer release's state, held or not", input(newer, held), want{row: 1, outcome: decide.Failed, cause: failure.SlotInvalid}},
		{"1 before a pause, streak kept", input(broken(problem(failure.API)), paused, streak(2)), want{row: 1, outcome: decide.Failed, cause: failure.API}},

		{"2 held", input(held), want{row: 2, outcome: decide.Held, says: "refresh-hold"}},
		{"2 held, with another tag", input(held, broken(problem(failure.SlotMismatch))), want{row: 2, outcome: decide.Held, says: "refresh-hold"}},
		{"2 paused", input(paused), want{row: 2, outcome: decide.Held, says: "paused"}},
		{"2 held, empty", input(held, live(annotate.None)), want{row: 2, outcome: decide.Held}},
		{"2 held, first observation", input(held, noRecord), want{row: 2, outcome: decide.Held}},
		{"2 held, and a manual change waits for its turn", input(held, live(c), person("kubectl-set")), want{row: 2, outcome: decide.Held}},
		{"2 held, streak over", input(held, streak(2)), want{row: 2, outcome: decide.Held, skip: decide.SkipClear}},
		{"2 paused in mid-rollout", input(paused, ours(0)), want{row: 2, outcome: decide.Held}},

		{"3 filled with latest, I7", input(live(annotate.None)), want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"3 one of two is empty", input(live(a, annotate.None)), want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"3 the first of two is empty", input(live(annotate.None, a)), want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"3 unsettled", input(live(annotate.None), unsettled), want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"3 first observation", input(live(annotate.None), noRecord),
			want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, annotate.None)}},
		{"3 a person emptied it", input(live(annotate.None), person("kubectl-edit")),
			want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"3 no minimum age", input(live(annotate.None), func(in *decide.Input) { in.Policy.MinAge = time.Hour }),
			want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"3 gates first", input(live(annotate.None), unasked), want{asks: digestB}},
		{"3 latest = recorded", input(live(annotate.None), latest(digestA)),
			want{row: 3, outcome: decide.Reapplied, set: digestA, wait: true, record: again(digestA, annotate.None, 1)}},
		{"3 latest unknown", input(live(annotate.None), unknown),
			want{row: 3, outcome: decide.Reapplied, set: digestA, wait: true, record: again(digestA, annotate.None, 1)}},
		{"3 latest rejected", input(live(annotate.None), rejected(b, annotate.ByFailure)),
			want{row: 3, outcome: decide.Reapplied, set: digestA, wait: true, record: again(digestA, annotate.None, 1)}},
		{"3 gate says no", input(live(annotate.None), gateSaysNo),
			want{row: 3, outcome: decide.Reapplied, set: digestA, wait: true, gated: true, record: again(digestA, annotate.None, 1)}},
		{"3 gate says no, nothing recorded", input(live(annotate.None), gateSaysNo, noRecord),
			want{row: 3, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true}},
		{"3 nothing known", input(live(annotate.None), unknown, noRecord), want{row: 3, outcome: decide.Skipped, cause: failure.Proxy}},
		{"3 latest rejected, nothing recorded", input(live(annotate.None), record(b, annotate.Unpinned), attempt(annotate.Attempt{Digest: digestB, Failed: 3}), rejected(b, annotate.ByFailure)),
			want{row: 3, outcome: decide.Rejected, cause: failure.RolloutFailed}},
		{"3 notify", input(live(annotate.None), notify, unasked), want{row: 3, outcome: decide.Pending}},
		{"3 contested, filled all the same", input(live(annotate.None), latest(digestA), reapplied(3, 0, false), deployer("helm")),
			want{row: 3, outcome: decide.Failed, cause: failure.Contested, set: digestA, wait: true, says: "helm", record: both(again(digestA, annotate.None, 3), func(r *annotate.Record) { r.State.Contested = true })}},

		{"3 left empty", input(live(annotate.None), leftEmpty(0)), want{row: 3, outcome: decide.Unchanged, says: "whenEmpty"}},
		{"3 left empty, nobody is asked", input(live(annotate.None), leftEmpty(0), unasked), want{row: 3, outcome: decide.Unchanged}},
		{"3 left empty, latest unknown", input(live(annotate.None), leftEmpty(0), unknown), want{row: 3, outcome: decide.Unchanged}},
		{"3 left empty, first observation", input(live(annotate.None), leftEmpty(0), noRecord), want{row: 3, outcome: decide.Unchanged}},
		{"3 left empty beside one to be filled", input(live(annotate.None, annotate.None), leftEmpty(0)), want{row: 3, outcome: decide.Refreshed,
			sets: []image.Digest{"", digestB}, waitsFor: digestB, record: keeping(put(digestB, a), map[string]annotate.Content{"1": annotate.None})}},
		{"12 left empty beside one that is outdated", input(live(annotate.None, a), leftEmpty(0)), want{row: 12, outcome: decide.Refreshed,
			sets: []image.Digest{"", digestB}, waitsFor: digestB, record: keeping(put(digestB, a), map[string]annotate.Content{"1": a})}},
		{"8 left empty by a person beside one that is fresh", input(live(annotate.None, a), leftEmpty(0), person("kubectl-edit"), latest(digestA)),
			want{row: 8, outcome: decide.Unchanged}},

		{"4 live is adopted, I5 I6", input(noRecord), want{row: 4, outcome: decide.Adopted, record: marked(a)}},
		{"4 a tag is adopted, with what it stands for", input(noRecord, live(annotate.Unpinned)),
			want{row: 4, outcome: decide.Adopted, record: both(marked(annotate.Unpinned), stood(b))}},
		{"4 a tag is adopted, and is unknown", input(noRecord, live(annotate.Unpinned), unknown),
			want{row: 4, outcome: decide.Adopted, record: marked(annotate.Unpinned)}},
		{"4 two slots that differ are unpinned", input(noRecord, live(a, b)),
			want{row: 4, outcome: decide.Adopted, record: both(marked(annotate.Unpinned), stood(b))}},
		{"4 what the script claimed means nothing, I36", input(claims), want{row: 4, outcome: decide.Adopted,
			record: func(r *annotate.Record) { *r = annotate.Record{Mark: a, Recorded: a} }}},
		{"4 set env by the script is no manual change, I36", input(claims, person("kubectl-set")), want{row: 4, outcome: decide.Adopted,
			record: func(r *annotate.Record) { *r = annotate.Record{Mark: a, Recorded: a} }}},
		{"4 unsettled, tag unknown", input(noRecord, unsettled, unknown), want{row: 4, outcome: decide.Adopted, record: marked(a)}},
	})
}
