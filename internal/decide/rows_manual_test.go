package decide_test

import (
	"testing"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// yields is the record after a person has left the digests for content.
func yields(manager string, content annotate.Content, left ...annotate.Content) func(*annotate.Record) {
	return func(r *annotate.Record) {
		kept := r.State
		for _, digest := range left {
			kept = kept.Reject(annotate.Rejection{Digest: digest, By: annotate.ByPerson, Why: manager, At: now})
		}
		*r = annotate.Record{Mark: content, Recorded: content, State: annotate.State{Rejected: kept.Rejected, Owners: kept.Owners}}
	}
}

// Row 6: a manual change.
func TestRowsOfHands(t *testing.T) {
	t.Parallel()
	onB := func(in *decide.Input) {
		in.Record = annotate.Record{Mark: b, Recorded: b, State: annotate.State{Left: a}}
	}
	onTag := func(stands image.Digest) func(*decide.Input) {
		return func(in *decide.Input) {
			in.Record = annotate.Record{Mark: annotate.Unpinned, Recorded: annotate.Unpinned, State: annotate.State{Stood: annotate.Of(stands)}}
		}
	}
	saw := func(content annotate.Content) func(*decide.Input) {
		return func(in *decide.Input) { in.Record.State.Stood = content }
	}
	held := []decide.Reason{decide.RefreshHeld}
	run(t, []row{
		{"6 undo of what is latest, I9", input(onB, live(a), person("kubectl")),
			want{row: 6, outcome: decide.Held, events: held, says: "kubectl", record: yields("kubectl", a, b)}},
		{"6 set image, I9", input(onB, live(c), person("kubectl-set")),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl-set", c, b)}},
		{"6 edit to a tag", input(onB, live(annotate.Unpinned), person("kubectl-edit")),
			want{row: 6, outcome: decide.Held, events: held, record: both(yields("kubectl-edit", annotate.Unpinned, b), stood(b))}},
		{"6 a digest set over what the tag stands for, I9", input(onTag(digestB), live(a), person("kubectl-set")),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl-set", a, b)}},
		{"6 a digest set to what the tag stands for", input(onTag(digestB), live(b), person("kubectl-set")),
			want{row: 8, outcome: decide.Unchanged, record: yields("kubectl-set", b)}},
		{"6 a digest is set, and the tag has moved on", input(onTag(digestC), live(a), person("kubectl-set")),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, events: held, record: both(yields("kubectl-set", a, c), put(digestB, a))}},
		{"6 an undo has rewound the counters, I44", input(func(in *decide.Input) {
			in.Record = annotate.Record{Mark: b, Recorded: a}
			streak(5)(in)
		}, live(a), person("kubectl")), want{row: 6, outcome: decide.Held, events: held, rewound: true, skip: decide.SkipClear, record: yields("kubectl", a, b)}},
		{"6 undo in mid-rollout: attempted is left too, I44", input(ours(1), live(a), person("kubectl")),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl", a, b)}},
		{"6 mark and attempted are left", input(record(a, a), attempt(annotate.Attempt{Digest: digestB, Failed: 1}), live(c), person("kubectl-set")),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl-set", c, a, b)}},
		{"6 what they chose is no longer rejected", input(onB, live(a), person("kubectl"), rejected(a, annotate.ByFailure)),
			want{row: 6, outcome: decide.Held, events: held, record: func(r *annotate.Record) {
				r.State = r.State.Unreject(a)
				yields("kubectl", a, b)(r)
			}}},
		{"6 old counters go, I44", input(onB, live(a), person("kubectl"), reapplied(3, time.Hour, true)),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl", a, b)}},
		{"6 latest unknown", input(onB, live(a), person("kubectl"), unknown),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl", a, b)}},
		{"6 unsettled", input(onB, live(a), person("kubectl"), unsettled),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl", a, b)}},
		{"6 one slot of two", input(onB, live(b, a), person("kubectl-set")),
			want{row: 6, outcome: decide.Held, events: held, record: both(yields("kubectl-set", annotate.Unpinned, b), stood(b))}},
		{"6 a person's old claim on the slot that nobody changed", input(onB, live(b, a), func(in *decide.Input) {
			in.Slots[0].Person, in.Slots[1].Deployer = "kubectl-set", "helm"
		}), want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: again(digestB, a, 1)}},
		{"6 beside a deployer that owned the value before", input(onB, live(a), deployer("helm"), person("kubectl-set")),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl-set", a, b)}},

		{"6 the tag has moved on already", input(onB, live(a), person("kubectl"), latest(digestC)),
			want{row: 12, outcome: decide.Refreshed, set: digestC, wait: true, events: held, record: both(yields("kubectl", a, b), put(digestC, a))}},
		{"6 the tag has moved on, not settled", input(onB, live(a), person("kubectl"), latest(digestC), unsettled),
			want{row: 10, outcome: decide.Waiting, skip: decide.SkipCount, events: held, record: yields("kubectl", a, b)}},
		{"6 the tag has moved on: gates first", input(onB, live(a), person("kubectl"), latest(digestC), unasked),
			want{asks: digestC}},
		{"6 they chose what is latest", input(live(b), person("kubectl-set")),
			want{row: 8, outcome: decide.Unchanged, record: yields("kubectl-set", b)}},

		{"6 they chose what is latest, which is not up yet", input(live(b), person("kubectl-set"), unsettled),
			want{row: 10, outcome: decide.Waiting, skip: decide.SkipCount, record: yields("kubectl-set", b)}},
		{"6 they chose what was latest, which is unknown now", input(saw(b), live(b), person("kubectl-set"), unknown),
			want{row: 7, outcome: decide.Skipped, cause: failure.Proxy, record: yields("kubectl-set", b)}},
		{"6 latest had been seen, and was not there yet, Q5", input(saw(b), live(c), person("kubectl-set")),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl-set", c, a, b)}},
		{"6 the same, latest unknown, Q5", input(saw(b), live(c), person("kubectl-set"), unknown),
			want{row: 6, outcome: decide.Held, events: held, record: yields("kubectl-set", c, a, b)}},
		{"6 latest had been seen, and has moved on, Q5", input(saw(b), live(c), person("kubectl-set"), latest(digestD)),
			want{row: 12, outcome: decide.Refreshed, set: digestD, wait: true, events: held, record: both(yields("kubectl-set", c, a, b), put(digestD, c))}},
		{"6 a manual change counts once, I44", input(live(a), person("kubectl"), rejected(b, annotate.ByPerson)), want{row: 9, outcome: decide.Held, says: "taken out by a person"}},
		{"6 an old claim is no new change, I9", input(person("kubectl")),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"6 our own claim is no manual change", input(live(c), taken),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
	})
}

// I8: what a deployer reverted is put back, and counted (I38).
func TestDeployersAreReapplied_I8(t *testing.T) {
	t.Parallel()
	onB := func(in *decide.Input) {
		in.Record = annotate.Record{Mark: b, Recorded: b, State: annotate.State{Left: a}}
	}
	for _, manager := range []string{"helm", "kubectl", "kubectl-client-side-apply", "argocd-controller", "k9s"} {
		t.Run(manager, func(t *testing.T) {
			t.Parallel()
			in := input(onB, live(a), deployer(manager))
			want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: again(digestB, a, 1)}.decides(t, in)
			in = input(onB, live(a), deployer(manager), reapplied(3, 0, false))
			want{
				row: 12, outcome: decide.Failed, cause: failure.Contested, says: manager,
				events: []decide.Reason{decide.RefreshContested}, record: func(r *annotate.Record) { r.State.Contested = true },
			}.decides(t, in)
		})
	}
}
