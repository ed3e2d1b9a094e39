package tick

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// maxConflicts is how often a workload that keeps changing is read and decided again in one tick.
const maxConflicts = 12

// act writes what was decided and sees the rollouts through, every workload side by side.
func (t *tick) act(ctx context.Context) {
	rollouts, cancel := context.WithTimeout(ctx, time.Duration(t.Config.RolloutTimeout))
	defer cancel()
	var all sync.WaitGroup
	for _, j := range t.jobs {
		if j.failure != nil {
			continue
		}
		all.Go(func() {
			t.apply(ctx, j)
			if waited := j.waited(); len(waited) > 0 {
				t.follow(ctx, rollouts, j, waited)
			}
		})
	}
	all.Wait()
	t.interrupted(ctx)
}

// waited are the members whose rollout is to be waited for.
func (j *job) waited() []*member {
	var waited []*member
	for _, m := range j.members {
		if j.failure == nil && m.decision.Wait {
			waited = append(waited, m)
		}
	}
	return waited
}

// apply writes the decisions and the counters before any wait. On a conflict the workload is read and decided
// again: somebody, or another tick, was faster.
func (t *tick) apply(ctx context.Context, j *job) {
	again := func(ctx context.Context) { t.evaluate(ctx, j) }
	if t.mend(ctx, j) {
		again(ctx) // what was decided is about the object as it was before
	}
	_ = t.write(ctx, j, j.members, true, again)
}

// write patches a workload with what the members decided. Where the object has changed since it was read, it
// is read again, again decides again, and the write is tried again. It says whether the write was made.
func (t *tick) write(ctx context.Context, j *job, members []*member, counters bool, again func(context.Context)) bool {
	var change workload.Change
	for range maxConflicts {
		change = t.change(j, members, counters)
		if change.Empty() {
			return true
		}
		before := j.object
		object, err := t.Cluster.Patch(ctx, j.object, change)
		switch {
		case err == nil:
			t.wrote(ctx, j, members, change, before, object, counters)
			return true
		case !cluster.IsConflict(err):
			t.notWritten(ctx, j, members, change, err)
			return false
		}
		t.Log.DebugContext(ctx, "the workload has changed since it was read: deciding again", "workload", j.ref.String())
		if !pause(ctx) {
			j.fail(members, &fault.Error{Cause: fault.API, Message: fmt.Sprintf(
				"the tick was told to end while somebody else was writing to %s: the next one decides again", j.ref)})
			return false
		}
		t.readJob(ctx, j)
		if j.failure != nil {
			return false
		}
		if !reflect.DeepEqual(before.Pod, j.object.Pod) {
			j.stale = before.FailedAt()
		}
		t.locate(j)
		again(ctx)
	}
	t.notWritten(ctx, j, members, change, &fault.Error{Cause: fault.API, Message: fmt.Sprintf(
		"%s changed %d times while the tick tried to write to it: find out what keeps writing to it (kubectl get -o yaml --show-managed-fields)", j.ref, maxConflicts)})
	return false
}

// pause lets a fight over an object calm down. It says whether the tick goes on.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(20+rand.IntN(180)) * time.Millisecond): //nolint:gosec // jitter, no secret
		return true
	}
}

// wrote takes the object as the write left it, hands back the slots that the write took, and emits the Events
// that the write made true.
func (t *tick) wrote(ctx context.Context, j *job, members []*member, change workload.Change, before, after *workload.Object, counters bool) {
	j.object, j.rewound = after, false
	j.skipped = j.skipped || slices.ContainsFunc(members, func(m *member) bool { return m.decision.Skip == decide.SkipCount })
	if len(change.Slots) > 0 {
		j.patched = true
		j.stale = before.FailedAt()
		t.locate(j)
		t.mend(ctx, j)
	}
	for _, m := range members {
		for _, event := range m.decision.Events {
			t.emit(ctx, j, m, event)
		}
		own := m.target
		if counters && own.home == j && own.written == own.ResolveFailureThreshold && change.Annotations[t.keys.Failures(own.Name)] != "" {
			t.emit(ctx, j, m, decide.Event{
				Reason: decide.ResolveFailing, Cause: own.failure.Cause, Note: string(own.failure.Cause) + ": " + own.failure.Message,
			})
		}
	}
}

// emit writes an Event; failing to is a warning.
func (t *tick) emit(ctx context.Context, j *job, m *member, event decide.Event) {
	event.Note = m.target.Name + ": " + event.Note
	if err := t.Cluster.Emit(ctx, j.object, event, t.Now()); err != nil {
		t.Log.WarnContext(ctx, "an Event is lost", "workload", j.ref.String(), "reason", string(event.Reason), "error", fault.Clean(err.Error()))
	}
}

// notWritten fails the members that had something to write. What only clears what is no longer true may fail:
// the next tick clears it (I12).
func (t *tick) notWritten(ctx context.Context, j *job, members []*member, change workload.Change, err error) {
	if change.Clears() {
		t.Log.WarnContext(ctx, "what is no longer true could not be removed: the next tick tries again", "workload", j.ref.String(),
			"error", fault.Of(err, fault.API).Advice())
		return
	}
	j.fail(members, err)
}

// fail gives a workload up for this tick.
func (j *job) fail(members []*member, err error) {
	for _, m := range members {
		m.decision.Wait = false
	}
	j.failure = fault.Of(err, fault.API)
}

// mend hands back slots that are ours: those that a write of this tick has just taken, and those that a tick
// took which died before it could hand them back. It says whether the object is another one now.
func (t *tick) mend(ctx context.Context, j *job) bool {
	read := j.object
	failure := cluster.ErrConflict
	for range maxConflicts {
		slots, owners := t.taken(j)
		if len(slots) == 0 {
			return j.object != read
		}
		object, err := t.Cluster.HandBack(ctx, j.object, slots, owners)
		if cluster.IsConflict(err) && pause(ctx) {
			object, err = t.newest(ctx, j.ref)
		}
		if err != nil {
			failure = err
			break
		}
		j.object = object
		t.locate(j)
	}
	t.Log.WarnContext(ctx, "a slot could not be handed back to its owner: the next tick tries again", "workload", j.ref.String(), "error", fault.Clean(failure.Error()))
	return j.object != read
}

// taken are the slots that are ours, and who owned each before.
func (t *tick) taken(j *job) (slots []workload.Slot, owners map[string][]string) {
	owners = map[string][]string{}
	for _, m := range j.members {
		record := t.recordOf(m)
		for at, slot := range m.slots {
			if m.problems[at] == nil && j.object.Claimed(slot) {
				slots = append(slots, slot)
				owners[slot.Key()] = record.State.Owners[slot.Key()]
			}
		}
	}
	return slots, owners
}
