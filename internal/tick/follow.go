package tick

import (
	"context"
	"time"

	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// follow waits for a workload's rollout, concludes, and where that restored something waits for that too.
func (t *tick) follow(ctx, rollouts context.Context, j *job, waited []*member) {
	digests, contested := map[*member]image.Digest{}, map[*member]*fault.Error{}
	for _, m := range waited {
		digests[m], contested[m] = m.decision.Record.State.Attempted(), m.decision.Failure
	}
	begun := &baseline{before: j.object.Rollout(j.stale), patched: j.patched}
	newest, err := t.Cluster.Wait(rollouts, j.object, t.over(ctx, j, digests, begun))
	if err != nil {
		j.fail(waited, err)
		return
	}
	j.object = newest
	t.locate(j)
	waits := map[*member]decide.Wait{}
	for _, m := range waited {
		waits[m] = decide.Wait{
			Digest: digests[m], Before: begun.before, Contested: contested[m], Joint: len(waited) > 1, Namespace: j.ref.Namespace,
		}
	}
	ending, cancel := lasting(ctx)
	defer cancel()
	conclude := func(ctx context.Context) { t.conclude(ctx, j, waited, waits, told(rollouts)) }
	conclude(ending)
	if t.write(ending, j, waited, false, conclude) && j.restores() {
		t.restore(ctx, j)
	}
}

// baseline is how far a rollout was when its wait began. Until the controller has observed the patch, its count of
// updated replicas is still about the template before, and nothing could ever be progress beyond that (I43).
type baseline struct {
	before  decide.Rollout
	known   bool
	patched bool // by this tick: none of the replicas before the wait was of what it has put there
}

func (b *baseline) see(o *workload.Object, rollout decide.Rollout) {
	if b.known || !o.Observed() {
		return
	}
	b.before.Fresh, b.known = min(b.before.Fresh, rollout.Fresh), true
	if b.patched {
		b.before.Fresh = 0
	}
}

// over says when a wait has an end: settled, given up by the controller, or taken over by somebody else.
func (t *tick) over(ctx context.Context, j *job, digests map[*member]image.Digest, begun *baseline) func(*workload.Object) bool {
	progress := ""
	return func(o *workload.Object) bool {
		rollout := o.Rollout(j.stale)
		begun.see(o, rollout)
		if now := o.Progress(); now != progress {
			progress = now
			t.Log.InfoContext(ctx, "rollout", "workload", j.ref.String(), "progress", now)
		}
		if rollout.Settled || rollout.AwaitsDelete || rollout.Failure != "" {
			return true
		}
		for m, digest := range digests {
			for at, entry := range m.entries {
				slot, problem := o.Find(m.target.Target, entry)
				if m.problems[at] == nil && (problem != nil || !slot.Live.Is(digest)) {
					return true
				}
			}
		}
		return false
	}
}

// conclude decides after the wait, from the object as it is now.
func (t *tick) conclude(ctx context.Context, j *job, waited []*member, waits map[*member]decide.Wait, ended bool) {
	t.facts(j, t.id+"-after")
	var troubles cluster.Troubles
	if !ended && !waited[0].input.Workload.Rollout.Settled && !waited[0].input.Workload.Rollout.AwaitsDelete {
		troubles = t.Cluster.Troubles(ctx, j.object)
	}
	for _, m := range waited {
		wait := waits[m]
		wait.Interrupted = ended
		wait.Reasons, wait.PullFailed, wait.Stuck = troubles.Reasons, troubles.PullFailed, troubles.NeverReady
		for _, problem := range m.problems {
			if problem != nil { // the slot went away under the rollout: the next tick says why
				wait.Interrupted = true
			}
		}
		m.decision = decide.Conclude(m.input, wait)
	}
}

func (j *job) restores() bool {
	for _, m := range j.members {
		if m.decision.Outcome == decide.RolledBack && m.decision.Set != "" {
			return true
		}
	}
	return false
}

// restore waits until what was restored has settled. Nothing is decided afterwards: the next tick reads what
// became of it.
func (t *tick) restore(ctx context.Context, j *job) {
	restored, cancel := context.WithTimeout(ctx, time.Duration(t.Config.RolloutTimeout))
	defer cancel()
	newest, err := t.Cluster.Wait(restored, j.object, func(o *workload.Object) bool {
		rollout := o.Rollout(j.stale)
		return rollout.Settled || rollout.AwaitsDelete || rollout.Failure != ""
	})
	if err == nil {
		j.object = newest
	}
	if err != nil || !newest.Rollout(j.stale).Settled {
		t.Log.WarnContext(ctx, "what was restored has not settled yet", "workload", j.ref.String())
	}
}
