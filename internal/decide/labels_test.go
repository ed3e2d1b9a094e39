package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
)

// What a person says of latest by a label.
func TestRowsOfLabels(t *testing.T) {
	t.Parallel()
	const heeded = "12 refreshed put=B heeds=approve left=A approved=B: is approved by a person"
	inTurn := func(in *decide.Input) { in.Postponed = decide.Postponement{Message: "later", ForTurn: true} }
	passed := func(in *decide.Input) { in.Record.State.Passed = digestB }
	run(t, []row{
		{"approve: gates first", input(notify, approve(b), unasked, passed), "asks gates of B"},
		{"approve: its signature is asked for again", input(notify, approve(b), unasked, passed, func(in *decide.Input) { in.Policy.Verify = true }), "asks B signed"},
		{"approve", input(notify, approve(b)), heeded},
		{"approve, though a person threw it out before", input(notify, approve(b), thrownOutB), "12 refreshed put=B heeds=approve left=A approved=B unrejected=B"},
		{"approve, though it was rejected", input(notify, approve(b), failedB), "12 refreshed put=B heeds=approve left=A approved=B unrejected=B"},
		{"approve another digest", input(notify, approve(c)), "11 pending approvable=B stood=B passed=B: names cccccccccccc, which is not latest"},
		{"approve in apply", input(approve(b)), "12 refreshed put=B heeds=approve left=A"},
		{"approve, and a gate says no", input(notify, approve(b), gateSaysNo), "11 skipped/platform-missing gated heeds=approve stood=B refused=B approved=B"},
		{"approve, and it is too young", input(notify, approve(b), young), "11 deferred heeds=approve stood=B approved=B seen=B:now:now"},
		{"approve outside of the window", input(notify, approve(b), closed), "11 deferred heeds=approve stood=B approved=B"},
		{"approve, and others go first", input(notify, approve(b), inTurn), "12 waiting heeds=approve stood=B approved=B turnSince=now"},
		{"approve what fills an empty slot", input(notify, live(none), approve(b)), "3 refreshed put=B heeds=approve left=A approved=B"},
		{"approve, and another target's rollout is not settled", input(notify, approve(b), unsettled), "10 waiting counted heeds=approve stood=B approved=B"},
		{"approve what is live", input(notify, live(b), record(b, b), approve(b)), "8 unchanged heeds=approve"},
		{"approve what is already rolling out", input(notify, ours(0), approved, approve(b)), "5 waiting wait=B heeds=approve"},
		{"approve while held: the label waits", input(notify, held, approve(b)), "2 held"},
		{"approve in apply, while held", input(held, approve(b)), "2 held"},
		{"approve what fills an empty slot: gates first", input(notify, live(none), approve(b), unasked), "asks gates of B beside A"},
		{"approve what fills an empty slot, and a gate says no", input(notify, live(none), approve(b), gateSaysNo), "3 skipped/platform-missing gated heeds=approve refused=B approved=B"},
		{"approve at a first observation: the label waits", input(notify, noRecord, approve(b)), "4 adopted accepted=A stood=B"},
		{"approve, and a hand since", input(notify, approve(b), live(c), person, saw(b)), "6 held heeds=approve event=RefreshHeld accepted=C stood=- rejected=A:person,B:person"},
		{"approve what the tag has moved on to since a hand", input(notify, latest(d), approve(d), live(c), person, saw(b)),
			"12 refreshed put=D heeds=approve event=RefreshHeld recorded=C left=C stood=- approved=D rejected=A:person,B:person: is approved by a person"},
		{"approve, and latest is not known", input(notify, approve(b), unknown), "7 skipped/proxy"},

		{"approved before", input(notify, approved), "12 refreshed put=B left=A: is approved by a person"},
		{"approved before, and its rollout failed once", input(notify, approved, attempted(b, 1)), "12 refreshed put=B failed=1 left=A"},
		{"approved before, and the tag has moved on", input(notify, approved, latest(c)), "11 pending approvable=C stood=C passed=C"},
		{"approved before, and latest is rejected in favour of what is recorded", input(notify, approved, latest(c), failedB, rejected(c, byFailure), live(d), record(a, a), helm),
			"11 pending"},
		{"approved, and proven", input(notify, ours(0), approved, settled), "8 unchanged event=DigestRefreshed recorded=B attempt=- approved=-"},
		{"recorded, and a deployer reverts it", input(notify, record(b, b), helm), "11 pending approvable=B"},
		{"empty in notify", input(notify, live(none), unasked), "3 pending approvable=B"},
		{"empty in notify, and latest is unknown", input(notify, live(none), unknown), "3 pending"},
		{"empty in notify, and latest is rejected", input(notify, live(none), failedB), "3 pending"},

		{"skip", input(skip(b)), "9 held heeds=skip event=RefreshHeld rejected=B:person: rejected by a person"},
		{"skip again", input(thrownOutB, skip(b)), "9 held heeds=skip: rejected by a person"},
		{"skip in notify, what was approved", input(notify, approved, skip(b)), "9 held heeds=skip event=RefreshHeld approved=- rejected=B:person"},
		{"skip and approve", input(notify, approve(b), skip(b)), "9 held heeds=approve heeds=skip event=RefreshHeld rejected=B:person"},
		{"skip another digest", input(skip(c)), "12 refreshed put=B left=A: names cccccccccccc, which is not latest"},
		{"skip what is live", input(live(b), record(b, b), skip(b)), "8 unchanged: kubectl rollout undo"},
		{"skip what rolls out", input(ours(0), skip(b)), "5 waiting wait=B: kubectl rollout undo"},
		{"skip what a bare tag runs", input(bare(record(tag, b), runsB, skip(b))), "8 unchanged: kubectl rollout undo"},
		{"skip what a deployer took out before it settled", input(record(b, a), attempted(b, 1), skip(b), helm), "9 held heeds=skip event=RefreshHeld rejected=B:person"},
		{"skip what would fill an empty slot", input(live(none), skip(b)), "3 reapplied put=A heeds=skip event=RefreshHeld again reapplied=1 at=now rejected=B:person"},
		{"skip in place of our rollout", input(ours(0), latest(c), skip(c)), "5 waiting wait=B heeds=skip event=RefreshHeld rejected=C:person"},
		{"skip, and another's rollout is not settled", input(skip(b), unsettled), "9 held heeds=skip event=RefreshHeld rejected=B:person"},
		{"skip while held: the label waits", input(held, skip(b)), "2 held"},
		{"skip at a first observation: the label waits", input(noRecord, skip(b)), "4 adopted accepted=A stood=B"},
		{"skip, and a hand that sets latest", input(live(b), person, skip(b)), "8 unchanged accepted=B: kubectl rollout undo"},
		{"skip what a hand has left, too", input(live(c), person, saw(b), skip(b)), "6 held heeds=skip event=RefreshHeld accepted=C stood=- rejected=A:person,B:person"},
		{"skip, and a hand", input(live(c), person, skip(b)), "9 held heeds=skip event=RefreshHeld,RefreshHeld accepted=C rejected=B:person,A:person"},
	})
}

// What was approved is restored and rejected as in apply; once it is rejected, another approval is asked for.
func TestAnApprovedRolloutIsConcludedAsInApply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in       decide.Input
		outcome  decide.Outcome
		approved bool
		says     string
	}{
		"approved, below the threshold": {input(notify, ours(0), approved), decide.Failed, true, "goes on waiting"},
		"approved, at the threshold":    {input(notify, ours(2), approved), decide.RolledBack, false, "is restored and the digest is rejected"},
		"not approved":                  {input(notify, ours(2)), decide.Failed, false, "left in place, because the target is notify only"},
	} {
		in := c.in
		in.Facts.Rollout.Failure = "ProgressDeadlineExceeded"
		in.Answers = in.Answers.With(decide.Question{Kind: decide.WhyNotReady}, decide.Answer{Pods: decide.PodProblems{Evidence: []bool{true}, Reasons: []string{"crash"}}})
		isServed(a, true)(&in)
		d := decide.Conclude(in, decide.Wait{Digest: digestB})
		assert.Equal(t, c.outcome, d.Outcome, name)
		assert.Contains(t, d.Failure.Message, c.says, name)
		assert.Equal(t, c.approved, d.Record.State.Approved == digestB, name)
	}
	proven := decide.Conclude(input(notify, ours(0), approved, settled), decide.Wait{Digest: digestB})
	assert.Empty(t, proven.Record.State.Approved)
	assert.Contains(t, proven.Events[0].Note, "as a person has approved")
}

// A label is removed in the write that takes it into the state, once each target whose latest it names has heeded it.
func TestAHeededLabelIsRemoved(t *testing.T) {
	t.Parallel()
	labelled := func(key, digits string, inputs ...decide.Input) decide.Workload {
		w := carrying(inputs...)
		w.Object.Labels[key] = digits
		return begun(w)
	}
	digits := string(annotate.DigitsOf(digestB))[:12]
	for name, c := range map[string]struct {
		w       decide.Workload
		removed bool
	}{
		"skip":                              {labelled(keys.Skip(), digits, input()), true},
		"skip: too short":                   {labelled(keys.Skip(), digits[:11], input()), false},
		"skip: of no target":                {labelled(keys.Skip(), "cccccccccccc", input()), false},
		"skip: in use":                      {labelled(keys.Skip(), digits, input(live(b), record(b, b))), false},
		"skip: of one of two targets":       {labelled(keys.Skip(), digits, input(), input(latest(a))), true},
		"skip: in use for one of two":       {labelled(keys.Skip(), digits, input(), input(live(b), record(b, b))), false},
		"skip: not observed for one of two": {labelled(keys.Skip(), digits, input(), input(noRecord)), false},
		"approve":                           {labelled(keys.Approve(), digits, input()), true},
		"approve: live":                     {labelled(keys.Approve(), digits, input(live(b), record(b, b))), true},
	} {
		step := planned(t, c.w, targets(len(c.w.Bindings)))
		removed := false
		for _, key := range []string{keys.Approve(), keys.Skip()} {
			value, changes := step.Change.Labels[key]
			removed = removed || changes && value == ""
		}
		assert.Equal(t, c.removed, removed, name)
	}
	notKnown := labelled(keys.Skip(), "cccccccccccc", input(), input(unknown))
	assert.NotContains(t, planned(t, notKnown, targets(2)).Decisions[0].Message, "is not latest", "it may be the other target's")
	waiting := labelled(keys.Skip(), "cccccccccccc", input(ours(0), latest(c)))
	step := rules.Conclude(waiting, targets(1), rules.Waits(waiting, targets(1), []decide.Decision{{Outcome: decide.Waiting, Wait: digestB}}), []decide.Decision{{}})
	assert.NotContains(t, step.Change.Labels, keys.Skip(), "what was set while a rollout was waited for is the next tick's")
	assert.Empty(t, recordOf(written(waiting, step.Change), 0).State.Rejected)
}
