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
	loud := []decide.Reason{decide.RefreshContested}
	failed := func(says string, record func(*annotate.Record)) want {
		return want{row: recordsRow, outcome: decide.Failed, cause: failure.Contested, events: loud, says: says, record: record}
	}
	attempted := func(r *annotate.Record) { r.State.Attempt = &annotate.Attempt{Digest: digestA} }
	waits := func(w want) want { w.waitsFor = digestB; return w }
	run(t, []row{
		{"4a the mark's label, Q6", input(live(a), record(c, a), relabelled(argo)), failed("argocd-controller", func(r *annotate.Record) { r.Mark = a })},
		{"4a the mark's label, latest unknown, Q6", input(live(a), record(c, a), relabelled(argo), unknown), failed("argocd-controller", func(r *annotate.Record) { r.Mark = a })},
		{"4a the mark's label, in mid-rollout, Q6", input(ours(1), relabelled(argo), func(in *decide.Input) { in.Record.Mark = a }),
			waits(failed("argocd-controller", func(r *annotate.Record) { r.Mark = b }))},
		{"4a the mark's label and the slot, I54", input(live(a), record(a, b), kept, relabelled(argo)),
			failed("argocd-controller", both(attempted, func(r *annotate.Record) { r.State.Overwritten = true }))},
		{"4a label, slot and record, I54", input(forSlots, relabelled(argo)), failed("argocd-controller", func(r *annotate.Record) { r.State.Overwritten = true })},
		{"12 the same, once it is said", input(forSlots, relabelled(argo), func(in *decide.Input) { in.Record.State.Overwritten = true }),
			want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: both(again(digestB, a, 1), func(r *annotate.Record) { r.State.Overwritten = false })}},
		{"12 a mark of an earlier release, that somebody has moved along", input(relabelled(argo)), want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"4a the record, I54", input(live(b), record(b, a), kept, rewritten(argo)), failed("argocd-controller", func(r *annotate.Record) { r.Recorded = b })},
		{"4a the record, and it is not up", input(live(a), record(a, b), kept, rewritten(argo), unsettled), func() want {
			w := failed("argocd-controller", attempted)
			w.waitsFor = digestA
			return w
		}()},
		{"4a all annotations, I55", input(live(a), record(a, annotate.None), template(decide.Writer{Manager: "helm"})), failed("helm", marked(a))},
		{"4a all annotations, and nobody is known", input(live(a), record(a, annotate.None)), failed("leaves no trace", marked(a))},
		{"4a all annotations, and no replica has proven it", input(live(a), record(a, annotate.None), noReplica), failed("", attempted)},
		{"4a all annotations, a tag", input(live(annotate.Unpinned), record(annotate.Unpinned, annotate.None)), failed("", marked(annotate.Unpinned))},
		{"4a the mark is gone", input(record(annotate.None, a), gone), failed("", func(r *annotate.Record) { r.Mark = a })},
		{"4a undo to before the install, I69", input(live(a), record(a, annotate.None), template(person)),
			want{row: recordsRow, outcome: decide.Adopted, says: "person", record: marked(a)}},
		{"4a a person writes the label", input(live(a), record(annotate.Unpinned, a), relabelled(person)),
			want{row: recordsRow, outcome: decide.Adopted, says: "kubectl", record: func(r *annotate.Record) { r.Mark = a }}},
		{"2 held", input(held, live(a), record(c, a), relabelled(argo)), want{row: 2, outcome: decide.Held}},
		{"3 what is empty is filled", input(live(annotate.None), record(c, a), relabelled(argo)), want{row: 3, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, a)}},
		{"5 the state alone is gone: it re-arms", input(live(b), record(b, a), unsettled),
			want{row: 5, outcome: decide.Waiting, waitsFor: digestB, record: func(r *annotate.Record) { r.State.Attempt = &annotate.Attempt{Digest: digestB} }}},
		{"12 a tag, and nothing has happened, Q20", input(live(annotate.Unpinned), record(annotate.Unpinned, annotate.Unpinned)),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, annotate.None)}},
	})
}

// Where they change while a tick waits, what the tick remembers is written: it counts, restores, and is loud (Q6).
func TestRecordsThatChangeWhileATickWaits_Q6(t *testing.T) {
	t.Parallel()
	began := input(ours(0)).Record
	for name, change := range map[string]func(*decide.Input){
		"the mark":        all(func(in *decide.Input) { in.Record.Mark = a }, relabelled(decide.Writer{Manager: "argocd-controller"})),
		"the annotations": func(in *decide.Input) { in.Record = annotate.Record{Mark: b} },
		"everything":      func(in *decide.Input) { in.Record = annotate.Record{} },
	} {
		in := input(ours(0), change)
		in.Began = began
		assert.Equal(t, []decide.Question{whyNotReady}, decide.ConclusionQuestions(in, waited()), name)
		podsSay(crashing)(&in)
		crashed := decide.Conclude(in, waited())
		assert.Equal(t, 1, crashed.Record.State.Attempt.Failed, name)
		assert.Equal(t, failure.RolloutFailed, crashed.Failure.Cause, name)

		settled(&in)
		well := decide.Conclude(in, waited())
		assert.Equal(t, decide.Failed, well.Outcome, name)
		assert.Equal(t, failure.Contested, well.Failure.Cause, name)
		assert.Equal(t, b, well.Record.Recorded, name)
		assert.True(t, well.Record.Mark.Is(digestB), name)

		held(&in)
		unsettled(&in)
		assert.Nil(t, decide.Conclude(in, waited()).Failure, "%s: on hold it is a person's", name)
	}
	replaced := input(ours(0), live(a), deployer("argocd-controller"), func(in *decide.Input) { in.Record = annotate.Record{} })
	replaced.Began = began
	d := decide.Conclude(replaced, waited())
	assert.Equal(t, failure.Contested, d.Failure.Cause)
	assert.True(t, d.Record.State.Attempt.Reverted, "and the next tick puts it back")
	replaced = input(ours(0), live(a), person("kubectl-replace"), func(in *decide.Input) {
		in.Record = annotate.Record{}
		in.Writers.Template = decide.Writer{Manager: "kubectl-replace", Person: true}
	})
	replaced.Began = began
	assert.Equal(t, decide.Held, decide.Conclude(replaced, waited()).Outcome, "a person's")
}
