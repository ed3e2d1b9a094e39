package decide_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

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
	w := decide.Workload{Object: decide.Object{Namespace: "ns", Labels: map[string]string{}, Annotations: map[string]string{}, Rollout: input().Facts.Rollout}}
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
			{"mark", keys.Mark(name)}, {"recorded", keys.Recorded(name)}, {"failures", keys.Failures(name)}, {"error", keys.LastError(name)}, {"state", keys.State(name)},
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
