package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// homes are what is remembered once for a target, by its name, and in which namespace that stands.
type homes map[string][]home

type home struct {
	namespace string
	annotate.TargetCounters
}

func homesOf(facts Facts) homes {
	all := homes{}
	for _, w := range facts.Workloads {
		for _, target := range facts.Keys.Counting(w.Annotations) {
			counters, _ := facts.Keys.ReadCounters(target, w.Annotations)
			all[target] = append(all[target], home{w.Namespace, counters})
		}
	}
	return all
}

// of finds what is remembered of a target: in the namespace of its workload, or else in the one other namespace where something
// is. Several installations may have targets of one name.
func (h homes) of(target, namespace string) annotate.TargetCounters {
	for _, home := range h[target] {
		if home.namespace == namespace {
			return home.TargetCounters
		}
	}
	if len(h[target]) == 1 {
		return h[target][0].TargetCounters
	}
	return annotate.TargetCounters{}
}

// said is what stands on a workload about a target, and on the target's home.
type said struct {
	workload.Labelled
	keys     annotate.Keys
	runbook  failure.Runbook
	target   string
	record   annotate.Record
	counters annotate.TargetCounters
}

// lines are what a workload's labels and annotations say, a target each.
func lines(facts Facts, w workload.Labelled, homes homes) []Workload {
	keys := facts.Keys
	condition := annotate.Condition(w.Labels[keys.Condition()])
	var all []Workload
	explained := false
	for _, target := range keys.Targets(w.Labels) {
		s := said{Labelled: w, keys: keys, runbook: facts.Runbook, target: target, counters: homes.of(target, w.Namespace)}
		s.record, _ = keys.Read(target, w.Labels, w.Annotations)
		line := Workload{
			Target: target, Kind: string(w.Kind), Namespace: w.Namespace, Name: w.Name, Live: live(s.record), Build: s.record.BuildOf(s.record.Mark), Recorded: string(s.record.Recorded),
			condition: condition, since: s.counters.FailingSince,
		}
		line.Cause, line.Message = s.why(condition)
		line.shared = condition == annotate.OK || condition == annotate.Failing && s.counters.LastError != ""
		explained = explained || line.Message.Text != ""
		all = append(all, line)
	}
	if len(all) == 0 {
		all = append(all, Workload{Kind: string(w.Kind), Namespace: w.Namespace, Name: w.Name, condition: condition})
	}
	for i := range all {
		line := &all[i]
		quiet := line.Message.Text == ""
		if explained && quiet { // the label says how the worst of them is
			line.condition = annotate.OK
		}
		if line.condition == annotate.Held || line.condition == annotate.OK && quiet {
			line.since = time.Time{}
		}
		line.State, line.Since = failure.Clean(string(line.condition)), annotate.FormatTime(line.since)
	}
	return all
}

// live is what a slot holds as far as its digits are known: a label has room for the first forty.
func live(record annotate.Record) string {
	switch {
	case record.Mark.Same(record.Recorded):
		return string(record.Recorded)
	case record.Mark.Is(record.State.Attempted()):
		return string(record.State.Attempted())
	case record.Mark == annotate.Unpinned:
		return string(record.Mark)
	}
	return "sha256:" + string(record.Mark)
}

// why says why the target is as the label of its workload says, and what to do; nothing where the annotations do not tell.
func (s said) why(condition annotate.Condition) (failure.Cause, result.Message) {
	cause, text, fix := failure.None, "", ""
	switch condition {
	case annotate.OK:
		if s.counters.Failures > 0 {
			text = "it has not been resolved for " + result.Counted(s.counters.Failures, "tick")
		}
	case annotate.Held:
		text, fix = s.held()
	case annotate.Waiting:
		text, fix = s.waits()
	case annotate.Rejected:
		if failed, found := s.newest(annotate.ByFailure); found {
			cause, text, fix = failure.RolloutFailed, s.named(failed.Digest)+" is rejected: "+failure.Clean(failed.Why), s.again()
		}
	case annotate.Failing:
		cause, text, fix = s.fails()
	}
	return cause, result.Message{Text: text, Fix: fix, See: s.runbook.Of(cause)}
}

func (s said) held() (text, fix string) {
	if s.Labels[s.keys.Hold()] == "true" {
		return "a person holds it", "to release it: " + s.kubectl("label", s.keys.Hold())
	}
	if person, found := s.newest(annotate.ByPerson); found {
		return s.named(person.Digest) + " was rejected by a person (" + failure.Clean(person.Why) + ")", s.again()
	}
	return "", ""
}

func (s said) waits() (text, fix string) {
	state := s.record.State
	switch {
	case state.TurnSince != nil:
		return "it waits for its turn (MAX_ROLLOUTS) since " + annotate.FormatTime(*state.TurnSince), ""
	case state.Attempt != nil && s.record.Mark.Is(state.Attempt.Digest):
		return s.named(annotate.Of(state.Attempt.Digest)) + " is being rolled out", ""
	case state.Seen != nil && !state.Seen.Deferred.IsZero():
		return state.Seen.Digest.Short() + " waits to be old enough since " + annotate.FormatTime(state.Seen.Deferred), ""
	case state.Approved != "":
		return s.named(annotate.Of(state.Approved)) + " is approved by a person, and not rolled out yet", ""
	case state.Passed != "":
		return s.named(annotate.Of(state.Passed)) + " waits for a person", s.ToApprove(s.keys, state.Passed)
	}
	return s.unsettled(), ""
}

// named is a digest with the build that it is, if that is known.
func (s said) named(digest annotate.Content) string {
	return s.record.BuildOf(digest).Beside(digest.Short())
}

func (s said) fails() (cause failure.Cause, text, fix string) {
	state := s.record.State
	switch {
	case s.counters.LastError != "":
		return lastError(s.counters.LastError)
	case state.Contested:
		return failure.Contested, "somebody else reverts the digest", ""
	case state.Attempt != nil && state.Attempt.Failed > 0:
		return failure.RolloutFailed, result.Counted(state.Attempt.Failed, "rollout") + " of " + s.named(annotate.Of(state.Attempt.Digest)) + " failed", ""
	}
	if text = s.unsettled(); text != "" {
		return failure.NotSettled, text, ""
	}
	return failure.None, "", ""
}

// unsettled says for how long the workload has not been settled; empty where it is.
func (s said) unsettled() string {
	streak, _ := annotate.ParseCount(s.Annotations[s.keys.SkipStreak()])
	if streak == 0 {
		return ""
	}
	return "it has not been settled for " + result.Counted(streak, "tick")
}

// newest is the last digest that was rejected by somebody.
func (s said) newest(by annotate.Rejecter) (annotate.Rejection, bool) {
	for _, rejection := range slices.Backward(s.record.State.Rejected) {
		if rejection.By == by {
			return rejection, true
		}
	}
	return annotate.Rejection{}, false
}

// lastError takes the annotation apart: it is foreign text, as anybody may have written it.
func lastError(text string) (cause failure.Cause, sentence, fix string) {
	before, rest, _ := strings.Cut(text, ": ")
	if cause = failure.Cause(before); !slices.Contains(failure.Causes(), cause) {
		return failure.None, failure.Clean(text), ""
	}
	if at := strings.LastIndex(rest, " (see "); at >= 0 { // to the runbook of the version that wrote it
		rest = rest[:at]
	}
	sentence, fix, _ = strings.Cut(rest, "; ")
	return cause, failure.Clean(sentence), failure.Clean(fix)
}

// kubectl is the command that removes a key from the workload.
func (s said) kubectl(verb, key string) string {
	return fmt.Sprintf("kubectl %s %s %s-", verb, s.Kubectl(), key)
}

// again is how a digest that was rejected is tried again.
func (s said) again() string {
	return "to have it tried again: " + s.kubectl("annotate", s.keys.State(s.target))
}
