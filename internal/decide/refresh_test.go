package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Rows 11 and 12: gates and refreshes.
func TestRowsOfTheRefresh(t *testing.T) {
	t.Parallel()
	const age, almost2h = time.Hour, 2*time.Hour - time.Second
	passed := func(in *decide.Input) { in.Record.State.Passed = digestB }
	movedOn := func(in *decide.Input) { in.Latest.Digest = digestC }
	began := func(content annotate.Content) func(*decide.Input) {
		return func(in *decide.Input) { in.Began = annotate.Record{Mark: content, Recorded: content} }
	}
	seen := func(since, deferred time.Duration) func(*decide.Input) {
		return all(young, func(in *decide.Input) {
			in.Record.State.Seen = &annotate.Seen{Digest: digestB, Since: now.Add(-since), Deferred: now.Add(-deferred)}
		})
	}
	// B was put there, and a deployer took it out before it settled; and the tick that waited has counted that.
	reverted := all(record(b, a), attempted(b, 1), func(in *decide.Input) { in.Record.State.Left = a }, deployer("argocd"))
	seenReverted := all(reverted, func(in *decide.Input) { in.Record.State.Attempt.Reverted, in.Record.State.Reapplied = true, 1 })
	refused := func(in *decide.Input) {
		in.Record.State.Refused = &annotate.Refusal{Digest: digestB, Why: "linux/arm64"}
	}
	contestedNow := func(in *decide.Input) {
		reapplied(3, time.Hour, false)(in)
		in.Began = in.Record
		in.Record.State.Contested = true
	}
	flip := func(in *decide.Input) { in.Record.State.Left = b } // B was just left for A
	run(t, []row{
		{"gates first", input(unasked), "asks gates of B"},
		{"gate says no, I24", input(gateSaysNo), "11 skipped/platform-missing gated stood=B refused=B"},
		{"gate said no of another digest", input(gateSaysNo, movedOn), "asks gates of C"},
		{"a gate refused what a deployer has put there since: not fresh, I24", input(live(b), helm, unasked, refused),
			"11 skipped/platform-missing gated: linux/arm64"},
		{"the same, in notify", input(live(b), record(b, b), notify, refused), "11 skipped/platform-missing gated"},
		{"the same, and it is young", input(live(b), record(b, b), young, refused), "11 skipped/platform-missing gated"},
		{"what a gate refused is asked for again, though it was recorded or left since", input(record(b, b), flip, unasked, refused),
			"asks gates of B"},
		{"what a gate refused is another one", input(live(b), record(b, b), latest(c), unasked, refused), "asks gates of C"},
		{"the gates have nothing against it any more", input(refused), "12 refreshed put=B left=A refused=-"},
		{"too young", input(young, unasked), "11 deferred stood=B seen=B:now:now"},
		{"still too young: no write", input(seen(age-1, age-1)), "11 deferred stood=B"},
		{"old enough", input(seen(age, age)), "12 refreshed put=B left=A seen=-"},
		{"the tag moved while it waited", input(seen(age, 2*age), latest(c)), "11 deferred stood=C seen=C:now:-2h"},
		{"not deferred for ever", input(seen(0, 3*age)), "12 refreshed put=B left=A seen=-"},
		{"what was here before is not new", input(young, record(b, b), helm), "12 reapplied put=B again reapplied=1 at=now"},
		{"outside of the window", input(closed, unasked), "11 deferred stood=B: is new and waits until the window opens at 2026-01-02T04:01:00Z"},
		{"in the window", input(opened), "12 refreshed put=B left=A"},
		{"outside of the window, and old enough", input(closed, seen(age, age)), "11 deferred stood=B: is new and waits"},
		{"a failed attempt is no less new", input(closed, attempted(b, 1), live(a), record(a, a)), "11 deferred stood=B"},
		{"what was here before needs no window", input(closed, record(b, b), helm), "12 reapplied put=B again reapplied=1 at=now"},
		{"its own rollout is waited for", input(closed, ours(0)), "5 waiting wait=B"},
		{"notify", input(notify), "11 pending approvable=B stood=B passed=B"},
		{"notify: gates once a digest", input(notify, unasked, passed), "11 pending approvable=B stood=B"},
		{"notify no more: gates again", input(unasked, passed), "asks gates of B"},
		{"notify: gates count", input(notify, gateSaysNo), "11 skipped/platform-missing gated stood=B refused=B"},
		{"notify: a deployer's revert is pending", input(notify, record(b, b), helm), "11 pending approvable=B"},

		{"refresh, I23 I26 I35", input(), "12 refreshed put=B left=A"},
		{"another tick was faster, and resolved later, I28", input(began(c)), "12 waiting stood=B: another tick"},
		{"it has waited for its turn, I57", input(waitsForTurn), "12 refreshed put=B left=A turnSince=-"},
		{"scaled to zero, I56", input(noReplica), "12 refreshed put=B left=A"},
		{"in place of what no replica ever ran, I56 I74", input(ours(0), noReplica, latest(c)),
			"12 refreshed put=C served=2 wanted=2 held=A left=B"},
		{"from a tag", input(live(tag), record(tag, tag)), "12 refreshed put=B"},
		{"slots that differ", input(live(a, b), helm), "12 refreshed put=B left=A"},
		{"what is proved needs no gate", input(unasked, flip), "12 reapplied put=B again back left=A reapplied=1 at=now"},
		{"a deployer's revert, I8", input(record(b, b), helm), "12 reapplied put=B again reapplied=1 at=now"},
		{"reverted before it settled, I38", input(reverted), "12 reapplied put=B failed=1 again reapplied=1 at=now"},
		{"reverted before it settled counts once, I38", input(seenReverted), "12 reapplied put=B failed=1 again at=now"},
		{"the tag flips, I46", input(flip, reapplied(1, 0, false)), "12 reapplied put=B again back left=A reapplied=2: to which the tag has moved back"},
		{"the tag flips: contested, I46", input(flip, reapplied(3, 0, false)),
			"12 failed/contested event=RefreshContested stood=B contested: the tag itself"},
		{"contested: said once, I38", input(flip, reapplied(3, time.Hour, true)), "12 failed/contested stood=B"},
		{"contested: the count does not fall while the slot is found reverted, I53", input(flip, reapplied(3, almost2h, true)),
			"12 failed/contested stood=B"},
		{"contested: as loud in a tick that lost the race to count, I28", input(flip, contestedNow), "12 failed/contested stood=B"},
		{"contested: put back once in two hours", input(flip, reapplied(3, 2*time.Hour, true)),
			"12 failed/contested put=B again back left=A at=now"},
		{"contested: a third digest is not contested", input(latest(c), flip, reapplied(3, time.Hour, true)),
			"12 refreshed put=C left=A contested=false"},
		{"failed attempts go on counting, I13 I39", input(attempt(annotate.Attempt{Digest: digestB, Failed: 2, Alone: true})),
			"12 refreshed put=B failed=2 alone left=A"},
		{"a new digest starts from zero, I13", input(attempted(c, 2)), "12 refreshed put=B left=A"},
		{"settled: the skip streak ends", input(streak(5)), "12 refreshed put=B settled left=A"},
	})
}

// What another tick has put, restored, recorded or rejected since this one resolved the tag makes what this one calls latest
// doubtful. How long a digest has waited, for its age or for its turn, does not, nor who owned the slots (I28).
func TestADoubtfulTagIsNotPut(t *testing.T) {
	t.Parallel()
	in := input(ours(1), live(a), record(a, a), settled, helm)
	for name, c := range map[string]struct {
		change func(*annotate.State)
		put    bool
	}{
		"nothing":              {func(*annotate.State) {}, true},
		"put":                  {func(s *annotate.State) { s.Attempt = &annotate.Attempt{Digest: digestC} }, false},
		"a failed attempt":     {func(s *annotate.State) { s.Attempt = &annotate.Attempt{Digest: digestB, Failed: 2} }, false},
		"rejected":             {func(s *annotate.State) { *s = s.Reject(annotate.Rejection{Digest: c, By: byFailure}) }, false},
		"flipped":              {func(s *annotate.State) { s.Left = c }, false},
		"re-applied":           {func(s *annotate.State) { s.Reapplied++ }, false},
		"calmer":               {func(s *annotate.State) { s.ReappliedAt, s.Contested = &now, true }, true},
		"seen for its age":     {func(s *annotate.State) { s.Seen = &annotate.Seen{Digest: digestC, Since: now, Deferred: now} }, true},
		"waiting for its turn": {func(s *annotate.State) { s.TurnSince = &now }, true},
		"allowed by the gates": {func(s *annotate.State) { s.Passed, s.PassedBuild = digestB, buildB }, true},
		"approved":             {func(s *annotate.State) { s.Approved = digestB }, true},
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
	whole := input(helm)
	whole.Began.Mark = annotate.Content(a.Mark())
	assert.True(t, decide.Decide(whole).Rolls(), "a mark is the digest that it is the mark of")
}

// With keys, latest must be signed before each patch to it, and is read no further where it is not.
func TestSignatures(t *testing.T) {
	t.Parallel()
	verify := func(in *decide.Input) { in.Policy.Verify = true }
	signs := func(answer decide.Answer) func(*decide.Input) {
		return all(verify, func(in *decide.Input) {
			answered(decide.Question{Kind: decide.IsSigned, Digest: in.Latest.Digest}, answer)(in)
		})
	}
	signed, unsigned := signs(decide.Answer{Signer: "K"}), signs(decide.Answer{Failure: &failure.Error{Cause: failure.Unsigned, Message: "none"}})
	throttled := signs(decide.Answer{Failure: &failure.Error{Cause: failure.RateLimited, Message: "429"}})
	noted := func(in *decide.Input) {
		in.Record.State.Refused = &annotate.Refusal{Digest: digestB, Why: "none", Unsigned: true}
	}
	passed := func(in *decide.Input) { in.Record.State.Passed = digestB }
	stands := all(live(b), helm, unasked, noted) // a deployer has put there what nobody has signed
	bareA := all(live(tag), record(tag, a), func(in *decide.Input) { in.Slots[0].Image = true },
		answered(decide.Question{Kind: decide.WhatRuns}, decide.Answer{Running: decide.Running{Unreadable: true}}))
	run(t, []row{
		{"asked first", input(verify, unasked), "asks B signed"},
		{"and then the rest", input(unasked, signed), "asks gates of B"},
		{"signed", input(signed), "12 refreshed put=B left=A: is signed by the key K"},
		{"unsigned: read no further", input(unasked, unsigned), "11 skipped/unsigned gated stood=B refused=B:none"},
		{"unknown", input(unasked, throttled), "11 skipped/rate-limited gated stood=B"},
		{"asked for again though it was refused", input(verify, unasked, noted), "asks B signed"},
		{"signed by now", input(signed, noted), "12 refreshed put=B left=A refused=-"},
		{"a re-application", input(verify, record(b, b), helm, unasked), "asks B signed"},
		{"signed, it needs no other gate", input(record(b, b), helm, unasked, signed), "12 reapplied put=B again reapplied=1 at=now"},
		{"a key that leaked, I8", input(record(b, b), helm, unasked, unsigned), "11 skipped/unsigned gated refused=B:none"},
		{"an unblock attempt", input(verify, unsettled, streak(7), unasked), "asks B signed"},
		{"an empty slot", input(verify, live(none), unasked), "asks B signed"},
		{"an empty slot gets what is recorded, I73", input(live(none), unasked, unsigned), "3 reapplied put=A gated again reapplied=1 at=now refused=B:none"},
		{"in notify, once it is signed", input(verify, notify, unasked, passed), "11 pending approvable=B stood=B"},
		{"in notify, until then", input(verify, notify, unasked, noted), "asks B signed"},
		{"what stands is not asked about", input(verify, live(b), record(b, b), unasked), "8 unchanged"},
		{"unless it was refused", input(verify, stands), "asks B signed"},
		{"and still is", input(stands, unsigned), "11 skipped/unsigned gated"},
		{"or that cannot be told", input(stands, throttled), "11 skipped/rate-limited gated"},
		{"signed since", input(stands, signed), "8 unchanged accepted=B refused=-"},
		{"no keys any more", input(stands), "8 unchanged accepted=B refused=-"},
		{"a bare tag is pinned to what runs, I67", input(bareA, unsigned), "11 refreshed put=A gated refused=B:none"},
		{"also where nothing could be read", input(bareA, throttled), "11 refreshed put=A gated"},
	})
}
