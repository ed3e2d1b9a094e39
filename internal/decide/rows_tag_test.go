package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// state is a record whose state changes.
func state(change func(*annotate.State)) func(*annotate.Record) {
	return func(r *annotate.Record) { change(&r.State) }
}

// Rows 7 to 9: what is known of the tag.
func TestRowsOfTheTag(t *testing.T) {
	t.Parallel()
	fresh := func(in *decide.Input) { latest(digestA)(in); unasked(in) }
	owners := map[string][]string{"api": {"helm"}}
	rolledOut := []decide.Reason{decide.DigestRefreshed}
	run(t, []row{
		{"7 skipped, and counted by the tick, I1 I2", input(unknown), want{row: 7, outcome: decide.Skipped, cause: failure.Proxy}},
		{"7 a deployer's revert waits", input(unknown, live(c), deployer("helm")), want{row: 7, outcome: decide.Skipped, cause: failure.Proxy}},
		{"7 settled: the skip streak ends", input(unknown, streak(4)), want{row: 7, outcome: decide.Skipped, cause: failure.Proxy, skip: decide.SkipClear}},

		{"8 nothing at all", input(fresh), want{row: 8, outcome: decide.Unchanged}},
		{"8 the skip streak ends, I11", input(fresh, streak(8)), want{row: 8, outcome: decide.Unchanged, skip: decide.SkipClear}},
		{"8 a killed tick is continued: recorded, I19", input(fresh, record(a, c), attempt(annotate.Attempt{Digest: digestA, Failed: 2})),
			want{row: 8, outcome: decide.Unchanged, events: rolledOut, record: both(marked(a), state(func(s *annotate.State) { s.Attempt = nil }))}},
		{"8 an attempt that was undone by the tag", input(fresh, attempt(annotate.Attempt{Digest: digestB})),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) { s.Attempt = nil })}},
		{"8 failed attempts of another digest still count, I13", input(fresh, attempt(annotate.Attempt{Digest: digestB, Failed: 1})), want{row: 8, outcome: decide.Unchanged}},
		{"8 a deployer brought it", input(fresh, record(c, c), deployer("helm")), want{row: 8, outcome: decide.Unchanged, record: marked(a)}},
		{"8 it works after all, I14", input(fresh, rejected(b, annotate.ByPerson), rejected(a, annotate.ByFailure)),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) { *s = s.Unreject(a) })}},
		{"8 re-applications stay for two hours, I53", input(fresh, reapplied(3, 2*time.Hour-time.Second, true)), want{row: 8, outcome: decide.Unchanged}},
		{"8 re-applications fall by one in two hours, I53 I75", input(fresh, reapplied(3, 2*time.Hour, true)),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) { s.Reapplied, s.ReappliedAt, s.Contested = 2, &now, false })}},
		{"8 re-applications fall by as many as there were hours for", input(fresh, reapplied(3, 5*time.Hour, false)),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) {
				at := now.Add(-time.Hour)
				s.Reapplied, s.ReappliedAt = 1, &at
			})}},
		{"8 the last re-application", input(fresh, reapplied(1, 9*time.Hour, false)),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) { s.Reapplied, s.ReappliedAt = 0, nil })}},
		{"8 nobody waits for its age", input(fresh, func(in *decide.Input) {
			in.Record.State.Seen = &annotate.Seen{Digest: digestB, Since: earlier, Deferred: earlier}
		}),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) { s.Seen = nil })}},
		{"8 nobody waits for its turn, I57", input(fresh, waitsForTurn),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) { s.TurnSince = nil })}},
		{"8 ownership returned", input(fresh, func(in *decide.Input) { in.Record.State.Owners = owners }),
			want{row: 8, outcome: decide.Unchanged, record: state(func(s *annotate.State) { s.Owners = nil })}},
		{"8 ownership not returned yet", input(fresh, taken, func(in *decide.Input) { in.Record.State.Owners = owners }), want{row: 8, outcome: decide.Unchanged}},
		{"8 ours, settled: recorded", input(ours(0), settled),
			want{row: 8, outcome: decide.Unchanged, events: rolledOut, record: both(marked(b), state(func(s *annotate.State) { s.Attempt = nil }))}},
		{"8 ours, and no replica runs it: not this row, I56", input(ours(0), noReplica), want{row: 5, outcome: decide.Waiting, says: "no replica runs"}},
		{"8 recorded, and scaled to zero since", input(fresh, noReplica), want{row: 8, outcome: decide.Unchanged}},
		{"8 adopted at zero replicas", input(fresh, noReplica, deployer("helm"), record(c, c)), want{row: 8, outcome: decide.Unchanged, record: marked(a)}},
		{"8 notify too", input(fresh, notify, record(a, c), attempt(annotate.Attempt{Digest: digestA})),
			want{row: 8, outcome: decide.Unchanged, events: rolledOut, record: both(marked(a), state(func(s *annotate.State) { s.Attempt = nil }))}},

		{"9 by failure: loud, I13 I14", input(rejected(b, annotate.ByFailure), func(in *decide.Input) { in.Record.State.Rejected[0].Evidence = true }),
			want{row: 9, outcome: decide.Rejected, cause: failure.RolloutFailed, says: "publish a working image"}},
		{"9 by failure, and no pod spoke against it: for a day, I71", input(rejected(b, annotate.ByFailure)),
			want{row: 9, outcome: decide.Rejected, cause: failure.RolloutFailed, says: "tried again at 2026-01-03"}},
		{"9 by failure, and no pod spoke against it: a day later it is put there", input(rejected(b, annotate.ByFailure), func(in *decide.Input) {
			in.Record.State.Rejected[0].At = now.Add(-24 * time.Hour)
			in.Began = in.Record
		}), want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"9 by a person: green, I9", input(rejected(b, annotate.ByPerson)), want{row: 9, outcome: decide.Held, says: "until the tag moves on"}},
		{"9 only the mark of it is known", input(rejected(annotate.Content(b.Mark()), annotate.ByPerson)), want{row: 9, outcome: decide.Held}},
		{"9 live and crashing, not ours", input(live(b), record(b, b), unsettled, rejected(b, annotate.ByFailure)), want{row: 9, outcome: decide.Rejected, cause: failure.RolloutFailed}},
		{"9 the tag has moved on, I13", input(latest(digestC), rejected(b, annotate.ByFailure)),
			want{row: 12, outcome: decide.Refreshed, set: digestC, wait: true, record: put(digestC, a)}},
		{"9 nobody waits for its turn, I57", input(rejected(b, annotate.ByPerson), waitsForTurn),
			want{row: 9, outcome: decide.Held, record: state(func(s *annotate.State) { s.TurnSince = nil })}},
		{"9 nobody waits for its age", input(rejected(b, annotate.ByPerson), func(in *decide.Input) {
			in.Record.State.Seen = &annotate.Seen{Digest: digestB, Since: earlier, Deferred: earlier}
		}), want{row: 9, outcome: decide.Held, record: state(func(s *annotate.State) { s.Seen = nil })}},
		{"9 ours, and the tag is back at what is rejected: recorded", input(ours(0), settled, latest(digestC), rejected(c, annotate.ByPerson)),
			want{row: 9, outcome: decide.Held, record: both(marked(b), state(func(s *annotate.State) { s.Attempt = nil }))}},
		{"9 another one is not ours to record", input(record(a, a), live(a), attempt(annotate.Attempt{Digest: digestB, Failed: 3}), rejected(b, annotate.ByFailure)),
			want{row: 9, outcome: decide.Rejected, cause: failure.RolloutFailed}},
	})
}

// Row 9 where a deployer has taken away what stood in place of a rejected digest (Q4): it is put back by the rows below, and
// what was rejected by failure stays as loud as it was.
func TestRowsOfWhatStandsForARejectedDigest_Q4(t *testing.T) {
	t.Parallel()
	taken := func(by annotate.Rejecter, content annotate.Content) func(*decide.Input) {
		return func(in *decide.Input) {
			in.Answers = nil
			rejected(b, by)(in)
			live(content)(in)
			deployer("helm")(in)
		}
	}
	failed, chosen := annotate.ByFailure, annotate.ByPerson
	stays := want{row: 9, outcome: decide.Rejected, cause: failure.RolloutFailed}
	loud := func(w want) want {
		w.outcome, w.cause = decide.Rejected, failure.RolloutFailed
		return w
	}
	back := want{row: 12, outcome: decide.Reapplied, set: digestA, wait: true, record: again(digestA, annotate.None, 1)}
	run(t, []row{
		{"another digest", input(taken(failed, d)), loud(back)},
		{"the bare tag", input(taken(failed, annotate.Unpinned)), loud(back)},
		{"what was rejected, and it crashes", input(taken(failed, b), unsettled), want{row: 10, outcome: decide.Rejected, cause: failure.RolloutFailed, skip: decide.SkipCount, says: "meanwhile: not settled"}},
		{"a person chose it", input(taken(chosen, d)), back},
		{"not settled, below the bound", input(taken(chosen, d), unsettled), want{row: 10, outcome: decide.Waiting, skip: decide.SkipCount}},
		{"not settled, at the bound: once", input(taken(chosen, d), unsettled, streak(8)), func() want {
			w := back
			w.skip, w.record = decide.SkipCount, both(back.record, state(func(s *annotate.State) { s.Attempt.Unblock = true }))
			return w
		}()},
		{"not settled, and it was tried in vain", input(taken(chosen, d), unsettled, streak(8), func(in *decide.Input) { in.Record.State.UnblockFailed = digestA }),
			want{row: 10, outcome: decide.Failed, cause: failure.NotSettled, skip: decide.SkipCount}},
		{"again and again", input(taken(failed, d), reapplied(3, 0, false)), want{
			row: 12, outcome: decide.Failed, cause: failure.Contested, says: a.Short() + " has been put back 3 times and the field manager helm",
			events: []decide.Reason{decide.RefreshContested}, record: state(func(s *annotate.State) { s.Contested = true }),
		}},
		{"notify", input(taken(failed, d), notify), want{row: 11, outcome: decide.Pending, says: a.Short() + " is recorded"}},
		{"it is rejected too", input(taken(failed, d), rejected(a, failed)), stays},
		{"nothing is recorded", input(taken(failed, d), record(a, annotate.Unpinned), attempt(annotate.Attempt{Digest: digestA})), stays},
		{"it is what is live", input(taken(failed, a), record(annotate.Unpinned, a)), stays},
		{"what is rejected was left in place, Q13", input(rejected(b, failed), live(b), record(b, a), unsettled, attempt(annotate.Attempt{Digest: digestB})), func() want {
			w := stays
			w.row = 5
			return w
		}()},
		{"put back, and not settled yet", input(rejected(b, failed), unsettled, attempt(annotate.Attempt{Digest: digestA, Again: true})),
			want{row: 5, outcome: decide.Rejected, cause: failure.RolloutFailed, wait: true, says: "meanwhile: waiting for the rollout of " + a.Short()}},
		{"put back after a person's choice, and not settled yet", input(rejected(b, chosen), unsettled, attempt(annotate.Attempt{Digest: digestA, Again: true})),
			want{row: 5, outcome: decide.Waiting, wait: true}},
		{"put back, and its tick was killed", input(rejected(b, failed), attempt(annotate.Attempt{Digest: digestA, Again: true})), func() want {
			w := stays
			w.record = state(func(s *annotate.State) { s.Attempt = nil })
			return w
		}()},
	})
}

// Rows 11 and 12: gates and refreshes.
func TestRowsOfTheRefresh(t *testing.T) {
	t.Parallel()
	const age = time.Hour
	passed := state(func(s *annotate.State) { s.Passed = digestB })
	young := func(in *decide.Input) { in.Policy.MinAge = age }
	seen := func(since, deferred time.Duration) func(*decide.Input) {
		return func(in *decide.Input) {
			young(in)
			in.Record.State.Seen = &annotate.Seen{Digest: digestB, Since: now.Add(-since), Deferred: now.Add(-deferred)}
		}
	}
	seenNow := func(r *annotate.Record) { r.State.Seen = &annotate.Seen{Digest: digestB, Since: now, Deferred: now} }
	forgotten := func(r *annotate.Record) { r.State.Seen = nil }
	refreshed := want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}
	aged := refreshed
	aged.record = both(put(digestB, a), forgotten)
	contested := want{row: 12, outcome: decide.Failed, cause: failure.Contested}
	reverted := func(in *decide.Input) { // B was put there, and a deployer took it out before it settled
		in.Record = annotate.Record{Mark: b, Recorded: a, State: annotate.State{Attempt: &annotate.Attempt{Digest: digestB, Failed: 1}, Left: a}}
		deployer("argocd-controller")(in)
	}
	seenReverted := func(in *decide.Input) { // and the tick that waited has counted that
		reverted(in)
		in.Record.State.Attempt.Reverted, in.Record.State.Reapplied = true, 1
	}
	refused := func(in *decide.Input) {
		in.Record.State.Refused = &annotate.Refusal{Digest: digestB, Why: "linux/arm64"}
		in.Began = in.Record
	}
	flip := func(in *decide.Input) { in.Record.State.Left = b } // B was just left for A
	run(t, []row{
		{"11 gates first", input(unasked), want{asks: digestB}},
		{"11 gate says no, I24", input(gateSaysNo), want{row: 11, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true}},
		{"11 gate said no of another digest", input(gateSaysNo, func(in *decide.Input) { in.Latest.Digest = digestC }), want{asks: digestC}},
		{"11 a gate refused what a deployer has put there since: not fresh, I24", input(live(b), deployer("helm"), unasked, refused),
			want{row: 11, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true, says: "linux/arm64"}},
		{"11 the same, in notify", input(live(b), record(b, b), notify, refused), want{row: 11, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true}},
		{"11 the same, and it is young", input(live(b), record(b, b), young, refused), want{row: 11, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true}},
		{"11 what a gate refused is asked for again, though it was recorded or left since", input(record(b, b), flip, unasked, refused), want{asks: digestB}},
		{"11 what a gate refused is another one", input(live(b), record(b, b), latest(digestC), unasked, refused), want{asks: digestC}},
		{"12 the gates have nothing against it any more", input(refused), func() want {
			w := refreshed
			w.record = both(put(digestB, a), state(func(s *annotate.State) { s.Refused = nil }))
			return w
		}()},
		{"11 too young", input(young, unasked), want{row: 11, outcome: decide.Deferred, record: seenNow}},
		{"11 still too young: no write", input(seen(age-1, age-1)), want{row: 11, outcome: decide.Deferred}},
		{"11 old enough", input(seen(age, age)), aged},
		{"11 the tag moved while it waited", input(seen(age, 2*age), latest(digestC)),
			want{row: 11, outcome: decide.Deferred, record: func(r *annotate.Record) {
				r.State.Seen = &annotate.Seen{Digest: digestC, Since: now, Deferred: now.Add(-2 * age)}
			}}},
		{"11 not deferred for ever", input(seen(0, 3*age)), aged},
		{"11 what was here before is not new", input(young, record(b, b), deployer("helm")),
			want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: again(digestB, annotate.None, 1)}},
		{"11 notify", input(notify), want{row: 11, outcome: decide.Pending, record: passed}},
		{"11 notify: gates once a digest", input(notify, unasked, read(passed), func(in *decide.Input) { passed(&in.Record) }), want{row: 11, outcome: decide.Pending}},
		{"11 notify no more: gates again", input(unasked, func(in *decide.Input) { passed(&in.Record) }), want{asks: digestB}},
		{"11 notify: gates count", input(notify, gateSaysNo), want{row: 11, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true}},
		{"11 notify: a deployer's revert is pending", input(notify, record(b, b), deployer("helm")), want{row: 11, outcome: decide.Pending}},

		{"12 refresh, I23 I26 I35", input(), refreshed},
		{"12 another tick was faster, and resolved later, I28", input(read(marked(c))), want{row: 12, outcome: decide.Waiting, says: "another tick"}},
		{"12 it has waited for its turn, I57", input(waitsForTurn), want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true,
			record: both(put(digestB, a), func(r *annotate.Record) { r.State.TurnSince = nil })}},
		{"12 scaled to zero, I56", input(noReplica), refreshed},
		{"12 in place of what no replica ever ran, I56 I74", input(ours(0), noReplica, latest(digestC)),
			want{row: 12, outcome: decide.Refreshed, set: digestC, wait: true, record: keeping(put(digestC, b), map[string]annotate.Content{"0": a})}},
		{"12 from a tag", input(live(annotate.Unpinned), record(annotate.Unpinned, annotate.Unpinned)),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, annotate.None)}},
		{"12 slots that differ", input(live(a, b), deployer("helm")), refreshed},
		{"12 what is proved needs no gate", input(unasked, flip), want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: again(digestB, a, 1)}},
		{"12 a deployer's revert, I8", input(record(b, b), deployer("helm")), want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: again(digestB, annotate.None, 1)}},
		{"12 reverted before it settled, I38", input(reverted), want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true,
			record: both(again(digestB, a, 1), func(r *annotate.Record) { r.State.Attempt.Failed = 1 })}},
		{"12 reverted before it settled counts once, I38", input(seenReverted), want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true,
			record: func(r *annotate.Record) {
				r.State.Attempt = &annotate.Attempt{Digest: digestB, Failed: 1, Again: true}
				r.State.ReappliedAt = &now
			}}},
		{"12 the tag flips, I46", input(flip, reapplied(1, 0, false)), want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: again(digestB, a, 2)}},
		{"12 the tag flips: contested, I46", input(flip, reapplied(3, 0, false)), func() want {
			w := contested
			w.says, w.events = "the tag itself", []decide.Reason{decide.RefreshContested}
			w.record = func(r *annotate.Record) { r.State.Contested = true }
			return w
		}()},
		{"12 contested: said once, I38", input(flip, reapplied(3, time.Hour, true)), contested},
		{"12 contested: the count does not fall while the slot is found reverted, I53", input(flip, reapplied(3, 2*time.Hour-time.Second, true)), contested},
		{"12 contested: put back once in two hours", input(flip, reapplied(3, 2*time.Hour, true)), want{row: 12, outcome: decide.Failed, cause: failure.Contested, set: digestB, wait: true,
			record: again(digestB, a, 3)}},
		{"12 contested: a third digest is not contested", input(latest(digestC), flip, reapplied(3, time.Hour, true)),
			want{row: 12, outcome: decide.Refreshed, set: digestC, wait: true, record: both(put(digestC, a), func(r *annotate.Record) { r.State.Contested = false })}},
		{"12 failed attempts go on counting, I13 I39", input(attempt(annotate.Attempt{Digest: digestB, Failed: 2, Alone: true})),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: both(put(digestB, a), func(r *annotate.Record) {
				r.State.Attempt.Failed, r.State.Attempt.Alone = 2, true
			})}},
		{"12 a new digest starts from zero, I13", input(attempt(annotate.Attempt{Digest: digestC, Failed: 2})), refreshed},
		{"12 settled: the skip streak ends", input(streak(5)), func() want { w := refreshed; w.skip = decide.SkipClear; return w }()},
	})
}

// What another tick has put, restored, recorded or rejected since this one resolved the tag makes what this one calls latest
// doubtful. How long a digest has waited, for its age or for its turn, does not, nor who owned the slots (I28).
func TestADoubtfulTagIsNotPut(t *testing.T) {
	t.Parallel()
	in := input(ours(1), live(a), record(a, a), settled, deployer("helm"))
	for name, c := range map[string]struct {
		change func(*annotate.State)
		put    bool
	}{
		"nothing":              {func(*annotate.State) {}, true},
		"put":                  {func(s *annotate.State) { s.Attempt = &annotate.Attempt{Digest: digestC} }, false},
		"a failed attempt":     {func(s *annotate.State) { s.Attempt = &annotate.Attempt{Digest: digestB, Failed: 2} }, false},
		"rejected":             {func(s *annotate.State) { *s = s.Reject(annotate.Rejection{Digest: c, By: annotate.ByFailure}) }, false},
		"flipped":              {func(s *annotate.State) { s.Left = c }, false},
		"re-applied":           {func(s *annotate.State) { s.Reapplied++ }, false},
		"calmer":               {func(s *annotate.State) { s.ReappliedAt, s.Contested = &now, true }, true},
		"seen for its age":     {func(s *annotate.State) { s.Seen = &annotate.Seen{Digest: digestC, Since: now, Deferred: now} }, true},
		"waiting for its turn": {func(s *annotate.State) { s.TurnSince = &now }, true},
		"who owned the slots":  {func(s *annotate.State) { s.Owners = map[string][]string{"0": {"helm"}} }, true},
	} {
		in := in
		in.Began = in.Record
		c.change(&in.Began.State)
		assert.Equal(t, c.put, decide.Decide(in).Rolls(), name)
	}
	for name, began := range map[string]annotate.Record{
		"recorded": {Mark: a, Recorded: c, State: in.Record.State}, "restored": {Mark: b, Recorded: a, State: in.Record.State},
	} {
		in := in
		in.Began = began
		assert.False(t, decide.Decide(in).Rolls(), name)
	}
	whole := input(deployer("helm"))
	whole.Began.Mark = annotate.Content(a.Mark())
	assert.True(t, decide.Decide(whole).Rolls(), "a mark is the digest that it is the mark of")
}
