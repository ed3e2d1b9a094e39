package tick

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/signature"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// plan is what a tick has decided to do.
type plan struct {
	resolution
	targets   []decide.Target // with what the gates said, and with their failures in a row
	readings  []reading
	workloads []*decide.Workload // nil where one could not be read
	steps     []*decide.Step     // by workload, likewise
}

// plan asks what the facts leave open, side by side, and decides.
func (t *tick) plan(ctx context.Context, readings []reading, resolved resolution) plan {
	p := plan{resolution: resolved, readings: readings, workloads: make([]*decide.Workload, len(readings))}
	homes := t.homes(readings, resolved.targets)
	var all sync.WaitGroup
	for at, read := range readings {
		if read.failure != nil {
			continue
		}
		all.Go(func() {
			w := t.decidable(at, read, resolved)
			w.Homes = homes[at]
			w.Began = t.rules.Remember(w, resolved.targets)
			w = t.ask(ctx, at, w, read, resolved, t.questions(resolved))
			p.workloads[at] = &w
		})
	}
	all.Wait()
	p.targets, p.steps = t.rules.Plan(resolved.targets, p.workloads)
	return p
}

// following are the steps of the tick after this one, of workloads that this one observes for the first time; nil for others.
func (t *tick) following(ctx context.Context, p plan) []*decide.Step {
	steps := make([]*decide.Step, len(p.steps))
	var all sync.WaitGroup
	for at, step := range p.steps {
		if step == nil {
			continue
		}
		after, found := t.rules.After(*p.workloads[at], p.targets, *step)
		if !found {
			continue
		}
		all.Go(func() {
			after := t.ask(ctx, at, after, p.readings[at], p.resolution, t.questions(p.resolution))
			next := t.rules.Again(p.resolution.targets, after, true)
			steps[at] = &next
		})
	}
	all.Wait()
	return steps
}

// homes are the targets whose counters stand on each workload.
func (t *tick) homes(readings []reading, targets []decide.Target) [][]decide.Home {
	residents := make([]decide.Resident, len(readings))
	for at, read := range readings {
		residents[at].Exists = read.failure == nil || read.failure.Cause != failure.WorkloadMissing
		if read.object != nil {
			residents[at].Labels, residents[at].Annotations = read.object.Meta.Labels, read.object.Meta.Annotations
		}
	}
	carried := make([][]int, len(t.places))
	for target, places := range t.places {
		for _, p := range places {
			carried[target] = append(carried[target], p.workload)
		}
	}
	return t.rules.Homes(targets, carried, residents)
}

// decidable is a workload as decisions take it, but for what the tick read of it first.
func (t *tick) decidable(at int, read reading, resolved resolution) decide.Workload {
	bound := t.workloads[at]
	w := decide.Workload{Object: t.facts(read)}
	for i, target := range bound.target {
		w.Bindings = append(w.Bindings, decide.Binding{Target: target, Latest: resolved.latest[at][i]})
	}
	return w
}

// again is a workload that has been read again: what the tick read of it first stays, and so do the answers.
func (t *tick) again(ctx context.Context, at int, before decide.Workload, read reading, resolved resolution) decide.Workload {
	w := before
	w.Object = t.facts(read)
	return t.ask(ctx, at, w, read, resolved, t.questions(resolved))
}

// questions are those that the facts of a workload leave open before anything is decided.
func (t *tick) questions(resolved resolution) func(decide.Workload) [][]decide.Question {
	return func(w decide.Workload) [][]decide.Question { return t.rules.Questions(w, resolved.targets) }
}

// ask asks what the facts of a workload leave open, until they leave nothing open.
func (t *tick) ask(
	ctx context.Context, at int, w decide.Workload, read reading, resolved resolution, open func(decide.Workload) [][]decide.Question,
) decide.Workload {
	for {
		questions := open(w)
		if !slices.ContainsFunc(questions, func(q []decide.Question) bool { return len(q) > 0 }) {
			return w
		}
		w = t.answered(ctx, at, w, questions, read, resolved)
	}
}

// answered is the workload with the answers to these questions, by binding. All are asked side by side.
func (t *tick) answered(ctx context.Context, at int, w decide.Workload, questions [][]decide.Question, read reading, resolved resolution) decide.Workload {
	pods := sync.OnceValue(func() decide.PodProblems { // of all targets
		return t.Cluster.PodProblems(ctx, read.object, workload.PodQueries(read.places))
	})
	running := sync.OnceValue(func() []decide.Running { return t.Cluster.Running(ctx, read.object, workload.Slots(read.places)) })
	answers := make([][]decide.Answer, len(questions))
	var all sync.WaitGroup
	for binding := range questions {
		answers[binding] = make([]decide.Answer, len(questions[binding]))
		for i, question := range questions[binding] {
			all.Go(func() {
				via := resolved.via(place{at, binding})
				switch question.Kind {
				case decide.MayRollOut:
					platforms := t.workloads[at].bindings[binding].Target.Platforms
					answers[binding][i] = t.verifier.mayRollOut(
						ctx, via, platforms, question.Digest, cmp.Or(liveIn(read.places[binding]), question.Live))
				case decide.IsSigned:
					answers[binding][i] = signerOf(t.Registry.Signed(ctx, via, question.Digest, t.workloads[at].bindings[binding].Target.Keys))
				case decide.WhyNotReady:
					answers[binding][i] = decide.Answer{Pods: pods()}
				case decide.WhatRuns:
					answers[binding][i] = decide.Answer{Running: running()[binding]}
				case decide.SameImage:
					answers[binding][i] = answerOf(t.Registry.Holds(ctx, via, question.Digest, question.IDs()))
				case decide.StillServed:
					answers[binding][i] = answerOf(t.Registry.Serves(ctx, via, question.Digest))
				}
			})
		}
	}
	all.Wait()
	w.Bindings = slices.Clone(w.Bindings)
	for binding := range questions {
		for i, question := range questions[binding] {
			w.Bindings[binding].Answers = w.Bindings[binding].Answers.With(question, answers[binding][i])
		}
	}
	return w
}

func answerOf(yes bool, err error) decide.Answer {
	return decide.Answer{Yes: yes, Failure: failure.Of(err, failure.BadResponse)}
}

func signerOf(key signature.Key, err error) decide.Answer {
	if err != nil {
		return decide.Answer{Failure: failure.Of(err, failure.BadResponse)}
	}
	return decide.Answer{Signer: key.Fingerprint()}
}

// liveIn is the digest that the slots of a binding hold; empty where none of them is pinned.
func liveIn(places []workload.Place) image.Digest {
	for _, place := range places {
		if place.Problem == nil && place.Slot.Live.Digest() != "" {
			return place.Slot.Live.Digest()
		}
	}
	return ""
}
