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
	breaks func(*product)
	finds  string // part of the invariant that notices
}

// asks changes what the product is asked about a workload.
func asks(change func(*decide.Workload)) func(*product) {
	return wraps(change, func(decide.Workload, *decide.Step) {})
}

// says changes what the product answers.
func says(change func(*decide.Step)) func(*product) {
	return wraps(func(*decide.Workload) {}, func(_ decide.Workload, step *decide.Step) { change(step) })
}

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

// TestBrokenRules breaks one rule after the other, and expects the checker to notice by the invariant that is there for it.
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
	recorded, stored, mark := keys.Recorded(names[0]), keys.State(names[0]), keys.Mark(names[0])
	concludes := func(step *decide.Step, outcomes ...decide.Outcome) bool {
		for _, outcome := range outcomes {
			if d := step.Decisions[0]; d.Row == 0 && d.Outcome == outcome {
				return true
			}
		}
		return false
	}
	for _, rule := range []breach{
		{"resolve failures are never counted, I1", down, says(func(step *decide.Step) {
			delete(step.Change.Annotations, keys.Failures(names[0]))
			step.Failures = nil
		}), "(a) green is"},
		{"the same, in the long run", simple, says(func(step *decide.Step) {
			delete(step.Change.Annotations, keys.Failures(names[0]))
		}), "(e) the registry is down"},
		{"unsettled ticks are never counted, I11", simple, says(func(step *decide.Step) { delete(step.Change.Annotations, keys.SkipStreak()) }), "(e) rollouts hang"},
		{"settled ticks are counted as unsettled", simple, says(func(step *decide.Step) { step.Change.Annotations[keys.SkipStreak()] = "1" }), "only an unsettled tick"},
		{"recorded before it has settled, I4", simple, says(func(step *decide.Step) {
			for _, change := range step.Change.Slots {
				step.Change.Annotations[recorded] = string(change.Digest)
			}
		}), "(c) nothing is recorded"},
		{"no look at the rollout once live is latest, I3", simple, asks(func(w *decide.Workload) {
			if w.Object.Slots[0][0].Live.Is(w.Bindings[0].Latest.Digest) {
				w.Object.Rollout.Settled = true
			}
		}), "unchanged is fresh"},
		{"what fails is called refreshed", simple, says(func(step *decide.Step) {
			if concludes(step, decide.Failed, decide.RolledBack) {
				step.Decisions[0].Outcome = decide.Refreshed
			}
		}), "(c) refreshed is settled"},
		{"what waits is called unchanged", simple, says(func(step *decide.Step) {
			if d := step.Decisions[0]; d.Row == 10 {
				step.Decisions[0].Outcome = decide.Unchanged
			}
		}), "unchanged is fresh"},
		{"a mark is not set right", simple, says(func(step *decide.Step) {
			if step.Decisions[0].Row == 8 {
				delete(step.Change.Labels, mark)
			}
		}), "unchanged is marked"},
		{"a write that changes nothing that counts", simple, wraps(func(*decide.Workload) {}, func(w decide.Workload, step *decide.Step) {
			if step.Decisions[0].Outcome == decide.Unchanged {
				step.Change.Annotations["p/noise"] = map[string]string{"": "1", "1": "2", "2": "1"}[w.Object.Annotations["p/noise"]]
			}
		}), "(d) tick"},
		{"a manual change not told from a deployer's, I9", simple, asks(func(w *decide.Workload) { w.Object.Slots[0][0].Person = "" }), "a person's choice wins"},
		{"rejections are forgotten, I13", failing, asks(remembering(func(s *annotate.State) { s.Rejected = nil })), "what is rejected"},
		{"what stands for a rejected digest is left away, Q4", simple, says(func(step *decide.Step) {
			if d := step.Decisions[0]; d.Row > 9 && d.Outcome == decide.Rejected {
				step.Decisions[0] = decide.Decision{Row: 9, Outcome: decide.Rejected, Failure: d.Failure}
				step.Change = decide.Change{}
			}
		}), "is put back where latest is rejected"},
		{"another digest than latest", simple, says(func(step *decide.Step) {
			for i := range step.Change.Slots {
				step.Change.Slots[i].Digest = digestOf[novel]
			}
		}), "only latest"},
		{"a hold that is not looked at", simple, asks(func(w *decide.Workload) {
			w.Object.Labels = maps.Clone(w.Object.Labels)
			delete(w.Object.Labels, keys.Hold())
		}), "held workload"},
		{"a patch without its mark, I35", simple, says(func(step *decide.Step) {
			if len(step.Change.Slots) > 0 {
				delete(step.Change.Labels, mark)
			}
		}), "mark and intent"},
		{"an attempt that is forgotten when it fails", simple, says(func(step *decide.Step) {
			if concludes(step, decide.Failed) {
				step.Change.Annotations[stored] = ""
			}
		}), "look like an undo"},
		{"attempts without a bound", simple, wraps(func(*decide.Workload) {}, func(_ decide.Workload, step *decide.Step) {
			if text := step.Change.Annotations[stored]; text != "" {
				step.Change.Annotations[stored] = strings.Replace(text, `"failed":1`, `"failed":9`, 1)
			}
		}), "counts have a bound"},
		{"two ticks count resolve failures twice, I28 I80", overlap, asks(func(w *decide.Workload) { w.Began.Failures = remembered(*w).Failures }), "count once"},
		{"two ticks count unsettled ticks twice, I28 I80", broken, asks(func(w *decide.Workload) { w.Began.Skipped = remembered(*w).Skipped }), "count once"},
		{"two ticks count attempts twice, I28 I80", overlap, func(p *product) {
			p.conclude = func(t decide.Tick, w decide.Workload, targets []decide.Target, waits decide.Waits, decisions []decide.Decision) decide.Step {
				began := []decide.Decision{{Wait: waits.Of[0].Digest, Failure: waits.Of[0].Contested}}
				return t.Conclude(w, targets, t.Waits(w, targets, began), decisions)
			}
		}, "count once"},
		{"an older answer of the registry wins, I28", overlap, asks(func(w *decide.Workload) { w.Began.Records = remembered(*w).Records }), "(b) one rollout"},
		{"a restoration puts recorded everywhere, I58", slots, asks(remembering(func(s *annotate.State) {
			if s.Attempt != nil {
				attempt := *s.Attempt
				attempt.Held = nil
				s.Attempt = &attempt
			}
		})), "what it held before"},
		{"a restoration does not ask the registry, I61", scenario{shape: one(1), chart: 1, may: budget{tags: 1, purges: 1}}, asks(func(w *decide.Workload) {
			w.Bindings = slices.Clone(w.Bindings)
			answers := decide.Answers{}
			for question, answer := range w.Bindings[0].Answers {
				answer.Yes = answer.Yes || question.Kind == decide.StillServed
				answers[question] = answer
			}
			w.Bindings[0].Answers = answers
		}), "no longer have"},
		{"one slot of two is set", slots, says(func(step *decide.Step) {
			if !concludes(step, decide.RolledBack) && len(step.Change.Slots) > 1 {
				step.Change.Slots = step.Change.Slots[:1]
			}
		}), "sets every slot"},
		{"a mark stays behind at a restoration", simple, says(func(step *decide.Step) {
			if concludes(step, decide.RolledBack) {
				delete(step.Change.Labels, mark)
			}
		}), "mark and record are what was restored"},
		{"the configuration's order alone gives turns, I57", scenario{shape: inTurns(), chart: 1, may: budget{tags: 4}},
			asks(remembering(func(s *annotate.State) { s.TurnSince = nil })), "waited longest"},
		{"what runs already is rolled out", bare, wraps(func(*decide.Workload) {}, func(w decide.Workload, step *decide.Step) {
			if step.Decisions[0].Outcome == decide.Unchanged && w.Object.Slots[0][0].Live == annotate.Unpinned {
				step.Change.Slots = append(step.Change.Slots, decide.SlotChange{Digest: w.Bindings[0].Latest.Digest})
			}
		}), "nothing is restarted"},
		{"pods are taken to run latest", bare, asks(answersTo(decide.WhatRuns, func(a *decide.Answer, w decide.Workload) {
			a.Running.Images = []image.ID{image.IDOf(w.Bindings[0].Latest.Digest)}
		})), "(c) nothing is recorded"},
		{"what runs is not recorded, I68", bare, says(func(step *decide.Step) {
			if step.Change.Annotations[recorded] != "" {
				step.Change.Annotations[recorded] = string(annotate.Unpinned)
			}
		}), "unchanged is marked and recorded"},
		{"a gate that is not heeded, I67", bare, asks(answersTo(decide.MayRollOut, func(a *decide.Answer, _ decide.Workload) { a.Failure = nil })), "what a gate refused"},
		{"records that others have changed are not written anew, I54 I55", scenario{shape: one(1), chart: 1, may: budget{tags: 1, others: 2}}, says(func(step *decide.Step) {
			if d := step.Decisions[0]; d.Row == 13 {
				step.Change = decide.Change{}
			}
		}), "(e) a new good digest"},
		{"zero replicas prove a digest, I56", scenario{shape: one(1), chart: 1, may: budget{tags: 1, scales: 2}},
			asks(func(w *decide.Workload) { w.Object.Rollout.NoReplica = false }), "(c)"},
		{"a gate's no is forgotten, I24", scenario{shape: wholeTicks().refusing(2).settling(), gates: true, chart: 2, may: budget{tags: 4, deploys: 2}},
			asks(remembering(func(s *annotate.State) { s.Refused = nil })), "a gate refused"},
		{"what pods say nothing of is rejected for good, I49", aDay, asks(remembering(func(s *annotate.State) {
			s.Rejected = slices.Clone(s.Rejected)
			for i := range s.Rejected {
				s.Rejected[i].Evidence = true
			}
		})), "for a day at most"},
		{"an eviction is evidence, I72", aDay, asks(func(w *decide.Workload) {
			for question, answer := range w.Bindings[0].Answers {
				answer.Pods.Evidence = []bool{true}
				answered(w, question, answer)
			}
		}), "for a day at most"},
		{"a stored time that is later than now stays, I48", aDay, says(func(step *decide.Step) {
			if step.Decisions[0].Outcome == decide.Rejected {
				delete(step.Change.Annotations, stored)
			}
		}), "for a day at most"},
		{"ages are by a node's clock, I48", scenario{shape: wholeTicks().aging(2).settling(), chart: 1, may: budget{tags: 1}}, func(p *product) {
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
		}, "for its minimum age"},
		{"each digest waits anew", scenario{shape: wholeTicks().aging(2).settling(), chart: 1, may: budget{tags: 7}}, asks(remembering(func(s *annotate.State) {
			if s.Seen != nil {
				s.Seen = &annotate.Seen{Digest: s.Seen.Digest, Since: s.Seen.Since, Deferred: s.Seen.Since}
			}
		})), "three minimum ages"},
		{"a fresh tick ends a fight, I53", scenario{shape: wholeTicks().settling(), chart: 1, may: budget{tags: 1, deploys: 8}}, asks(func(w *decide.Workload) {
			if w.Object.Slots[0][0].Live.Is(w.Bindings[0].Latest.Digest) {
				remembering(func(s *annotate.State) { s.Reapplied = 0 })(w)
			}
		}), "once in two hours"},
		{"a contested digest is put back in every tick, I38", scenario{shape: wholeTicks().settling(), chart: 1, may: budget{tags: 1, deploys: 8}},
			asks(remembering(func(s *annotate.State) { s.ReappliedAt = nil })), "once in two hours"},
		{"only progress within a tick counts, I52", failing, func(p *product) {
			whole := *p
			p.conclude = func(t decide.Tick, w decide.Workload, targets []decide.Target, waits decide.Waits, decisions []decide.Decision) decide.Step {
				before := w
				remembering(func(s *annotate.State) {
					if s.Attempt != nil {
						attempt := *s.Attempt
						attempt.Fresh = w.Object.Rollout.Fresh
						s.Attempt = &attempt
					}
				})(&before)
				answered(&w, decide.Question{Kind: decide.WhyNotReady}, decide.Answer{Pods: decide.PodProblems{Evidence: []bool{true}}})
				began := []decide.Decision{{Wait: waits.Of[0].Digest, Failure: waits.Of[0].Contested}}
				return whole.conclude(t, w, targets, t.Waits(before, targets, began), decisions)
			}
		}, "progress since any tick before"},
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
