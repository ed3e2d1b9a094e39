package decide_test

import (
	"testing"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Rows 1 to 4: what comes before any thought of the tag.
func TestRowsOfTheSlot(t *testing.T) {
	t.Parallel()
	newer := func(in *decide.Input) { in.Facts.Newer = problem(failure.SlotInvalid).Problem }
	claims := func(in *decide.Input) { // what the shell script left behind: a record, and no mark
		in.Record = annotate.Record{Recorded: c, State: annotate.State{Reapplied: 2}}
		thrownOutB(in)
	}
	run(t, []row{
		{"workload missing, I17", input(slots(problem(failure.WorkloadMissing))), "1 failed/workload-missing"},
		{"valueFrom, I40", input(slots(problem(failure.SlotInvalid))), "1 failed/slot-invalid"},
		{"another tag, I41", input(slots(problem(failure.SlotMismatch))), "1 failed/slot-mismatch"},
		{"the worse of two", input(slots(decide.Slot{Live: a}, problem(failure.API), problem(failure.SlotInvalid))),
			"1 failed/slot-invalid"},
		{"a newer release's state, held or not", input(newer, held), "1 failed/slot-invalid"},
		{"before a pause, streak kept", input(slots(problem(failure.API)), paused, streak(2)), "1 failed/api"},

		{"held", input(held), "2 held: refresh-hold"},
		{"held, with another tag", input(held, slots(problem(failure.SlotMismatch))), "2 held"},
		{"paused", input(paused), "2 held: paused"},
		{"held, and a manual change waits for its turn", input(held, live(c), person), "2 held"},
		{"held, streak over", input(held, streak(2)), "2 held settled"},
		{"paused in mid-rollout", input(paused, ours(0)), "2 held"},

		{"filled with latest, I7", input(live(none)), "3 refreshed put=B left=A"},
		{"one of two is empty", input(live(a, none)), "3 refreshed put=B left=A"},
		{"unsettled", input(live(none), unsettled), "3 refreshed put=B left=A"},
		{"first observation", input(live(none), noRecord), "3 refreshed put=B"},
		{"a person emptied it", input(live(none), person), "3 refreshed put=B left=A"},
		{"no minimum age", input(live(none), young), "3 refreshed put=B left=A"},
		{"gates first", input(live(none), unasked), "asks gates of B beside A"},
		{"latest = recorded", input(live(none), latest(a)), "3 reapplied put=A again reapplied=1 at=now"},
		{"latest unknown", input(live(none), unknown), "3 reapplied put=A again reapplied=1 at=now"},
		{"latest rejected", input(live(none), failedB), "3 reapplied put=A again reapplied=1 at=now"},
		{"gate says no", input(live(none), gateSaysNo), "3 reapplied put=A gated again reapplied=1 at=now refused=B"},
		{"gate says no, nothing recorded", input(live(none), gateSaysNo, noRecord), "3 skipped/platform-missing gated refused=B"},
		{"nothing known", input(live(none), unknown, noRecord), "3 skipped/proxy"},
		{"latest rejected, nothing recorded", input(live(none), record(b, tag), attempted(b, 3), failedB), "3 rejected/rollout-failed"},
		{"notify", input(live(none), notify, unasked), "3 pending approvable=B"},
		{"contested, filled all the same", input(live(none), latest(a), reapplied(3, 0, false), helm),
			"3 failed/contested put=A again contested: helm"},

		{"left empty", input(live(none), leftEmpty(0)), "3 unchanged: whenEmpty"},
		{"left empty, nobody is asked", input(live(none), leftEmpty(0), unasked), "3 unchanged"},
		{"left empty, first observation", input(live(none), leftEmpty(0), noRecord), "3 unchanged"},
		{"left empty beside one to be filled", input(live(none, none), leftEmpty(0)), "3 refreshed put=-,B left=A"},
		{"left empty beside one that is outdated", input(live(none, a), leftEmpty(0)), "12 refreshed put=-,B left=A"},
		{"left empty by a person beside one that is fresh", input(live(none, a), leftEmpty(0), person, latest(a)), "8 unchanged"},

		{"live is adopted, I5 I6", input(noRecord), "4 adopted accepted=A stood=B"},
		{"a tag is adopted, with what it stands for", input(noRecord, live(tag)), "4 adopted accepted=tag stood=B"},
		{"a tag is adopted, and is unknown", input(noRecord, live(tag), unknown), "4 adopted accepted=tag"},
		{"two slots that differ are unpinned", input(noRecord, live(a, b)), "4 adopted accepted=tag stood=B"},
		{"what the script claimed means nothing, I36", input(claims), "4 adopted accepted=A stood=B reapplied=0 unrejected=B"},
		{"set env by the script is no manual change, I36", input(claims, person),
			"4 adopted accepted=A stood=B reapplied=0 unrejected=B"},
		{"unsettled, tag unknown", input(noRecord, unsettled, unknown), "4 adopted accepted=A"},
	})
}

// Rows 5 and 10: rollouts that are not over, ours and others'.
func TestRowsOfTheRollout(t *testing.T) {
	t.Parallel()
	onDelete := func(in *decide.Input) { ours(0)(in); awaitsDelete(in) }
	run(t, []row{
		{"continued, not restarted, I3 I10 I19", input(ours(1)), "5 waiting wait=B: waiting for the rollout"},
		{"latest unknown", input(ours(0), unknown), "5 waiting wait=B"},
		{"latest is another, rejected", input(ours(0), latest(c), rejected(c, byFailure)), "5 waiting wait=B"},
		{"left in place after its rejection, I14", input(ours(3), failedB), "5 rejected/rollout-failed: because"},
		{"OnDelete", input(onDelete), "5 waiting: OnDelete"},
		{"latest is another: at once, I45", input(ours(1), latest(c)), "12 refreshed put=C served=2 wanted=2 held=A left=B"},
		{"latest is another: gates first", input(ours(1), latest(c), unasked), "asks gates of C"},
		{"latest is another, which may not be used", input(ours(1), latest(c), gateSaysNo), "11 waiting wait=B gated stood=C refused=C"},
		{"latest is another, too young: its age counts", input(ours(1), latest(c), young), "11 waiting wait=B stood=C seen=C:now:now"},
		{"latest is another, notify", input(ours(1), latest(c), notify), "11 waiting wait=B stood=C passed=C"},
		{"OnDelete, latest is another", input(onDelete, latest(c)), "12 refreshed put=C wanted=2 held=A left=B"},
		{"restored, and brought back by a person: row 6, I44", input(ours(1), mark(a), person),
			"6 held accepted=B attempt=- left=-: failed here before"},
		{"restored, and brought back by a deployer: row 10", input(ours(1), mark(a), helm),
			"10 failed/not-settled counted: what is there now is not settled"},
		{"no replica runs it: not over, and nothing to wait for, I56", input(ours(1), noReplica), "5 waiting: no replica runs"},
		{"no replica runs it: uncounted, and the streak is over", input(ours(1), noReplica, streak(3)), "5 waiting settled"},
		{"no replica runs it, and latest is another: at once", input(ours(1), noReplica, latest(c)),
			"12 refreshed put=C served=2 wanted=2 held=A left=B"},
		{"no replica runs it, and latest may not be used", input(ours(1), noReplica, latest(c), gateSaysNo),
			"11 waiting gated stood=C refused=C"},
		{"settled: not this row", input(ours(0), settled), "8 unchanged event=DigestRefreshed recorded=B attempt=-"},

		{"no rollout on top of it, I10", input(unsettled), "10 waiting counted stood=B: 1/8"},
		{"what was restored is not up, Q18", input(unsettled, attempted(b, 1)), "10 failed/not-settled counted stood=B"},
		{"what has failed is rejected, and the tag has moved on", input(unsettled, latest(c), attempted(b, 1), failedB),
			"10 waiting counted stood=C: 1/8"},
		{"nothing has failed yet", input(unsettled, attempt(annotate.Attempt{Digest: digestC, Reverted: true})),
			"10 waiting counted stood=B: 1/8"},
		{"the same digest", input(unsettled, latest(a), streak(3)), "10 waiting counted: 4/8"},
		{"before the threshold, I2", input(unsettled, streak(6)), "10 waiting counted stood=B: 7/8"},
		{"two ticks count once, I28", input(unsettled, lostStreak(3)), "10 waiting stood=B: 3/8"},
		{"two ticks count once, at the threshold", input(unsettled, latest(a), lostStreak(8)), "10 failed/not-settled"},
		{"frozen, I11", input(unsettled, latest(a), streak(7)), "10 failed/not-settled counted event=RefreshFrozen: freezes api, web"},
		{"still frozen: no second Event", input(unsettled, latest(a), streak(8)), "10 failed/not-settled counted"},
		{"tried in vain since it was settled: frozen", input(unsettled, streak(7), inVain(b)),
			"10 failed/not-settled counted event=RefreshFrozen stood=B"},
		{"the unblock attempt, once, I45", input(unsettled, streak(7)), "12 refreshed put=B counted unblock left=A"},
		{"the unblock attempt: what is recorded, and was taken away", input(live(c), record(b, b), helm, unsettled, streak(7)),
			"12 reapplied put=B counted again unblock reapplied=1 at=now"},
		{"the unblock attempt: gates first", input(unsettled, streak(7), unasked), "asks gates of B"},
		{"the unblock attempt may not be used", input(unsettled, streak(7), gateSaysNo),
			"11 failed/not-settled counted gated event=RefreshFrozen stood=B refused=B"},
		{"the unblock attempt is too young: its age counts", input(unsettled, streak(7), young),
			"11 failed/not-settled counted event=RefreshFrozen stood=B seen=B:now:now"},
		{"latest rejected: row 9", input(unsettled, streak(7), failedB), "9 rejected/rollout-failed"},
		{"latest unknown: row 7", input(unsettled, unknown, streak(7)), "7 skipped/proxy"},
		{"OnDelete by somebody else, latest live", input(awaitsDelete, latest(a), streak(7)), "10 waiting: OnDelete"},
		{"OnDelete does not hold a refresh up", input(awaitsDelete), "12 refreshed put=B left=A"},
		{"not ours: a deployer's revert to a digest that hangs", input(live(c), helm, unsettled), "10 waiting counted stood=B: 1/8"},
	})
}

// Row 6: a manual change.
func TestRowsOfManualChanges(t *testing.T) {
	t.Parallel()
	onB := func(in *decide.Input) { record(b, b)(in); in.Record.State.Left = a }
	onTag := func(latest annotate.Content) func(*decide.Input) { return all(record(tag, tag), saw(latest)) }
	oldClaim := func(in *decide.Input) { in.Slots[0].Person, in.Slots[1].Deployer = "kubectl", "helm" }
	run(t, []row{
		{"undo of what is latest, I9", input(onB, live(a), person),
			"6 held event=RefreshHeld accepted=A left=- rejected=B:person: kubectl"},
		{"set image, I9", input(onB, live(c), person), "6 held event=RefreshHeld accepted=C left=- rejected=B:person"},
		{"edit to a tag", input(onB, live(tag), person), "6 held event=RefreshHeld accepted=tag left=- rejected=B:person"},
		{"a digest set over what the tag stands for, I9", input(onTag(b), live(a), person),
			"6 held event=RefreshHeld accepted=A stood=- rejected=B:person"},
		{"a digest set to what the tag stands for", input(onTag(b), live(b), person), "8 unchanged accepted=B stood=-"},
		{"a digest is set, and the tag has moved on", input(onTag(c), live(a), person),
			"12 refreshed put=B event=RefreshHeld recorded=A left=A stood=- rejected=C:person"},
		{"an undo has rewound the counters, I44", input(record(b, a), streak(5), live(a), person),
			"6 held settled rewound event=RefreshHeld mark=A rejected=B:person"},
		{"an undo has rewound the counters, and the tag has moved on", input(record(b, a), live(a), person, latest(c)),
			"12 refreshed put=C rewound event=RefreshHeld left=A rejected=B:person"},
		{"undo in mid-rollout: attempted is left too, I44", input(ours(1), live(a), person),
			"6 held event=RefreshHeld mark=A attempt=- left=- rejected=B:person"},
		{"mark and attempted are left", input(record(a, a), attempted(b, 1), live(c), person),
			"6 held event=RefreshHeld accepted=C attempt=- rejected=A:person,B:person"},
		{"what they chose is no longer rejected", input(onB, live(a), person, rejected(a, byFailure)),
			"6 held event=RefreshHeld accepted=A left=- unrejected=A rejected=B:person"},
		{"old counters go, I44", input(onB, live(a), person, reapplied(3, time.Hour, true)),
			"6 held event=RefreshHeld accepted=A left=- reapplied=0 at=- contested=false rejected=B:person"},
		{"latest unknown", input(onB, live(a), person, unknown), "6 held event=RefreshHeld accepted=A left=- rejected=B:person"},
		{"unsettled", input(onB, live(a), person, unsettled), "6 held event=RefreshHeld accepted=A left=- rejected=B:person"},
		{"one slot of two", input(onB, live(b, a), person), "6 held event=RefreshHeld accepted=tag left=- rejected=B:person"},
		{"a person's old claim on the slot that nobody changed", input(onB, live(b, a), oldClaim),
			"12 reapplied put=B again reapplied=1 at=now"},
		{"beside a deployer that owned the value before", input(onB, live(a), helm, person),
			"6 held event=RefreshHeld accepted=A left=- rejected=B:person"},

		{"the tag has moved on already", input(onB, live(a), person, latest(c)),
			"12 refreshed put=C event=RefreshHeld recorded=A rejected=B:person"},
		{"the tag has moved on, not settled", input(onB, live(a), person, latest(c), unsettled),
			"10 waiting counted event=RefreshHeld accepted=A left=- stood=C rejected=B:person"},
		{"the tag has moved on: gates first", input(onB, live(a), person, latest(c), unasked), "asks gates of C"},
		{"they chose what is latest", input(live(b), person), "8 unchanged accepted=B"},

		{"they chose what is latest, which is not up yet", input(live(b), person, unsettled), "10 waiting counted accepted=B"},
		{"they chose what was latest, which is unknown now", input(saw(b), live(b), person, unknown),
			"7 skipped/proxy accepted=B stood=-"},
		{"latest had been seen, and was not there yet, Q5", input(saw(b), live(c), person),
			"6 held event=RefreshHeld accepted=C stood=- rejected=A:person,B:person"},
		{"the same, latest unknown, Q5", input(saw(b), live(c), person, unknown),
			"6 held event=RefreshHeld accepted=C stood=- rejected=A:person,B:person"},
		{"latest had been seen, and has moved on, Q5", input(saw(b), live(c), person, latest(d)),
			"12 refreshed put=D event=RefreshHeld recorded=C left=C stood=- rejected=A:person,B:person"},
		{"a manual change counts once, I44", input(live(a), person, thrownOutB), "9 held: rejected by a person"},
		{"an old claim is no new change, I9", input(person), "12 refreshed put=B left=A"},
		{"our own claim is no manual change", input(live(c), weOwn), "12 refreshed put=B left=A"},
	})
}

// Rows 7 to 9: what is known of the tag.
func TestRowsOfTheTag(t *testing.T) {
	t.Parallel()
	const almost2h = 2*time.Hour - time.Second
	fresh := func(in *decide.Input) { latest(a)(in); unasked(in) }
	owned := func(in *decide.Input) { in.Record.State.Owners = map[string][]string{"api": {"helm"}} }
	heldBefore := attempt(annotate.Attempt{Digest: digestB, Failed: 1, Held: map[string]annotate.Content{"0": c}})
	evidence := func(in *decide.Input) { in.Record.State.Rejected[0].Evidence = true }
	aDayAgo := func(in *decide.Input) { in.Record.State.Rejected[0].At = now.Add(-24 * time.Hour) }
	seenB := func(in *decide.Input) {
		in.Record.State.Seen = &annotate.Seen{Digest: digestB, Since: earlier, Deferred: earlier}
	}
	run(t, []row{
		{"skipped, and counted by the tick, I1 I2", input(unknown), "7 skipped/proxy"},
		{"a deployer's revert waits", input(unknown, live(c), helm), "7 skipped/proxy"},
		{"settled: the skip streak ends", input(unknown, streak(4)), "7 skipped/proxy settled"},

		{"nothing at all", input(fresh), "8 unchanged"},
		{"the skip streak ends, I11", input(fresh, streak(8)), "8 unchanged settled"},
		{"a killed tick is continued: recorded, I19", input(fresh, record(a, c), attempted(a, 2)),
			"8 unchanged event=DigestRefreshed recorded=A attempt=-"},
		{"an attempt that was undone by the tag", input(fresh, attempted(b, 0)), "8 unchanged attempt=-"},
		{"failed attempts of another digest still count, I13", input(fresh, attempted(b, 1)), "8 unchanged"},
		{"but not what the slots held before them, I58", input(fresh, heldBefore), "8 unchanged held="},
		{"a deployer brought it", input(fresh, record(c, c), helm), "8 unchanged accepted=A"},
		{"it works after all, I14", input(fresh, thrownOutB, rejected(a, byFailure)), "8 unchanged unrejected=A"},
		{"re-applications stay for two hours, I53", input(fresh, reapplied(3, almost2h, true)), "8 unchanged"},
		{"re-applications fall by one in two hours, I53 I75", input(fresh, reapplied(3, 2*time.Hour, true)),
			"8 unchanged reapplied=2 at=now contested=false"},
		{"re-applications fall by as many as there were hours for", input(fresh, reapplied(3, 5*time.Hour, false)),
			"8 unchanged reapplied=1 at=-1h"},
		{"the last re-application", input(fresh, reapplied(1, 9*time.Hour, false)), "8 unchanged reapplied=0 at=-"},
		{"nobody waits for its age", input(fresh, seenB), "8 unchanged seen=-"},
		{"nobody waits for its turn, I57", input(fresh, waitsForTurn), "8 unchanged turnSince=-"},
		{"ownership returned", input(fresh, owned), "8 unchanged owners=map[]"},
		{"ownership not returned yet", input(fresh, weOwn, owned), "8 unchanged"},
		{"ours, settled: recorded", input(ours(0), settled), "8 unchanged event=DigestRefreshed recorded=B attempt=-"},
		{"ours, and no replica runs it: not this row, I56", input(ours(0), noReplica), "5 waiting"},
		{"recorded, and scaled to zero since", input(fresh, noReplica), "8 unchanged"},
		{"adopted at zero replicas", input(fresh, noReplica, helm, record(c, c)), "8 unchanged accepted=A"},
		{"notify too", input(fresh, notify, record(a, c), attempted(a, 0)), "8 unchanged event=DigestRefreshed recorded=A attempt=-"},

		{"by failure: loud, I13 I14", input(failedB, evidence), "9 rejected/rollout-failed: publish a working image"},
		{"by failure, and no pod spoke against it: for a day, I71", input(failedB),
			"9 rejected/rollout-failed: tried again at 2026-01-03"},
		{"by failure, and no pod spoke against it: a day later it is put there", input(failedB, aDayAgo), "12 refreshed put=B left=A"},
		{"by a person: green, I9", input(thrownOutB), "9 held: until the tag moves on"},
		{"only the mark of it is known", input(rejected(annotate.Content(b.Mark()), byPerson)), "9 held"},
		{"live and crashing, not ours", input(live(b), record(b, b), unsettled, failedB), "9 rejected/rollout-failed"},
		{"the tag has moved on, I13", input(latest(c), failedB), "12 refreshed put=C left=A"},
		{"nobody waits for its turn, I57", input(thrownOutB, waitsForTurn), "9 held turnSince=-"},
		{"nobody waits for its age", input(thrownOutB, seenB), "9 held seen=-"},
		{"ours, and the tag is back at what is rejected: recorded", input(ours(0), settled, latest(c), rejected(c, byPerson)),
			"9 held recorded=B attempt=-"},
		{"another one is not ours to record", input(record(a, a), live(a), attempted(b, 3), failedB), "9 rejected/rollout-failed"},
	})
}

// Row 9 where a deployer has taken away what stood in place of a rejected digest (Q4): it is put back by the rows below, and
// what was rejected by failure stays as loud as it was.
func TestQ4RowsOfWhatStandsForARejectedDigest(t *testing.T) {
	t.Parallel()
	const failed, chosen = byFailure, byPerson
	replaced := func(by annotate.Rejecter, content annotate.Content) func(*decide.Input) {
		return all(unasked, rejected(b, by), live(content), helm)
	}
	attemptedAgain := attempt(annotate.Attempt{Digest: digestA, Again: true})
	run(t, []row{
		{"another digest", input(replaced(failed, d)), "12 rejected/rollout-failed put=A again reapplied=1 at=now"},
		{"the bare tag", input(replaced(failed, tag)), "12 rejected/rollout-failed put=A again reapplied=1 at=now"},
		{"what was rejected, and it crashes", input(replaced(failed, b), unsettled),
			"10 rejected/rollout-failed counted: meanwhile: not settled"},
		{"a person chose it", input(replaced(chosen, d)), "12 reapplied put=A again reapplied=1 at=now"},
		{"not settled, below the bound", input(replaced(chosen, d), unsettled), "10 waiting counted"},
		{"not settled, at the bound: once", input(replaced(chosen, d), unsettled, streak(8)),
			"12 reapplied put=A counted again unblock reapplied=1 at=now"},
		{"not settled, and it was tried in vain", input(replaced(chosen, d), unsettled, streak(8), inVain(a)),
			"10 failed/not-settled counted"},
		{"again and again", input(replaced(failed, d), reapplied(3, 0, false)),
			"12 failed/contested event=RefreshContested contested: has been put back 3 times and the field manager helm"},
		{"notify", input(replaced(failed, d), notify), "11 pending: sha256:aaaaaaaaaaaa is recorded"},
		{"it is rejected too", input(replaced(failed, d), rejected(a, failed)), "9 rejected/rollout-failed"},
		{"nothing is recorded", input(replaced(failed, d), record(a, tag), attempted(a, 0)), "9 rejected/rollout-failed"},
		{"it is what is live", input(replaced(failed, a), record(tag, a)), "9 rejected/rollout-failed"},
		{"what is rejected was left in place, Q13", input(rejected(b, failed), live(b), record(b, a), unsettled, attempted(b, 0)),
			"5 rejected/rollout-failed"},
		{"put back, and not settled yet", input(rejected(b, failed), unsettled, attemptedAgain),
			"5 rejected/rollout-failed wait=A: meanwhile: waiting for the rollout of sha256:aaaa"},
		{"put back after a person's choice, and not settled yet", input(rejected(b, chosen), unsettled, attemptedAgain),
			"5 waiting wait=A"},
		{"put back, and its tick was killed", input(rejected(b, failed), attemptedAgain), "9 rejected/rollout-failed attempt=-"},
	})
}
