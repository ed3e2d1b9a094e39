package tick

import (
	"context"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// wait follows a workload until its rollout has an end, or rollouts has.
func (w *workloadRun) wait(ctx, rollouts context.Context, p progress, waits decide.Waits) (progress, decide.Waits, *failure.Error) {
	said := ""
	newest, err := w.Cluster.Wait(rollouts, p.reading.object, func(object *workload.Object) bool {
		if now := object.Progress(); now != said {
			said = now
			w.Log.InfoContext(ctx, "rollout", "workload", w.ref.String(), "progress", now)
		}
		return object.Deleting() != nil ||
			waits.Over(object.Rollout(p.reading.staleUntil), workload.Contents(object.Locate(w.bindings)))
	})
	if err != nil {
		return p, waits, failure.Of(err, failure.API)
	}
	if failed := newest.Deleting(); failed != nil {
		return p, waits, failed
	}
	p.reading = p.reading.with(newest, w.boundWorkload)
	switch {
	case cancelled(rollouts):
		waits = waits.Interrupted()
	case rollouts.Err() != nil: // nothing is blamed on an object that a silent watch has left behind
		read := w.read(ctx, w.boundWorkload)
		if read.failure != nil {
			return p, waits, read.failure
		}
		p.reading = p.reading.with(read.object, w.boundWorkload)
	}
	p.facts.Object = w.facts(p.reading)
	return p, waits, nil
}

// conclude decides after the wait, from the object as it is now.
func (w *workloadRun) conclude(ctx context.Context, p progress, waits decide.Waits, before []decide.Decision) decide.Step {
	facts := w.ask(ctx, w.at, p.facts, p.reading, w.resolved, func(facts decide.Workload) [][]decide.Question {
		return w.rules.ConclusionQuestions(facts, w.targets, waits)
	})
	return w.rules.Conclude(facts, w.targets, waits, before)
}

// waitForRestored waits until what was restored has settled. Nothing is decided afterwards: the next tick reads what
// became of it.
func (w *workloadRun) waitForRestored(ctx context.Context, p progress) reading {
	restored, cancel := context.WithTimeout(ctx, w.rolloutTimeout())
	defer cancel()
	stale := p.reading.staleUntil
	newest, err := w.Cluster.Wait(restored, p.reading.object, func(object *workload.Object) bool {
		rollout := object.Rollout(stale)
		return rollout.Settled || rollout.AwaitsDelete || rollout.Failure != ""
	})
	read := p.reading
	if err == nil {
		read = read.with(newest, w.boundWorkload)
	}
	if err != nil || !newest.Rollout(stale).Settled {
		w.Log.WarnContext(ctx, "what was restored has not settled yet", "workload", w.ref.String())
	}
	return read
}
