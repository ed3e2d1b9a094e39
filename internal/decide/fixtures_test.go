package decide_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/window"
)

// The digests of the tables: A is what runs, B is latest, C and D are others.
var (
	digestA    = image.Digest("sha256:" + strings.Repeat("a", 64))
	digestB    = image.Digest("sha256:" + strings.Repeat("b", 64))
	digestC    = image.Digest("sha256:" + strings.Repeat("c", 64))
	digestD    = image.Digest("sha256:" + strings.Repeat("d", 64))
	a, b, c, d = annotate.Of(digestA), annotate.Of(digestB), annotate.Of(digestC), annotate.Of(digestD)
)

const (
	none, tag           = annotate.None, annotate.Unpinned // what a slot holds, beside a digest
	byFailure, byPerson = annotate.ByFailure, annotate.ByPerson
)

var (
	earlier = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	now     = earlier.Add(time.Minute)
)

// input is one valid input, which the rows of the tables change in one respect each: A is live, marked and
// recorded, everything is settled, and the tag has moved to B, which may be rolled out. The tick has read the record as
// it is, unless a change says what it read.
func input(changes ...func(*decide.Input)) decide.Input {
	in := decide.Input{
		Policy:    decide.Policy{RolloutFailures: 3, Unsettled: 8, Reapplications: 3, Rollback: true},
		Now:       now,
		Latest:    decide.Latest{Digest: digestB},
		Answers:   mayRollOut(digestB, nil),
		Unsettled: decide.Count{N: 1, Of: 8, ByUs: true},
		Facts:     decide.Facts{Rollout: decide.Rollout{Settled: true, Fresh: 2, Available: 2, Desired: 2}, Targets: []string{"api", "web"}},
		Slots:     slotsOf(a),
		Record:    annotate.Record{Mark: a, Recorded: a},
	}
	for _, change := range changes {
		change(&in)
	}
	if reflect.DeepEqual(in.Began, annotate.Record{}) {
		in.Began = in.Record
	}
	return in
}

// mayRollOut are the answers in which the gates were asked about a digest.
func mayRollOut(digest image.Digest, no *failure.Error) decide.Answers {
	return decide.Answers{{Kind: decide.MayRollOut, Digest: digest}: {Failure: no}}
}

// slotsOf are slots with these contents, named by their place.
func slotsOf(contents ...annotate.Content) []decide.Slot {
	slots := make([]decide.Slot, 0, len(contents))
	for at, content := range contents {
		slots = append(slots, decide.Slot{Key: fmt.Sprint(at), Live: content})
	}
	return slots
}

// heldBy is what slots hold, as an attempt remembers it.
func heldBy(slots []decide.Slot) map[string]annotate.Content {
	held := map[string]annotate.Content{}
	for _, slot := range slots {
		held[slot.Key] = slot.Live
	}
	return held
}

// relabelled says that somebody else has written the mark.
func relabelled(by decide.Writer) func(*decide.Input) {
	return func(in *decide.Input) { in.Writers.Mark, in.Writers.RecordIsOurs = by, in.Record.Mark != none }
}

func live(contents ...annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Slots = slotsOf(contents...) }
}

func slots(slots ...decide.Slot) func(*decide.Input) {
	return func(in *decide.Input) { in.Slots = slots }
}

func problem(cause failure.Cause) decide.Slot {
	return decide.Slot{Problem: &failure.Error{Cause: cause, Message: "the " + string(cause)}}
}

// all makes several changes of an input one.
func all(changes ...func(*decide.Input)) func(*decide.Input) {
	return func(in *decide.Input) {
		for _, change := range changes {
			change(in)
		}
	}
}

// leftEmpty says that these slots are empty, and to be left so.
func leftEmpty(places ...int) func(*decide.Input) {
	return func(in *decide.Input) {
		for _, at := range places {
			in.Slots[at].Left = true
		}
	}
}

func latest(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Latest, in.Answers = decide.Latest{Digest: content.Digest()}, mayRollOut(content.Digest(), nil)
	}
}

func unknown(in *decide.Input) {
	in.Latest = decide.Latest{Failure: &failure.Error{Cause: failure.Proxy, Message: "the proxy refused ghcr.io"}}
	in.Answers = nil
}

func setRollout(rollout decide.Rollout) func(*decide.Input) {
	return func(in *decide.Input) { in.Facts.Rollout = rollout }
}

func unsettled(in *decide.Input) {
	setRollout(decide.Rollout{Fresh: 1, Available: 1})(in)
}

func awaitsDelete(in *decide.Input) {
	setRollout(decide.Rollout{AwaitsDelete: true, Available: 2})(in)
}

// noReplica is a workload that is settled because nothing runs.
func noReplica(in *decide.Input) {
	setRollout(decide.Rollout{Settled: true, NoReplica: true})(in)
}

// streak is so many ticks in a row, before this one, in which the workload was not settled.
func streak(n int) func(*decide.Input) {
	return func(in *decide.Input) { in.Unsettled = decide.Count{N: n + 1, Of: in.Policy.Unsettled, ByUs: true} }
}

// lostStreak is as many, of which another tick has counted the last since this one began.
func lostStreak(n int) func(*decide.Input) {
	return func(in *decide.Input) { in.Unsettled = decide.Count{N: n, Of: in.Policy.Unsettled} }
}

func unasked(in *decide.Input) { in.Answers = nil }

func gateSaysNo(in *decide.Input) {
	no := &failure.Error{Cause: failure.PlatformMissing, Message: "linux/arm64"}
	answered(decide.Question{Kind: decide.MayRollOut, Digest: in.Latest.Digest}, decide.Answer{Failure: no})(in)
}

// answered adds an answer to those that there are.
func answered(question decide.Question, answer decide.Answer) func(*decide.Input) {
	return func(in *decide.Input) { in.Answers = in.Answers.With(question, answer) }
}

// isServed says whether the registry still has a digest.
func isServed(content annotate.Content, yes bool) func(*decide.Input) {
	return answered(decide.Question{Kind: decide.StillServed, Digest: content.Digest()}, decide.Answer{Yes: yes})
}

func young(in *decide.Input) { in.Policy.MinAge = time.Hour }

// closed is a window that opens in an hour.
func closed(in *decide.Input) {
	in.Policy.Window = &window.Window{
		Days: []time.Weekday{time.Sunday, time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday},
		From: sinceMidnight(now.Add(time.Hour)), To: sinceMidnight(now.Add(2 * time.Hour)), Zone: time.UTC,
	}
}

// opened is a window that is open.
func opened(in *decide.Input) {
	closed(in)
	in.Policy.Window.From = sinceMidnight(now)
}

func sinceMidnight(at time.Time) time.Duration {
	return at.UTC().Sub(at.UTC().Truncate(24 * time.Hour)).Truncate(time.Minute)
}

func notify(in *decide.Input) { in.Policy.Notify = true }

// approve and skip are labels that name a digest, which is not latest where it is stray.
func approve(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Approve = labelled(in, keys.Approve(), content) }
}

func skip(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Skip = labelled(in, keys.Skip(), content) }
}

func labelled(in *decide.Input, key string, content annotate.Content) decide.Label {
	return decide.Label{Key: key, Digits: annotate.DigitsOf(content.Digest()), By: "kubectl", Stray: !content.Is(in.Latest.Digest)}
}

// approved says that an earlier tick has heeded the label.
func approved(in *decide.Input) { in.Record.State.Approved = digestB }

func held(in *decide.Input)   { in.Facts.Held = true }
func paused(in *decide.Input) { in.Facts.Paused = true }

func record(mark, recorded annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Mark, in.Record.Recorded = mark, recorded }
}

func noRecord(in *decide.Input) { in.Record = annotate.Record{} }

func mark(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Mark = content }
}

// saw says what was latest in the tick before.
func saw(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.State.Stood = content }
}

// inVain says that the digest was put there to unblock the workload.
func inVain(content annotate.Content) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.State.UnblockFailed = content.Digest() }
}

// waitsForTurn is how it is where MAX_ROLLOUTS has left the workload no place so far.
func waitsForTurn(in *decide.Input) { in.Record.State.TurnSince = &earlier }

func attempted(content annotate.Content, failed int) func(*decide.Input) {
	return attempt(annotate.Attempt{Digest: content.Digest(), Failed: failed})
}

func attempt(attempt annotate.Attempt) func(*decide.Input) {
	return func(in *decide.Input) {
		own := attempt
		in.Record.State.Attempt = &own
	}
}

// ours is how it is between a refresh to B and its record: B is live and marked, A recorded and held before.
func ours(failed int) func(*decide.Input) {
	return func(in *decide.Input) {
		live(b)(in)
		unsettled(in)
		in.Record = annotate.Record{Mark: b, Recorded: a, State: annotate.State{
			Attempt: &annotate.Attempt{Digest: digestB, Failed: failed, Served: 2, Wanted: 2, Fresh: 1, Held: heldBy(slotsOf(a))},
			Left:    a,
		}}
	}
}

func rejected(content annotate.Content, by annotate.Rejecter) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Record.State = in.Record.State.Reject(annotate.Rejection{Digest: content, By: by, Why: "because", At: earlier})
	}
}

var failedB, thrownOutB, helm = rejected(b, byFailure), rejected(b, byPerson), deployer("helm")

// reapplied says how often the digest was put back, how long ago that was last, and whether it is contested.
func reapplied(count int, ago time.Duration, contested bool) func(*decide.Input) {
	return func(in *decide.Input) {
		at := now.Add(-ago)
		in.Record.State.Reapplied, in.Record.State.ReappliedAt, in.Record.State.Contested = count, &at, contested
	}
}

// person says that a person claims every slot.
func person(in *decide.Input) {
	for i := range in.Slots {
		in.Slots[i].Person = "kubectl"
	}
}

// deployer says that a deployer does, by this field manager.
func deployer(manager string) func(*decide.Input) {
	return func(in *decide.Input) {
		for i := range in.Slots {
			in.Slots[i].Deployer = manager
		}
	}
}

// weOwn says that our patch still owns every slot.
func weOwn(in *decide.Input) {
	for i := range in.Slots {
		in.Slots[i].Ours = true
	}
}

var keys = annotate.NewKeys("p")

// rules are those of a tick without a limit.
var rules = decide.Tick{Keys: keys, Now: now}

// targets are so many targets, named t0 and on, each of which B is latest of.
func targets(n int) []decide.Target {
	all := make([]decide.Target, 0, n)
	for at := range n {
		all = append(all, decide.Target{
			Name: fmt.Sprint("t", at), Policy: input().Policy, Threshold: 3, Asked: true, Digest: digestB,
		})
	}
	return all
}

// carrying is a settled workload that carries a target for each input, as the inputs say; their slots are named by the
// target. The counters of all targets stand here, and the tick has read what is there now.
func carrying(inputs ...decide.Input) decide.Workload { return carryingFrom(0, inputs...) }

// carryingFrom is the same for targets from this one on.
func carryingFrom(first int, inputs ...decide.Input) decide.Workload {
	w := decide.Workload{Object: decide.Object{Namespace: "ns", Labels: map[string]string{}, Annotations: map[string]string{}}}
	for at, in := range inputs {
		w.Bindings = append(w.Bindings, decide.Binding{Target: first + at, Latest: in.Latest, Answers: in.Answers})
		w.Homes = append(w.Homes, decide.Home{Target: first + at})
		slots := slices.Clone(in.Slots)
		for i := range slots {
			slots[i].Key = fmt.Sprintf("%d.%d", at, i)
		}
		w.Object.Slots = append(w.Object.Slots, slots)
		w.Object.Rollout, w.Object.Paused = in.Facts.Rollout, in.Facts.Paused
		if in.Facts.Held {
			w.Object.Labels[keys.Hold()] = "true"
		}
		remember(w, at, in.Record)
	}
	return begun(w)
}

// remember writes a record where it stands.
func remember(w decide.Workload, binding int, record annotate.Record) {
	name := fmt.Sprint("t", w.Bindings[binding].Target)
	put := func(values map[string]string, key, value string) {
		delete(values, key)
		if value != "" {
			values[key] = value
		}
	}
	put(w.Object.Labels, keys.Mark(name), record.Mark.Mark())
	put(w.Object.Annotations, keys.Recorded(name), string(record.Recorded))
	put(w.Object.Annotations, keys.State(name), record.State.String())
}

// counting is the workload with these counters: the skip streak, and the failures in a row of its targets.
func counting(w decide.Workload, skipped int, failures ...int) decide.Workload {
	w.Object.Annotations = maps.Clone(w.Object.Annotations)
	w.Object.Annotations[keys.SkipStreak()] = annotate.FormatCount(skipped)
	for at, n := range failures {
		w.Object.Annotations[keys.Failures(fmt.Sprint("t", at))] = annotate.FormatCount(n)
	}
	return w
}

// begun is the workload as a tick that begins now reads it.
func begun(w decide.Workload) decide.Workload {
	w.Began = rules.Remember(w, targets(9))
	return w
}

// written is the workload as a step leaves it: slots, labels and annotations.
func written(w decide.Workload, change decide.Change) decide.Workload {
	w.Object.Labels, w.Object.Annotations = maps.Clone(w.Object.Labels), maps.Clone(w.Object.Annotations)
	put := func(stored, values map[string]string) {
		for key, value := range values {
			stored[key] = value
			if value == "" {
				delete(stored, key)
			}
		}
	}
	put(w.Object.Labels, change.Labels)
	put(w.Object.Annotations, change.Annotations)
	slots := make([][]decide.Slot, 0, len(w.Object.Slots))
	for _, of := range w.Object.Slots {
		slots = append(slots, slices.Clone(of))
	}
	for _, slot := range change.Slots {
		slots[slot.Binding][slot.Slot].Live = annotate.Of(slot.Digest)
	}
	w.Object.Slots = slots
	return w
}

// rolling is the workload with its rollout as far as that.
func rolling(w decide.Workload, rollout decide.Rollout) decide.Workload {
	w.Object.Rollout = rollout
	return w
}

// recordOf is what a workload remembers of a binding.
func recordOf(w decide.Workload, binding int) annotate.Record {
	return rules.Remember(w, targets(9)).Records[binding]
}

// planned is the only step of a plan for one workload.
func planned(t *testing.T, w decide.Workload, of []decide.Target) decide.Step {
	t.Helper()
	for _, questions := range rules.Questions(w, of) {
		assert.Empty(t, questions, "all is answered")
	}
	_, steps := rules.Plan(of, []*decide.Workload{&w})
	return *steps[0]
}

func outcomes(decisions []decide.Decision) (all []decide.Outcome) {
	for _, d := range decisions {
		all = append(all, d.Outcome)
	}
	return all
}

func puts(change decide.Change) string {
	var all []string
	for _, slot := range change.Slots {
		all = append(all, fmt.Sprintf("%d.%d=%s", slot.Binding, slot.Slot, letter(annotate.Of(slot.Digest))))
	}
	return strings.Join(all, " ")
}

// told is what a step does, in words: the outcomes, what goes into which slot of which binding, what is written by its key, and
// the Events.
func told(step decide.Step) string {
	words := []string{strings.Trim(strings.ReplaceAll(fmt.Sprint(outcomes(step.Decisions)), " ", ","), "[]")}
	if len(step.Change.Slots) > 0 {
		words = append(words, puts(step.Change))
	}
	for at := range 3 {
		name := fmt.Sprint("t", at)
		for _, key := range [][2]string{
			{"mark", keys.Mark(name)}, {"recorded", keys.Recorded(name)}, {"failures", keys.Failures(name)},
			{"error", keys.LastError(name)}, {"state", keys.State(name)},
		} {
			values := step.Change.Annotations
			if key[0] == "mark" {
				values = step.Change.Labels
			}
			value, changes := values[key[1]]
			switch {
			case !changes:
				continue
			case key[0] == "mark":
				value, _, _ = strings.Cut(value, ".")
				value = letter(annotate.Content(value))
			case key[0] == "recorded":
				value = letter(annotate.Content(value))
			case key[0] == "error":
				value, _, _ = strings.Cut(value, ":")
			case value != "" && key[0] == "state":
				value = "set"
			}
			words = append(words, key[0]+":"+name+"="+value)
		}
	}
	if streak, changes := step.Change.Annotations[keys.SkipStreak()]; changes {
		words = append(words, "streak="+streak)
	}
	for _, event := range step.Events {
		words = append(words, fmt.Sprintf("event:t%d=%s", event.Target, event.Event.Reason))
	}
	if !step.Turn {
		words = append(words, "no turn")
	}
	return strings.Join(words, " ")
}

// failing is why a target is not resolved.
var failing = &failure.Error{Cause: failure.Proxy, Message: "the proxy refused ghcr.io"}
