package decide_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// A dimension is one thing that decisions depend on, with the values that make a difference, the usual one first. Each value
// changes an input that all dimensions before it have changed already.
type dimension []func(*decide.Input)

func nothing(*decide.Input) {}

// times is every value of each of these dimensions with every value of the others.
func times(dimensions ...dimension) dimension {
	product := dimension{nothing}
	for _, values := range dimensions {
		var next dimension
		for _, before := range product {
			for _, value := range values {
				next = append(next, all(before, value))
			}
		}
		product = next
	}
	return product
}

// or is for dimensions that never matter together: while one has another value than its first, the other has its first.
func or(one, other dimension) dimension { return append(slices.Clone(one), other[1:]...) }

func contents(set func(*decide.Input, annotate.Content)) (values dimension) {
	for _, content := range []annotate.Content{none, tag, a, b} {
		values = append(values, func(in *decide.Input) { set(in, content) })
	}
	return values
}

// The inputs, discretised: B is latest where latest is known, so A, B, a tag and nothing at all are what any digest can be.
var (
	marks     = contents(func(in *decide.Input, c annotate.Content) { in.Record.Mark = c })
	recordeds = contents(func(in *decide.Input, c annotate.Content) { in.Record.Recorded = c })
	lives     = contents(func(in *decide.Input, c annotate.Content) { in.Slots = slotsOf(c) })
	attempts  = dimension{
		nothing,
		attempt(annotate.Attempt{Digest: digestA, Failed: 2, Held: map[string]annotate.Content{"0": none}}),
		attempt(annotate.Attempt{Digest: digestB, Reverted: true, Held: map[string]annotate.Content{"0": a}}),
	}
	changers = dimension{
		nothing, helm, person, all(deployer("argocd"), relabelled(decide.Writer{Manager: "argocd"})),
	}
	latests      = dimension{unasked, nothing, gateSaysNo, unknown}
	rollouts     = dimension{nothing, unsettled, awaitsDelete, noReplica}
	rejections   = dimension{nothing, failedB, thrownOutB}
	leftB        = func(in *decide.Input) { in.Record.State.Left = b }
	reapplyings  = dimension{nothing, all(leftB, reapplied(3, 0, false)), all(leftB, reapplied(3, 2*time.Hour, true))}
	restrictions = times(dimension{nothing, notify}, dimension{nothing, young})

	// Who counts: this tick; this tick, and it is the last one that may; another one, of the streak or of everything.
	beganSo    = func(in *decide.Input) { in.Began = in.Record }
	countings  = dimension{beganSo, all(streak(7), beganSo), all(lostStreak(8), beganSo), all(lostStreak(8), beganOtherwise)}
	leftSo     = func(in *decide.Input) { in.Slots[0].Left = in.Slots[0].Live == none }
	mismatched = slots(problem(failure.SlotMismatch))
	holds      = dimension{nothing, held, leftSo, slots(problem(failure.SlotInvalid)), all(held, mismatched)}
)

// beganOtherwise is a tick that has read another record, in all that is counted.
func beganOtherwise(in *decide.Input) {
	in.Began = in.Record
	in.Began.State.Reapplied++
	in.Began.State.Contested = !in.Began.State.Contested
	attempt := annotate.Attempt{Digest: digestB}
	if before := in.Record.State.Attempt; before != nil {
		attempt = *before
	}
	attempt.Failed++
	in.Began.State.Attempt = &attempt
}

// recordsRow is row 4a.
const recordsRow = 13

// every visits every combination of the dimensions, or every so-manieth, on all cores.
func every(t *testing.T, in decide.Input, dimensions []dimension, visit func(t *testing.T, in decide.Input)) {
	t.Helper()
	var combinations atomic.Int64
	t.Run("all", func(t *testing.T) {
		for _, first := range times(dimensions[:2]...) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				in := in
				first(&in)
				each(in, dimensions[2:], func(in decide.Input) {
					if combinations.Add(1)%sample == 0 {
						visit(t, in)
					}
				})
			})
		}
	})
	t.Logf("%d combinations, of which every %dth was tried", combinations.Load(), sample)
}

// each calls visit with every combination of the dimensions.
func each(in decide.Input, rest []dimension, visit func(decide.Input)) {
	if len(rest) == 0 {
		visit(in)
		return
	}
	for _, change := range rest[0] {
		next := in
		next.Slots = slices.Clone(in.Slots)
		change(&next)
		each(next, rest[1:], visit)
	}
}

// No combination of inputs falls through the table, and whatever row decides, a few things never happen.
func TestEveryCombination(t *testing.T) {
	t.Parallel()
	var seen outcomesByRow
	rest := or(times(restrictions, countings), times(countings[:1], holds))
	dimensions := []dimension{marks, recordeds, attempts, lives, changers, rollouts, rejections, reapplyings, latests, rest}
	every(t, input(), dimensions, func(t *testing.T, in decide.Input) {
		decision := decide.Decide(in)
		if questions := decide.Questions(in); len(questions) > 0 {
			if broken := asksBadly(in, questions, decision); broken != "" {
				t.Fatalf("%s:\n%+v\nasks\n%+v", broken, in, questions)
			}
			return
		}
		if broken := violates(in, decision); broken != "" {
			t.Fatalf("%s:\n%+v\nis decided as\n%+v", broken, in, decision)
		}
		seen.add(decision)
	})
	if sample == 1 && !t.Failed() {
		requireDiagram(t, &seen)
	}
}

// asksBadly names the rule that questions break; empty for none.
func asksBadly(in decide.Input, questions []decide.Question, before decide.Decision) string {
	question := decide.Question{Kind: decide.MayRollOut, Digest: in.Latest.Digest}
	_, answered := in.Answers[question]
	questions[0].Live = ""
	switch {
	case len(questions) != 1 || questions[0] != question || answered:
		return "the gates are asked about latest, once"
	case before.Outcome != "" || before.Set != nil || before.Wait != "" || !reflect.DeepEqual(before.Record, in.Record):
		return "nothing is decided before they have answered"
	}
	yes, no := in, in
	yes.Answers, no.Answers = mayRollOut(question.Digest, nil), mayRollOut(question.Digest, &failure.Error{Cause: failure.PlatformMissing})
	if len(decide.Questions(yes))+len(decide.Questions(no)) > 0 || decide.Decide(yes).Outcome == "" || decide.Decide(no).Outcome == "" {
		return "once they have answered, there is a decision"
	}
	if decide.Decide(yes).Gated != nil || decide.Decide(no).Gated == nil || decide.Decide(no).Row == 12 {
		return "nobody is asked in vain: the decision hangs on the answer"
	}
	return ""
}

// violates names the rule that a decision breaks; empty for none.
func violates(in decide.Input, d decide.Decision) string {
	after, rollout := d.Record, in.Facts.Rollout
	onHold := in.Facts.Held || in.Facts.Paused || in.Slots[0].Problem != nil
	content := in.Slots[0].Live
	set := image.Digest("")
	if d.Rolls() {
		set = d.Set[0]
	}
	_, isRejected := in.Record.State.Rejection(annotate.Of(set))
	goesOn := d.Wait != "" && !d.Rolls() && d.Row != recordsRow
	records := after.Recorded != in.Record.Recorded
	rewound := in.Record.Torn() && after.Recorded.Same(in.Record.Mark)
	fresh := in.Latest.Digest != "" && content.Is(in.Latest.Digest) && rollout.Settled && !onHold
	switch {
	case d.Row < 1 || d.Row > recordsRow:
		return "no row matches"
	case d.Outcome == "":
		return "a decision has an outcome"
	case d.Failure == nil && (d.Outcome.NeedsAttention() || d.Outcome == decide.Skipped):
		return "a failure has a cause"
	case d.Gated != nil && d.Gated != in.Answers[decide.Question{Kind: decide.MayRollOut, Digest: in.Latest.Digest}].Failure:
		return "only what the gates said is their failure"
	case d.Rolls() && len(d.Set) != len(in.Slots):
		return "there is a digest for every slot"
	case in.Slots[0].Left && (d.Rolls() || d.Outcome != decide.Unchanged || !reflect.DeepEqual(after, in.Record)):
		return "what is left empty is unchanged"
	case d.Rolls() && (onHold || in.Policy.Notify):
		return "nothing is set where a person, the slot or the mode says no"
	case d.Rolls() && d.Row != 3 && d.Row != 12:
		return "only rows 3 and 12 set"
	case d.Rolls() && d.Row == 12 && set != in.Latest.Digest && !putsBack(in, set),
		d.Rolls() && d.Row == 12 && (isRejected && !in.Record.Torn() || content.Is(set)):
		return "a refresh sets latest where it is not, what was recorded where latest is rejected (Q4), and never what is rejected"
	case d.Rolls() && d.Row == 3 && content != none,
		d.Rolls() && d.Row == 3 && !annotate.Of(set).Same(in.Record.Recorded) && (set != in.Latest.Digest || isRejected):
		return "an empty slot is filled with latest or with what was recorded"
	case d.Rolls() && !wellFormed(set):
		return "a tick never writes a tag"
	case d.Rolls() && (d.Wait != set || !after.Mark.Is(set) || after.State.Attempted() != set):
		return "mark and intent are in the same patch, and the rollout is waited for (I35)"
	case d.Rolls() && len(after.State.Attempt.Held) != len(in.Slots):
		return "what each slot held is in the same patch (I58)"
	case goesOn && d.Outcome != decide.Waiting && d.Outcome != decide.Rejected,
		goesOn && (after.State.Attempted() != d.Wait || !content.Is(d.Wait) || rollout.Settled):
		return "only our own rollout is waited for"
	case after.Torn() && (d.Row > 3 || !in.Record.Torn()):
		return "what we write never looks like an undo"
	case d.Row == recordsRow && (d.Outcome != decide.Adopted && d.Failure.Cause != failure.Contested || !after.Mark.Same(content)):
		return "records are written anew for what is there, and it is said"
	case !d.Rolls() && !after.Mark.Same(in.Record.Mark) && !after.Mark.Same(content):
		return "the mark is what we put or accepted"
	case records && !rewound && d.Row != recordsRow && !after.Recorded.Same(content),
		records && !rewound && !slices.Contains([]int{4, 6, 8, 9, recordsRow}, d.Row) && !handed(in):
		return "only what is live is recorded (I4)"
	case records && (d.Row == 8 || d.Row == 9) && content.Is(in.Record.State.Attempted()) && content.Same(in.Record.Mark) &&
		!rollout.Proven():
		return "zero replicas prove nothing (I56)"
	case d.Row == 8 && (!rollout.Settled || !content.Is(in.Latest.Digest)):
		return "unchanged is fresh and settled (I3)"
	case d.Outcome == decide.Unchanged && clean(in) && !reflect.DeepEqual(after, in.Record):
		return "an unchanged tick writes nothing"
	case d.Skip == decide.SkipCount && (rollout.Settled || !in.Unsettled.ByUs):
		return "only an unsettled tick counts, and two at once count once"
	case d.Skip == decide.SkipClear && !rollout.Settled:
		return "the streak ends when the workload is settled"
	case !reflect.DeepEqual(in.Began, in.Record) && d.Row == 12 && d.Rolls():
		return "what another tick has changed meanwhile makes the tag doubtful (I28)"
	case fresh && d.Row != recordsRow && in.Record.Mark != none && d.Outcome != decide.Unchanged && !handed(in) && !unproven(in):
		return "what is fresh is unchanged"
	case in.Record.Mark == none && content != none && !onHold && d.Outcome != decide.Adopted:
		return "the first observation rolls nothing (I5)"
	}
	return ""
}

// putsBack says whether the digest is what was recorded, where latest is rejected and somebody has replaced what stood.
func putsBack(in decide.Input, set image.Digest) bool {
	_, isRejected := in.Record.State.Rejection(annotate.Of(in.Latest.Digest))
	return isRejected && in.Record.Recorded.Is(set) && !in.Slots[0].Live.Same(in.Record.Mark)
}

// unproven says whether a tick has put there what no replica has run; where somebody has removed the state, what is marked
// counts as that.
func unproven(in decide.Input) bool {
	content := in.Slots[0].Live
	return (content.Is(in.Record.State.Attempted()) || in.Record.Torn()) && content.Same(in.Record.Mark) && !in.Facts.Rollout.Proven()
}

// handed says whether a person has changed the slot since the mark was written.
func handed(in decide.Input) bool {
	content := in.Slots[0].Live
	return content != none && in.Record.Mark != none && !content.Same(in.Record.Mark) && in.Slots[0].Person != ""
}

// clean says whether there is nothing about the record that is no longer true where live is latest.
func clean(in decide.Input) bool {
	r, latest := in.Record, annotate.Of(in.Latest.Digest)
	_, isRejected := r.State.Rejection(latest)
	return r.Mark.Same(latest) && r.Recorded.Same(latest) && !isRejected && r.State.Reapplied == 0 && !r.State.Contested &&
		(r.State.Attempt == nil || r.State.Attempt.Failed > 0 && r.State.Attempt.Digest != in.Latest.Digest && r.State.Attempt.Held == nil)
}

// The same for what is decided after the wait.
func TestEveryConclusion(t *testing.T) {
	t.Parallel()
	down := func(in *decide.Input) {
		if !in.Facts.Rollout.Settled {
			in.Facts.Rollout.Available = 0
		}
	}
	attempts := append(attempts, attempt(annotate.Attempt{Digest: digestB, Failed: 2, Served: 2})) // of a release that notes no more
	answers := dimension{podsSay(decide.PodProblems{}), podsSay(crashing), pullFailed, all(podsSay(crashing), isServed(a, false))}
	rest := or(times(dimension{nothing, noRollback, notify, down}, answers, countings), times(answers[:1], countings[:1], holds))
	waits := []decide.Wait{forB, forBoth, waited(joint, restoredToo), waited(interrupted), {Digest: digestB}}
	dimensions := []dimension{marks, recordeds, attempts, lives, changers, rollouts, rejections, rest}
	every(t, input(), dimensions, func(t *testing.T, in decide.Input) {
		if in.Record.Torn() {
			return
		}
		for _, wait := range waits {
			d := decide.Conclude(in, wait)
			if broken := concludesBadly(in, wait, decide.ConclusionQuestions(in, wait), d); broken != "" {
				t.Fatalf("%s:\n%+v\n%+v\nis concluded as\n%+v", broken, in, wait, d)
			}
		}
	})
}

func concludesBadly(in decide.Input, wait decide.Wait, questions []decide.Question, d decide.Decision) string {
	after, content, rollout := d.Record, in.Slots[0].Live, in.Facts.Rollout
	onHold := in.Facts.Held || in.Facts.Paused || in.Slots[0].Problem != nil
	isOurs := !onHold && content.Is(wait.Digest) && content.Same(in.Record.Mark) && in.Record.State.Attempted() == wait.Digest
	_, answered := in.Answers[whyNotReady]
	restorable := in.Policy.Rollback && !in.Policy.Notify && isOurs
	_, wasRejected := in.Record.State.Rejection(annotate.Of(wait.Digest))
	_, isRejected := after.State.Rejection(annotate.Of(wait.Digest))
	switch {
	case d.Outcome == "" || d.Outcome.NeedsAttention() && d.Failure == nil:
		return "a conclusion has an outcome, and a failure a cause"
	case d.Wait != "":
		return "after the wait nothing is waited for"
	case len(questions) > 0 && (!isOurs || rollout.Settled || rollout.AwaitsDelete || wait.Interrupted),
		len(questions) > 0 && answered == (questions[0] == whyNotReady):
		return "the pods are asked once, of a rollout of ours that failed"
	case len(questions) > 0 && answered && !restorable:
		return "the registry is asked for what is to be restored"
	case d.Rolls() && rollout.Fresh > 0 && isGone(in, d.Set[0]):
		return "what the registry no longer has replaces nothing that serves (I61)"
	case !answered && len(questions) == 0 && isOurs && d.Failure != nil && d.Failure.Cause == failure.RolloutFailed:
		return "a failed rollout is explained"
	case d.Rolls() && (!restorable || rollout.Settled || wait.Interrupted || d.Set[0] == wait.Digest || !wellFormed(d.Set[0])):
		return "only what failed is replaced, and not by itself"
	case d.Rolls() && d.Set[0] != in.Record.State.Attempt.Held["0"].Digest() && d.Set[0] != in.Record.Recorded.Digest():
		return "what the slot held or what was recorded is restored (I58)"
	case d.Rolls() && (d.Outcome != decide.RolledBack || !after.Mark.Is(d.Set[0]) || !after.Recorded.Is(d.Set[0])):
		return "what is restored is marked and recorded"
	case after.Torn():
		return "what we write never looks like an undo"
	case !d.Rolls() && after.Recorded != in.Record.Recorded &&
		(!rollout.Proven() || !after.Recorded.Is(wait.Digest) || !content.Is(wait.Digest)):
		return "nothing is recorded that did not settle, or that no replica has run (I4, I56)"
	case !after.Mark.Same(in.Record.Mark) && !d.Rolls() && !after.Mark.Same(after.Recorded):
		return "the mark is what we put or accepted"
	case d.Outcome == decide.Refreshed && !rollout.Settled:
		return "refreshed is settled (I3)"
	case isRejected && !wasRejected && !in.Answers[whyNotReady].Pods.MayHangOnDigest && len(in.Answers[whyNotReady].Pods.Evidence) == 0:
		return "nothing is rejected that no pod speaks against"
	case isRejected && !wasRejected && (d.Failure == nil || wait.Joint && d.Rolls()):
		return "a rejection is loud, and after a joint failure nobody is rejected"
	case d.Skip == decide.SkipCount && !in.Unsettled.ByUs:
		return "two ticks at once count once"
	case !reflect.DeepEqual(in.Began, in.Record) && after.State.Attempt != nil && in.Record.State.Attempt != nil &&
		after.State.Attempt.Failed > max(in.Record.State.Attempt.Failed, in.Began.State.Attempt.Failed):
		return "a tick counts an attempt only where the count is what it was when its wait began (I28, I80)"
	}
	return ""
}

func wellFormed(digest image.Digest) bool {
	return digest == digestA || digest == digestB
}

// isGone says whether the registry has answered that it no longer has a digest.
func isGone(in decide.Input, digest image.Digest) bool {
	answer, asked := in.Answers[decide.Question{Kind: decide.StillServed, Digest: digest}]
	return asked && !answer.Yes
}

// After a change of the table: go test ./internal/decide -run Combination -update-docs
var update = flag.Bool("update-docs", false, "draw the diagram in the documentation anew")

const page = "../../docs/how-a-tick-decides.md"

// The list of rows in the documentation is the table, row by row.
func TestTheDocumentedTableIsTheTable(t *testing.T) {
	t.Parallel()
	_, documented, _ := cut(t, "<!-- table: checked by internal/decide -->\n", "<!-- /table -->")
	var want strings.Builder
	for _, row := range decide.Table() {
		fmt.Fprintf(&want, "%s. %s\n", row.Label, row.Name)
	}
	assert.Equal(t, want.String(), documented)
}

// cut returns what stands between two marks in the documentation, with all that is before and after it.
func cut(t *testing.T, begin, end string) (before, between, after string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found, begin)
	between, after, found = strings.Cut(rest, end)
	require.True(t, found, end)
	return before + begin, between, end + after
}

// outcomesByRow collects which outcomes a row has decided.
type outcomesByRow [14][len(order)]atomic.Bool

// order is the order in which outcomes are shown: the good first, the loud last.
var order = [...]decide.Outcome{
	decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Pending, decide.Held, decide.Deferred,
	decide.Waiting, decide.Skipped, decide.Rejected, decide.RolledBack, decide.Failed,
}

func (o *outcomesByRow) add(d decide.Decision) {
	if seen := &o[d.Row][slices.Index(order[:], d.Outcome)]; !seen.Load() {
		seen.Store(true)
	}
}

// diagram draws the table with what its rows have decided.
func (o *outcomesByRow) diagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nflowchart TD\n")
	table := decide.Table()
	for i, row := range table {
		var outcomes []string
		for at := range order {
			if o[row.Number][at].Load() {
				outcomes = append(outcomes, string(order[at]))
			}
		}
		fmt.Fprintf(&b, "  r%s[\"%s. %s\"] -- yes --> o%s([\"%s\"])\n", row.Label, row.Label, row.Name, row.Label, strings.Join(outcomes, "<br/>"))
		if i+1 < len(table) {
			fmt.Fprintf(&b, "  r%s -- no --> r%s\n", row.Label, table[i+1].Label)
		}
	}
	return b.String() + "```\n"
}

// requireDiagram holds the diagram in the documentation against what every combination of inputs was decided as.
func requireDiagram(t *testing.T, seen *outcomesByRow) {
	t.Helper()
	before, drawn, after := cut(t, "<!-- diagram: drawn by internal/decide -->\n", "<!-- /diagram -->")
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+seen.diagram()+after), 0o600))
		return
	}
	assert.Equal(t, seen.diagram(), drawn, "the diagram is stale: go test ./internal/decide -run Combination -update-docs")
}
