package decide_test

import (
	"testing"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Rows 5 and 10: rollouts that are not over, ours and others'.
func TestRowsOfTheRollout(t *testing.T) {
	t.Parallel()
	onDelete := func(in *decide.Input) { ours(0)(in); awaitsDelete(in) }
	minAge := func(in *decide.Input) { in.Policy.MinAge = time.Hour }
	before := map[string]annotate.Content{"0": a} // what B replaced
	waits := want{row: 5, outcome: decide.Waiting, wait: true, says: "waiting for the rollout"}
	counts := func(streak string) want {
		return want{row: 10, outcome: decide.Waiting, skip: decide.SkipCount, says: streak}
	}
	frozen := want{row: 10, outcome: decide.Failed, cause: failure.NotSettled, skip: decide.SkipCount, says: "freezes api, web",
		events: []decide.Reason{decide.RefreshFrozen}}
	stillFrozen := frozen
	stillFrozen.events = nil
	notUp := want{row: 10, outcome: decide.Failed, cause: failure.NotSettled, skip: decide.SkipCount, says: "what is there now is not settled"}
	unblocks := func(r *annotate.Record) { r.State.Attempt.Unblock = true }
	run(t, []row{
		{"5 continued, not restarted, I3 I10 I19", input(ours(1)), waits},
		{"5 latest unknown", input(ours(0), unknown), waits},
		{"5 latest is another, rejected", input(ours(0), latest(digestC), rejected(c, annotate.ByFailure)), waits},
		{"5 left in place after its rejection, I14", input(ours(3), rejected(b, annotate.ByFailure)),
			want{row: 5, outcome: decide.Rejected, cause: failure.RolloutFailed, says: "because"}},
		{"5 OnDelete", input(onDelete), want{row: 5, outcome: decide.Waiting, says: "OnDelete"}},
		{"5 latest is another: at once, I45", input(ours(1), latest(digestC)),
			want{row: 12, outcome: decide.Refreshed, set: digestC, wait: true, record: keeping(put(digestC, b), before)}},
		{"5 latest is another: gates first", input(ours(1), latest(digestC), unasked), want{asks: digestC}},
		{"5 latest is another, which may not be used", input(ours(1), latest(digestC), gateSaysNo),
			want{row: 11, outcome: decide.Waiting, wait: true, gated: true}},
		{"5 latest is another, too young: its age counts", input(ours(1), latest(digestC), minAge),
			want{row: 11, outcome: decide.Waiting, wait: true, record: func(r *annotate.Record) {
				r.State.Seen = &annotate.Seen{Digest: digestC, Since: now, Deferred: now}
			}}},
		{"5 latest is another, notify", input(ours(1), latest(digestC), notify),
			want{row: 11, outcome: decide.Waiting, wait: true, record: state(func(s *annotate.State) { s.Passed = digestC })}},
		{"5 OnDelete, latest is another", input(onDelete, latest(digestC)),
			want{row: 12, outcome: decide.Refreshed, set: digestC, wait: true, record: keeping(put(digestC, b), before)}},
		{"5 restored, and brought back by a person: row 6, I44", input(ours(1), func(in *decide.Input) { in.Record.Mark = a }, person("kubectl")),
			want{row: 6, outcome: decide.Held, says: "failed here before", record: yields("kubectl", b)}},
		{"5 restored, and brought back by a deployer: row 10", input(ours(1), func(in *decide.Input) { in.Record.Mark = a }, deployer("helm")), notUp},
		{"5 no replica runs it: not over, and nothing to wait for, I56", input(ours(1), noReplica), want{row: 5, outcome: decide.Waiting, says: "no replica runs"}},
		{"5 no replica runs it: uncounted, and the streak is over", input(ours(1), noReplica, streak(3)),
			want{row: 5, outcome: decide.Waiting, skip: decide.SkipClear, says: "no replica runs"}},
		{"5 no replica runs it, rejected", input(ours(3), noReplica, rejected(b, annotate.ByFailure)), want{row: 5, outcome: decide.Rejected, cause: failure.RolloutFailed}},
		{"5 no replica runs it, and latest is another: at once", input(ours(1), noReplica, latest(digestC)),
			want{row: 12, outcome: decide.Refreshed, set: digestC, wait: true, record: keeping(put(digestC, b), before)}},
		{"5 no replica runs it, and latest may not be used", input(ours(1), noReplica, latest(digestC), gateSaysNo),
			want{row: 11, outcome: decide.Waiting, gated: true, says: "no replica runs"}},
		{"5 settled: not this row", input(ours(0), settled),
			want{row: 8, outcome: decide.Unchanged, events: []decide.Reason{decide.DigestRefreshed}, record: both(marked(b), func(r *annotate.Record) { r.State.Attempt = nil })}},

		{"10 no rollout on top of it, I10", input(unsettled), counts("1/8")},
		{"10 what was restored is not up, Q18", input(unsettled, attempt(annotate.Attempt{Digest: digestB, Failed: 1})), notUp},
		{"10 what has failed is rejected, and the tag has moved on", input(unsettled, latest(digestC), attempt(annotate.Attempt{Digest: digestB, Failed: 1}), rejected(b, annotate.ByFailure)), counts("1/8")},
		{"10 nothing has failed yet", input(unsettled, attempt(annotate.Attempt{Digest: digestC, Reverted: true})), counts("1/8")},
		{"10 the same digest", input(unsettled, latest(digestA), streak(3)), counts("4/8")},
		{"10 before the threshold, I2", input(unsettled, streak(6)), counts("7/8")},
		{"10 two ticks count once, I28", input(unsettled, lostStreak(3)), want{row: 10, outcome: decide.Waiting, says: "3/8"}},
		{"10 two ticks count once, at the threshold", input(unsettled, latest(digestA), lostStreak(8)), want{row: 10, outcome: decide.Failed, cause: failure.NotSettled}},
		{"10 frozen, I11", input(unsettled, latest(digestA), streak(7)), frozen},
		{"10 still frozen: no second Event", input(unsettled, latest(digestA), streak(8)), stillFrozen},
		{"10 tried in vain since it was settled: frozen", input(unsettled, streak(7), func(in *decide.Input) { in.Record.State.UnblockFailed = digestB }), frozen},
		{"10 the unblock attempt, once, I45", input(unsettled, streak(7)),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, skip: decide.SkipCount, record: both(put(digestB, a), unblocks)}},
		{"10 the unblock attempt: what is recorded, and was taken away", input(live(c), record(b, b), deployer("helm"), unsettled, streak(7)),
			want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, skip: decide.SkipCount, record: both(again(digestB, annotate.None, 1), unblocks)}},
		{"10 the unblock attempt: gates first", input(unsettled, streak(7), unasked), want{asks: digestB}},
		{"10 the unblock attempt may not be used", input(unsettled, streak(7), gateSaysNo), func() want {
			w := frozen
			w.row, w.gated = 11, true
			return w
		}()},
		{"10 the unblock attempt is too young: its age counts", input(unsettled, streak(7), minAge), func() want {
			w := frozen
			w.row = 11
			w.record = func(r *annotate.Record) { r.State.Seen = &annotate.Seen{Digest: digestB, Since: now, Deferred: now} }
			return w
		}()},
		{"10 latest rejected: row 9", input(unsettled, streak(7), rejected(b, annotate.ByFailure)),
			want{row: 9, outcome: decide.Rejected, cause: failure.RolloutFailed}},
		{"10 latest unknown: row 7", input(unsettled, unknown, streak(7)), want{row: 7, outcome: decide.Skipped, cause: failure.Proxy}},
		{"10 OnDelete by somebody else, latest live", input(awaitsDelete, latest(digestA), streak(7)), want{row: 10, outcome: decide.Waiting, says: "OnDelete"}},
		{"10 OnDelete does not hold a refresh up", input(awaitsDelete),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"10 not ours: a deployer's revert to a digest that hangs", input(live(c), deployer("helm"), unsettled), counts("1/8")},
	})
}
