package tick

import (
	"context"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// outcome is what became of a workload.
type outcome struct {
	reading   reading           // as it was seen last
	decisions []decide.Decision // by binding; none where nothing was decided
	following []decide.Decision // likewise, of the tick after a first observation; in a plan
	failures  []decide.TargetFailure
	failure   *failure.Error // why the workload was given up in this tick
}

// ended is how a tick has ended.
type ended struct {
	resolution
	targets     []decide.Target
	outcomes    []outcome   // by workload
	interrupted bool        // it was told to end before it was done
	acted       bool        // what was decided has been written, or was being written
	rolls       int         // of a plan: workloads that are to be rolled
	rollsAfter  int         // likewise, of those that are observed for the first time
	since       []time.Time // by target: since when it fails; zero where it is fine, or that is not known
}

// undecided is the end of a tick that was interrupted before it could decide.
func undecided(readings []reading, resolved resolution) ended {
	e := ended{resolution: resolved, targets: resolved.targets, interrupted: true}
	for _, read := range readings {
		e.outcomes = append(e.outcomes, outcome{reading: read, failure: read.failure})
	}
	return e
}

// unwritten is the end of a tick that only plans, or that was interrupted before it could write.
func unwritten(p plan, interrupted bool) ended {
	e := ended{resolution: p.resolution, targets: p.targets, interrupted: interrupted}
	for at, read := range p.readings {
		o := outcome{reading: read, failure: read.failure}
		if step := p.steps[at]; step != nil {
			o.decisions, o.failures = step.Decisions, step.Failures
		}
		e.outcomes = append(e.outcomes, o)
	}
	return e
}

// planEnd is the end of a plan: nothing is written, and of workloads that it observes for the first time it knows what follows.
func planEnd(p plan, following []*decide.Step, interrupted bool) ended {
	e := unwritten(p, interrupted)
	for at, step := range p.steps {
		if step != nil && step.Rolls {
			e.rolls++
		}
		if next := following[at]; next != nil {
			e.outcomes[at].following = next.Decisions
			if next.Rolls {
				e.rollsAfter++
			}
		}
	}
	return e
}

// act writes what was planned and sees the rollouts through, every workload side by side.
func (t *tick) act(ctx context.Context, p plan) ended {
	rollouts, cancel := context.WithTimeout(ctx, t.rolloutTimeout())
	defer cancel()
	outcomes := make([]outcome, len(t.workloads))
	var all sync.WaitGroup
	for at := range t.workloads {
		if p.steps[at] == nil {
			outcomes[at] = outcome{reading: p.readings[at], failure: p.readings[at].failure}
			continue
		}
		all.Go(func() { outcomes[at] = t.run(at, p).see(ctx, rollouts) })
	}
	all.Wait()
	return ended{resolution: p.resolution, targets: p.targets, outcomes: outcomes, interrupted: ctx.Err() != nil, acted: true}
}

// workloadRun is one workload in one tick. No phase changes it.
type workloadRun struct {
	*tick
	boundWorkload
	at       int
	resolved resolution
	targets  []decide.Target
	planned  progress
}

// progress is how far a workload has come: how it was read last, what decisions see of it, and what was decided.
type progress struct {
	reading reading
	facts   decide.Workload
	step    decide.Step
}

func (t *tick) run(at int, p plan) *workloadRun {
	return &workloadRun{
		tick: t, boundWorkload: t.workloads[at], at: at, resolved: p.resolution, targets: p.targets,
		planned: progress{reading: p.readings[at], facts: *p.workloads[at], step: *p.steps[at]},
	}
}

// see writes what was planned, waits for the rollout, and writes what that came to.
func (w *workloadRun) see(ctx, rollouts context.Context) outcome {
	written, failed := w.write(ctx, w.returnOwnership(ctx, w.planned), w.decideAgain)
	out := outcome{reading: written.reading, decisions: written.step.Decisions, failures: written.step.Failures, failure: failed}
	if failed != nil {
		return out
	}
	waits := w.rules.Waits(written.facts, w.targets, written.step.Decisions)
	if !waits.Any() {
		return out
	}
	waited, waits, failed := w.wait(ctx, rollouts, written, waits)
	if failed != nil {
		out.failure = failed
		return out
	}
	grace, cancel := graceContext(ctx)
	defer cancel()
	conclude := func(ctx context.Context, p progress) progress {
		p.step = w.conclude(ctx, p, waits, written.step.Decisions)
		return p
	}
	concluded, failed := w.write(grace, conclude(grace, waited), conclude)
	out.reading, out.decisions, out.failure = concluded.reading, concluded.step.Decisions, failed
	if failed == nil && restores(concluded.step.Decisions) {
		out.reading = w.waitForRestored(ctx, concluded)
	}
	return out
}

func restores(decisions []decide.Decision) bool {
	for _, d := range decisions {
		if d.Outcome == decide.RolledBack && d.Rolls() {
			return true
		}
	}
	return false
}

// decideAgain decides for the workload as it is read now.
func (w *workloadRun) decideAgain(ctx context.Context, p progress) progress {
	p.facts = w.again(ctx, w.at, p.facts, p.reading, w.resolved)
	p.step = w.rules.Again(w.targets, p.facts, p.step.Turn)
	return p
}
