package modelcheck

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/image"
)

// breachStates are enough to notice each breach.
const breachStates = 100_000

// A breach is a rule broken on purpose, by a wrapper around the product's functions.
type breach struct {
	name   string
	in     scenario
	finds  string // part of the invariant that notices
	breaks func(*product)
}

// asks changes what the product is asked about a workload.
func asks(change func(*decide.Workload)) func(*product) {
	return wraps(change, func(decide.Workload, *decide.Step) {})
}

// says changes what the product answers.
func says(change func(*decide.Step)) func(*product) {
	return wraps(ask, func(_ decide.Workload, step *decide.Step) { change(step) })
}

// ask leaves a question as it is.
func ask(*decide.Workload) {}

func wraps(before func(*decide.Workload), after func(decide.Workload, *decide.Step)) func(*product) {
	return func(p *product) {
		whole := *p
		p.plan = func(t decide.Tick, targets []decide.Target, workloads []*decide.Workload) ([]decide.Target, []*decide.Step) {
			for _, w := range workloads {
				before(w)
			}
			targets, steps := whole.plan(t, targets, workloads)
			for at, step := range steps {
				after(*workloads[at], step)
			}
			return targets, steps
		}
		p.again = func(t decide.Tick, targets []decide.Target, w decide.Workload, turn bool) decide.Step {
			before(&w)
			step := whole.again(t, targets, w, turn)
			after(w, &step)
			return step
		}
		p.conclude = func(t decide.Tick, w decide.Workload, targets []decide.Target, waits decide.Waits, decisions []decide.Decision) decide.Step {
			before(&w)
			step := whole.conclude(t, w, targets, waits, decisions)
			after(w, &step)
			return step
		}
	}
}

// configured changes what the configuration says.
func configured(change func(*decide.Policy)) func(*product) {
	return func(p *product) { p.configured = change }
}

// remembering changes the state that the product is shown.
func remembering(change func(*annotate.State)) func(*decide.Workload) {
	return func(w *decide.Workload) {
		annotations := map[string]string{}
		for key, text := range w.Object.Annotations {
			if strings.HasSuffix(key, "-refresh-state") {
				read, _ := annotate.ParseState(text)
				change(&read)
				text = read.String()
			}
			annotations[key] = text
		}
		w.Object.Annotations = annotations
		for i := range w.Began.Records {
			change(&w.Began.Records[i].State)
		}
	}
}

// answersTo changes what was answered to questions of a kind.
func answersTo(kind decide.QuestionKind, change func(*decide.Answer, decide.Workload)) func(*decide.Workload) {
	return func(w *decide.Workload) {
		for i := range w.Bindings {
			for question, answer := range w.Bindings[i].Answers {
				if question.Kind == kind {
					change(&answer, *w)
					w.Bindings[i].Answers = w.Bindings[i].Answers.With(question, answer)
				}
			}
		}
	}
}

// answered gives the product an answer to a question about the first target.
func answered(w *decide.Workload, question decide.Question, answer decide.Answer) {
	w.Bindings = slices.Clone(w.Bindings)
	w.Bindings[0].Answers = w.Bindings[0].Answers.With(question, answer)
}

func remembered(w decide.Workload) decide.Memory {
	return decide.Tick{Keys: keys}.Remember(w, []decide.Target{{Name: names[0]}})
}

// without leaves something out of what is written.
func without(key string) func(*decide.Step) {
	return func(step *decide.Step) {
		delete(step.Change.Labels, key)
		delete(step.Change.Annotations, key)
	}
}

// where makes a change where the decision on the first target is such.
func where(is func(decide.Decision) bool, change func(*decide.Step)) func(*decide.Step) {
	return func(step *decide.Step) {
		if is(step.Decisions[0]) {
			change(step)
		}
	}
}

func row(number int) func(decide.Decision) bool {
	return func(d decide.Decision) bool { return d.Row == number }
}

func concluded(as ...decide.Outcome) func(decide.Decision) bool {
	return func(d decide.Decision) bool { return d.Row == 0 && slices.Contains(as, d.Outcome) }
}

// isCalled changes an outcome.
func isCalled(outcome decide.Outcome) func(*decide.Step) {
	return func(step *decide.Step) { step.Decisions[0].Outcome = outcome }
}

// withAttempt changes what is remembered of an attempt.
func withAttempt(change func(*annotate.Attempt)) func(*decide.Workload) {
	return remembering(func(s *annotate.State) {
		if s.Attempt != nil {
			attempt := *s.Attempt
			change(&attempt)
			s.Attempt = &attempt
		}
	})
}

// counts is the end of a wait that began with what is there at its end.
func counts(t decide.Tick, before decide.Workload, targets []decide.Target, waits decide.Waits) decide.Waits {
	return t.Waits(before, targets, []decide.Decision{{Wait: waits.Of[0].Digest, Failure: waits.Of[0].Contested}})
}

// One rule after the other is broken, and the checker notices by the invariant that is there for it.
func TestBrokenRules(t *testing.T) {
	t.Parallel()
	simple := scenario{shape: one(1), chart: unpinned, may: budget{tags: 1, registry: 1, manual: 1, deploys: 1, holds: 1}}
	overlap := scenario{shape: one(2), chart: unpinned, may: budget{tags: 2, registry: 1}}
	broken := scenario{shape: one(2), chart: 1, may: budget{breaks: 1}}
	failing := scenario{shape: one(1).recreating(), chart: 1, may: budget{tags: 1}}
	slots := scenario{shape: twoSlots(1), chart: 1, may: budget{tags: 1, deploys: 1}}
	aDay := scenario{shape: wholeTicks().recreating(), chart: 1, may: budget{tags: 1, leaps: 3}}
	down := scenario{shape: shape{workloads: 1, targets: 1, slots: 1, parallel: 1, ticks: 8}, chart: 1, may: budget{tags: 1, registry: 1}}
	bare := scenario{shape: one(1).saying(), gates: true, chart: unpinned, may: budget{tags: 1, registry: 1, starts: 1}}
	turns := scenario{shape: inTurns(), chart: 1, may: budget{tags: 4}}
	purging := scenario{shape: one(1), chart: 1, may: budget{tags: 1, purges: 1}}
	meddling := scenario{shape: one(1), chart: 1, may: budget{tags: 1, others: 2}}
	scaling := scenario{shape: one(1), chart: 1, may: budget{tags: 1, scales: 2}}
	refusing := scenario{shape: wholeTicks().refusing(2).settling(), gates: true, chart: 2, may: budget{tags: 4, deploys: 2}}
	young := scenario{shape: wholeTicks().aging(2).settling(), chart: 1, may: budget{tags: 7}}
	windowed := scenario{shape: one(1).windowed(), chart: 1, may: budget{tags: 1, windows: 1}}
	youngAtNight := scenario{shape: wholeTicks().windowed().aging(2).settling(), chart: 1, may: budget{tags: 2, windows: 2}}
	approving := scenario{shape: one(1).notifying().windowed(), chart: 1, may: budget{tags: 1, approves: 1, windows: 1, deploys: 1}}
	skipping := scenario{shape: one(1), chart: 1, may: budget{tags: 1, skips: 1}}
	contest := scenario{shape: wholeTicks().settling(), chart: 1, may: budget{tags: 1, deploys: 8}}
	recorded, stored, mark, failures := keys.Recorded(names[0]), keys.State(names[0]), keys.Mark(names[0]), keys.Failures(names[0])
	isLatest := func(w decide.Workload) bool { return w.Object.Slots[0][0].Live.Is(w.Bindings[0].Latest.Digest) }
	sets := func(change func(*decide.Step)) func(*decide.Step) {
		return func(step *decide.Step) {
			if len(step.Change.Slots) > 0 {
				change(step)
			}
		}
	}
	for _, rule := range []breach{
		{"resolve failures are never counted, I1", down, "(a) green is", says(func(step *decide.Step) {
			without(failures)(step)
			step.Failures = nil
		})},
		{"the same, in the long run", simple, "(e) the registry is down", says(without(failures))},
		{"unsettled ticks are never counted, I11", simple, "(e) rollouts hang", says(without(keys.SkipStreak()))},
		{"settled ticks are counted as unsettled", simple, "only an unsettled tick", says(func(step *decide.Step) {
			step.Change.Annotations[keys.SkipStreak()] = "1"
		})},
		{"recorded before it has settled, I4", simple, "(c) nothing is recorded", says(sets(func(step *decide.Step) {
			step.Change.Annotations[recorded] = string(step.Change.Slots[0].Digest)
		}))},
		{"no look at the rollout once live is latest, I3", simple, "unchanged is fresh", asks(func(w *decide.Workload) {
			w.Object.Rollout.Settled = w.Object.Rollout.Settled || isLatest(*w)
		})},
		{"what fails is called refreshed", simple, "(c) refreshed is settled",
			says(where(concluded(decide.Failed, decide.RolledBack), isCalled(decide.Refreshed)))},
		{"what waits is called unchanged", simple, "unchanged is fresh", says(where(row(10), isCalled(decide.Unchanged)))},
		{"a mark is not set right", simple, "unchanged is marked", says(where(row(8), without(mark)))},
		{"a write that changes nothing that counts", simple, "(d) tick", wraps(ask, func(w decide.Workload, step *decide.Step) {
			if step.Decisions[0].Outcome == decide.Unchanged {
				step.Change.Annotations["p/noise"] = map[string]string{"": "1", "1": "2", "2": "1"}[w.Object.Annotations["p/noise"]]
			}
		})},
		{"a manual change not told from a deployer's, I9", simple, "a person's choice wins", asks(func(w *decide.Workload) {
			w.Object.Slots[0][0].Person = ""
		})},
		{"rejections are forgotten, I13", failing, "what is rejected", asks(remembering(func(s *annotate.State) { s.Rejected = nil }))},
		{"what stands for a rejected digest is left away, Q4", simple, "is put back where latest is rejected", says(func(step *decide.Step) {
			if d := step.Decisions[0]; d.Row > 9 && d.Outcome == decide.Rejected {
				step.Decisions[0] = decide.Decision{Row: 9, Outcome: decide.Rejected, Failure: d.Failure}
				step.Change = decide.Change{}
			}
		})},
		{"another digest than latest", simple, "only latest", says(sets(func(step *decide.Step) { step.Change.Slots[0].Digest = digestOf[novel] }))},
		{"a hold that is not looked at", simple, "held workload", asks(func(w *decide.Workload) {
			w.Object.Labels = maps.Clone(w.Object.Labels)
			delete(w.Object.Labels, keys.Hold())
		})},
		{"a patch without its mark, I35", simple, "mark and intent", says(sets(without(mark)))},
		{"an attempt that is forgotten when it fails", simple, "look like an undo", says(where(concluded(decide.Failed), func(step *decide.Step) {
			step.Change.Annotations[stored] = ""
		}))},
		{"attempts without a bound", simple, "counts have a bound", says(func(step *decide.Step) {
			if text := step.Change.Annotations[stored]; text != "" {
				step.Change.Annotations[stored] = strings.Replace(text, `"failed":1`, `"failed":9`, 1)
			}
		})},
		{"two ticks count resolve failures twice, I28 I80", overlap, "count once", asks(func(w *decide.Workload) {
			w.Began.Failures = remembered(*w).Failures
		})},
		{"two ticks count unsettled ticks twice, I28 I80", broken, "count once", asks(func(w *decide.Workload) {
			w.Began.Skipped = remembered(*w).Skipped
		})},
		{"two ticks count attempts twice, I28 I80", overlap, "count once", func(p *product) {
			p.conclude = func(t decide.Tick, w decide.Workload, targets []decide.Target, waits decide.Waits, before []decide.Decision) decide.Step {
				return t.Conclude(w, targets, counts(t, w, targets, waits), before)
			}
		}},
		{"an older answer of the registry wins, I28", overlap, "(b) one rollout", asks(func(w *decide.Workload) {
			w.Began.Records = remembered(*w).Records
		})},
		{"a restoration puts recorded everywhere, I58", slots, "what it held before",
			asks(withAttempt(func(attempt *annotate.Attempt) { attempt.Held = nil }))},
		{"a restoration does not ask the registry, I61", purging, "no longer have",
			asks(answersTo(decide.StillServed, func(a *decide.Answer, _ decide.Workload) { a.Yes = true }))},
		{"one slot of two is set", slots, "sets every slot", says(func(step *decide.Step) {
			if !concluded(decide.RolledBack)(step.Decisions[0]) && len(step.Change.Slots) > 1 {
				step.Change.Slots = step.Change.Slots[:1]
			}
		})},
		{"a mark stays behind at a restoration", simple, "mark and record are what was restored",
			says(where(concluded(decide.RolledBack), without(mark)))},
		{"the configuration's order alone gives turns, I57", turns, "waited longest",
			asks(remembering(func(s *annotate.State) { s.TurnSince = nil }))},
		{"what runs already is rolled out", bare, "nothing is restarted", wraps(ask, func(w decide.Workload, step *decide.Step) {
			if step.Decisions[0].Outcome == decide.Unchanged && w.Object.Slots[0][0].Live == annotate.Unpinned {
				step.Change.Slots = append(step.Change.Slots, decide.SlotChange{Digest: w.Bindings[0].Latest.Digest})
			}
		})},
		{"pods are taken to run latest", bare, "(c) nothing is recorded",
			asks(answersTo(decide.WhatRuns, func(a *decide.Answer, w decide.Workload) {
				a.Running.Images = []image.ID{image.IDOf(w.Bindings[0].Latest.Digest)}
			}))},
		{"what runs is not recorded, I68", bare, "unchanged is marked and recorded", says(func(step *decide.Step) {
			if step.Change.Annotations[recorded] != "" {
				step.Change.Annotations[recorded] = string(annotate.Unpinned)
			}
		})},
		{"a gate that is not heeded, I67", bare, "what a gate refused",
			asks(answersTo(decide.MayRollOut, func(a *decide.Answer, _ decide.Workload) { a.Failure = nil }))},
		{"records that others have changed are not written anew, I54 I55", meddling, "(e) a new good digest",
			says(where(row(13), func(step *decide.Step) { step.Change = decide.Change{} }))},
		{"zero replicas prove a digest, I56", scaling, "(c)", asks(func(w *decide.Workload) { w.Object.Rollout.NoReplica = false })},
		{"a gate's no is forgotten, I24", refusing, "a gate refused", asks(remembering(func(s *annotate.State) { s.Refused = nil }))},
		{"what pods say nothing of is rejected for good, I49", aDay, "for a day at most", asks(remembering(func(s *annotate.State) {
			s.Rejected = slices.Clone(s.Rejected)
			for i := range s.Rejected {
				s.Rejected[i].Evidence = true
			}
		}))},
		{"an eviction is evidence, I72", aDay, "for a day at most",
			asks(answersTo(decide.WhyNotReady, func(a *decide.Answer, _ decide.Workload) { a.Pods.Evidence = []bool{true} }))},
		{"a stored time that is later than now stays, I48", aDay, "for a day at most", says(func(step *decide.Step) {
			if step.Decisions[0].Outcome == decide.Rejected {
				without(stored)(step)
			}
		})},
		{"ages are by a node's clock, I48", young, "for its minimum age", func(p *product) {
			whole := *p
			ahead := func(t decide.Tick, w *decide.Workload) decide.Tick { // in every second tick
				if t.Now.Minute()%30 == 0 {
					t.Now = t.Now.Add(8 * time.Hour)
				}
				answered(w, decide.Question{Kind: decide.MayRollOut, Digest: w.Bindings[0].Latest.Digest}, decide.Answer{})
				return t
			}
			p.plan = func(t decide.Tick, targets []decide.Target, workloads []*decide.Workload) ([]decide.Target, []*decide.Step) {
				return whole.plan(ahead(t, workloads[0]), targets, workloads)
			}
			p.again = func(t decide.Tick, targets []decide.Target, w decide.Workload, turn bool) decide.Step {
				return whole.again(ahead(t, &w), targets, w, turn)
			}
		}},
		{"each digest waits anew", young, "three minimum ages", asks(remembering(func(s *annotate.State) {
			if s.Seen != nil {
				s.Seen = &annotate.Seen{Digest: s.Seen.Digest, Since: s.Seen.Since, Deferred: s.Seen.Since}
			}
		}))},
		{"the window is not looked at", windowed, "nowhere outside of the window", configured(func(p *decide.Policy) { p.Window = nil })},
		{"what waits for the window goes on waiting", windowed, "a window that is open", configured(func(p *decide.Policy) { p.Window = windowThatIs(false) })},
		{"the wait for the window counts as one for an age", youngAtNight, "for its minimum age", asks(remembering(func(s *annotate.State) {
			if s.Seen != nil && s.Seen.Deferred.IsZero() {
				s.Seen = &annotate.Seen{Digest: s.Seen.Digest, Since: s.Seen.Since, Deferred: s.Seen.Since}
			}
		}))},
		{"notify is not looked at", approving, "that no person has approved", configured(func(p *decide.Policy) { p.Notify = false })},
		{"an approval is forgotten where it has to wait", approving, "(e) all is well", asks(remembering(func(s *annotate.State) { s.Approved = "" }))},
		{"an approval stands once its digest is recorded", approving, "that no person has approved",
			says(where(concluded(decide.Refreshed), func(step *decide.Step) {
				step.Change.Annotations[stored] = annotate.State{Approved: digestOf[2]}.String()
			}))},
		{"a skip is not looked at", skipping, "has skipped", asks(func(w *decide.Workload) {
			w.Object.Labels = maps.Clone(w.Object.Labels)
			delete(w.Object.Labels, keys.Skip())
			answered(w, decide.Question{Kind: decide.MayRollOut, Digest: w.Bindings[0].Latest.Digest}, decide.Answer{})
		})},
		{"the label is removed, and what it says is not noted", skipping, "has skipped",
			says(where(func(d decide.Decision) bool { return d.Skipped }, without(stored)))},
		{"a fresh tick ends a contest, I53", contest, "once in two hours", asks(func(w *decide.Workload) {
			if isLatest(*w) {
				remembering(func(s *annotate.State) { s.Reapplied = 0 })(w)
			}
		})},
		{"a contested digest is put back in every tick, I38", contest, "once in two hours",
			asks(remembering(func(s *annotate.State) { s.ReappliedAt = nil }))},
		{"only progress within a tick counts, I52", failing, "progress since any tick before", func(p *product) {
			whole := *p
			p.conclude = func(t decide.Tick, w decide.Workload, targets []decide.Target, waits decide.Waits, decisions []decide.Decision) decide.Step {
				withAttempt(func(attempt *annotate.Attempt) { attempt.Fresh = w.Object.Rollout.Fresh })(&w)
				answered(&w, decide.Question{Kind: decide.WhyNotReady}, decide.Answer{Pods: decide.PodProblems{Evidence: []bool{true}}})
				return whole.conclude(t, w, targets, counts(t, w, targets, waits), decisions)
			}
		}},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			m := rule.in.model()
			rule.breaks(&m.core.product)
			m.looks = strings.HasPrefix(rule.finds, "(d)") || strings.HasPrefix(rule.finds, "(e)") // the future notices most
			got := m.explore(breachStates)
			require.NotEmpty(t, got.broken, "the checker does not notice")
			assert.Contains(t, got.broken, rule.finds, got.example)
			assert.NotEmpty(t, got.example)
			t.Logf("%d states, %s:\n%s", got.states, got.broken, got.example)
		})
	}
}
