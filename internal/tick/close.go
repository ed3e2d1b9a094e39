package tick

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// standings are how all targets are, as their workloads have ended.
func (t *tick) standings(e ended) []decide.Standing {
	failures := e.failures()
	standings := make([]decide.Standing, len(t.targets))
	for target, places := range t.places {
		known := e.targets[target]
		known.Failures = failures[target]
		on := make([]decide.Ended, 0, len(places))
		for _, p := range places {
			o := e.outcomes[p.workload]
			if o.failure != nil || o.decisions == nil {
				on = append(on, decide.Ended{Outcome: decide.Failed, Failure: o.failure})
				continue
			}
			d, rollout := o.decisions[p.binding], o.reading.object.Rollout(o.reading.staleUntil)
			on = append(on, d.Ended(rollout, e.latest[p.workload][p.binding].Digest))
		}
		standings[target] = decide.StandingOf(known, on)
	}
	return standings
}

// since is since when each target fails, as it would be noted: what is known before anything is.
func (t *tick) since(p plan, standings []decide.Standing) []time.Time {
	since := make([]time.Time, len(t.targets))
	for at := range p.workloads {
		if w := p.workloads[at]; w != nil {
			for i, home := range w.Homes {
				since[home.Target] = t.rules.Since(w.Began.Since[i], standings[home.Target])
			}
		}
	}
	return since
}

// close notes on the targets' homes what is known only now that every workload has come to its end, and says it. Failing to is
// a warning: the next tick notes it. What it returns is to be sent.
func (t *tick) close(ctx context.Context, p plan, e ended) (ended, []*letter) {
	standings := t.standings(e)
	e.since = t.since(p, standings)
	if e.interrupted {
		return e, nil
	}
	letters := make([]*letter, len(p.workloads))
	var all sync.WaitGroup
	for at, w := range p.workloads {
		if w == nil || !decide.MayClose(*w, standings) || e.outcomes[at].failure != nil && e.outcomes[at].failure.Cause == failure.API {
			continue
		}
		all.Go(func() {
			run := t.run(at, p)
			facts := *w
			facts.Object = t.facts(e.outcomes[at].reading)
			var closing decide.Closing
			decided := func(_ context.Context, p progress) progress {
				closing = t.rules.Close(p.facts, e.targets, standings)
				p.step = decide.Step{Change: closing.Change}
				return p
			}
			closed, failed := run.write(ctx, decided(ctx, progress{reading: e.outcomes[at].reading, facts: facts}), decided)
			for i, home := range w.Homes { // each in one goroutine alone
				e.since[home.Target] = closing.Since[i]
			}
			if failed != nil {
				t.Log.WarnContext(ctx, "what a target has come to could not be noted: the next tick notes it", "workload", run.ref.String(), "error", t.rules.Runbook.Advice(failed))
				return
			}
			if !closed.reading.object.Change(closing.Change, nil).AppliedTo(closed.reading.object) {
				return // whoever has noted it has said it, or will
			}
			if len(closing.Tells) > 0 {
				letters[at] = &letter{workloadRun: run, noted: closed, tells: closing.Tells}
			}
			for _, event := range closing.Events {
				on := closed.reading
				if which := standings[event.Target].At; which >= 0 && e.outcomes[t.places[event.Target][which].workload].reading.object != nil {
					on = e.outcomes[t.places[event.Target][which].workload].reading
				}
				if event.Event.Reason == decide.Recovered {
					t.Log.InfoContext(ctx, "recovered", "target", t.targets[event.Target].Name, "message", event.Event.Note)
				}
				run.emitAll(ctx, progress{reading: on, step: decide.Step{Events: []decide.TargetEvent{event}}})
			}
		})
	}
	all.Wait()
	letters = slices.DeleteFunc(letters, func(l *letter) bool { return l == nil })
	for _, l := range letters {
		l.standings = standings
	}
	return e, letters
}
