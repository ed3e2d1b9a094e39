package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Row 4a: what somebody else has made of our records.
func TestRowsOfRecords(t *testing.T) {
	t.Parallel()
	argo, person := decide.Writer{Manager: "argocd-controller"}, decide.Writer{Manager: "kubectl", Person: true}
	template := func(by decide.Writer) func(*decide.Input) {
		return func(in *decide.Input) { in.Writers.Template = by }
	}
	rewritten := func(by decide.Writer) func(*decide.Input) {
		return func(in *decide.Input) { in.Writers.Recorded = by }
	}
	gone := func(in *decide.Input) { in.Writers.RecordIsOurs = true }
	kept := func(in *decide.Input) { in.Record.State.Left = c }
	forSlots := func(in *decide.Input) { in.Record.Slots = annotate.SlotsName([]string{"0"}) }
	said := func(in *decide.Input) { in.Record.State.Overwritten = true }
	run(t, []row{
		{"the mark's label, Q6", input(live(a), record(c, a), relabelled(argo)),
			"4a failed/contested event=RefreshContested mark=A stood=B: argocd-controller"},
		{"the mark's label, latest unknown, Q6", input(live(a), record(c, a), relabelled(argo), unknown),
			"4a failed/contested event=RefreshContested mark=A: argocd-controller"},
		{"the mark's label, in mid-rollout, Q6", input(ours(1), relabelled(argo), mark(a)),
			"4a failed/contested wait=B event=RefreshContested mark=B: argocd-controller"},
		{"the mark's label and the slot, I54", input(live(a), record(a, b), kept, relabelled(argo)),
			"4a failed/contested event=RefreshContested attempt=A overwritten: argocd-controller"},
		{"label, slot and record, I54", input(forSlots, relabelled(argo)),
			"4a failed/contested event=RefreshContested stood=B overwritten: argocd-controller"},
		{"the same, once it is said", input(forSlots, relabelled(argo), said),
			"12 reapplied put=B again left=A reapplied=1 at=now overwritten=false"},
		{"a mark of an earlier release, that somebody has moved along", input(relabelled(argo)), "12 refreshed put=B left=A"},
		{"the record, I54", input(live(b), record(b, a), kept, rewritten(argo)),
			"4a failed/contested event=RefreshContested recorded=B: argocd-controller"},
		{"the record, and it is not up", input(live(a), record(a, b), kept, rewritten(argo), unsettled),
			"4a failed/contested wait=A event=RefreshContested attempt=A: argocd-controller"},
		{"all annotations, I55", input(live(a), record(a, none), template(decide.Writer{Manager: "helm"})),
			"4a failed/contested event=RefreshContested recorded=A stood=B: helm"},
		{"all annotations, and nobody is known", input(live(a), record(a, none)),
			"4a failed/contested event=RefreshContested recorded=A stood=B: leaves no trace"},
		{"all annotations, and no replica has proven it", input(live(a), record(a, none), noReplica),
			"4a failed/contested event=RefreshContested attempt=A stood=B"},
		{"all annotations, a tag", input(live(tag), record(tag, none)),
			"4a failed/contested event=RefreshContested recorded=tag stood=B"},
		{"the mark is gone", input(record(none, a), gone), "4a failed/contested event=RefreshContested mark=A stood=B"},
		{"undo to before the install, I69", input(live(a), record(a, none), template(person)), "4a adopted recorded=A stood=B: person"},
		{"a person writes the label", input(live(a), record(tag, a), relabelled(person)), "4a adopted mark=A stood=B: kubectl"},
		{"held", input(held, live(a), record(c, a), relabelled(argo)), "2 held"},
		{"what is empty is filled", input(live(none), record(c, a), relabelled(argo)), "3 refreshed put=B left=A"},
		{"the state alone is gone: it re-arms", input(live(b), record(b, a), unsettled), "5 waiting wait=B attempt=B"},
		{"a tag, and nothing has happened, Q20", input(live(tag), record(tag, tag)), "12 refreshed put=B"},
	})
}

// Where they change while a tick waits, what the tick remembers is written: it counts, restores, and is loud (Q6).
func TestQ6RecordsThatChangeWhileATickWaits(t *testing.T) {
	t.Parallel()
	began := input(ours(0)).Record
	for name, change := range map[string]func(*decide.Input){
		"the mark":        all(func(in *decide.Input) { in.Record.Mark = a }, relabelled(decide.Writer{Manager: "argocd-controller"})),
		"the annotations": func(in *decide.Input) { in.Record = annotate.Record{Mark: b} },
		"everything":      noRecord,
	} {
		in := input(ours(0), change)
		in.Began = began
		assert.Equal(t, []decide.Question{whyNotReady}, decide.ConclusionQuestions(in, forB), name)
		podsSay(crashing)(&in)
		crashed := decide.Conclude(in, forB)
		assert.Equal(t, 1, crashed.Record.State.Attempt.Failed, name)
		assert.Equal(t, failure.RolloutFailed, crashed.Failure.Cause, name)

		settled(&in)
		well := decide.Conclude(in, forB)
		assert.Equal(t, decide.Failed, well.Outcome, name)
		assert.Equal(t, failure.Contested, well.Failure.Cause, name)
		assert.Equal(t, b, well.Record.Recorded, name)
		assert.True(t, well.Record.Mark.Is(digestB), name)

		held(&in)
		unsettled(&in)
		assert.Nil(t, decide.Conclude(in, forB).Failure, "%s: on hold it is a person's", name)
	}
	replaced := input(ours(0), live(a), deployer("argocd-controller"), noRecord)
	replaced.Began = began
	d := decide.Conclude(replaced, forB)
	assert.Equal(t, failure.Contested, d.Failure.Cause)
	assert.True(t, d.Record.State.Attempt.Reverted, "and the next tick puts it back")
	replaced = input(ours(0), live(a), person, func(in *decide.Input) {
		in.Record = annotate.Record{}
		in.Writers.Template = decide.Writer{Manager: "kubectl-replace", Person: true}
	})
	replaced.Began = began
	assert.Equal(t, decide.Held, decide.Conclude(replaced, forB).Outcome, "a person's")
}
