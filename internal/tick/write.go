package tick

import (
	"context"
	"fmt"
	"reflect"

	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// write patches a workload with what was decided, returns slots that the patch took to their owners, and emits the Events
// that the patch made true. Where the object has changed since it was read, it is read again, again decides again, and the
// write is tried again.
func (w *workloadRun) write(ctx context.Context, p progress, again func(context.Context, progress) progress) (progress, *failure.Error) {
	for range cluster.MaxConflicts {
		if p.step.Change.Empty() {
			return p, nil
		}
		object, err := w.Cluster.Patch(ctx, p.reading.object, p.reading.object.Change(p.step.Change, p.reading.places))
		switch {
		case err == nil:
			return w.afterWrite(ctx, p, object)
		case !cluster.IsConflict(err):
			return p, w.notWritten(ctx, p, err)
		}
		w.Log.DebugContext(ctx, "the workload has changed since it was read: deciding again", "workload", w.ref.String())
		if !cluster.CalmDown(ctx) {
			return p, &failure.Error{
				Cause: failure.API, Message: fmt.Sprintf("the tick was told to end while somebody else was writing to %s", w.ref), Fix: "the next one decides again",
			}
		}
		before := p.reading
		read := w.read(ctx, w.boundWorkload)
		if read.failure != nil {
			return p, read.failure
		}
		read.account, read.staleUntil = before.account, before.staleUntil
		if !reflect.DeepEqual(before.object.Pod, read.object.Pod) {
			read.staleUntil = before.object.FailedAt()
		}
		p.reading = read
		p.facts.Object = w.facts(read)
		p = again(ctx, p)
	}
	return p, w.notWritten(ctx, p, cluster.KeepsChanging(w.ref))
}

// afterWrite takes the object as a write left it. Where the answer does not hold what was written, something between us and
// what is stored has taken it out (I82): what was decided would be lost or counted for ever, so it is loud at once.
func (w *workloadRun) afterWrite(ctx context.Context, p progress, object *workload.Object) (progress, *failure.Error) {
	written := p
	written.reading = p.reading.with(object, w.boundWorkload)
	if len(p.step.Change.Slots) > 0 {
		written.reading.staleUntil = p.reading.object.FailedAt()
		written.reading = w.giveBack(ctx, written.reading)
	}
	written.facts.Object = w.facts(written.reading)
	if lost := p.reading.object.Change(p.step.Change, p.reading.places).Lost(object); lost != nil {
		return written, w.notWritten(ctx, p, lost)
	}
	w.emitAll(ctx, written)
	return written, nil
}

// emitAll writes the Events of a step; failing to is a warning.
func (w *workloadRun) emitAll(ctx context.Context, p progress) {
	for _, of := range p.step.Events {
		event := of.Event
		event.Note = w.targets[of.Target].Name + ": " + event.Note
		if err := w.Cluster.Emit(ctx, p.reading.object, event, w.Now()); err != nil {
			w.Log.WarnContext(ctx, "an Event is lost", "workload", w.ref.String(), "reason", string(event.Reason), "error", failure.Clean(err.Error()))
		}
	}
}

// notWritten is the failure of a write. What only clears what is no longer true may fail: the next tick clears it (I12).
func (w *workloadRun) notWritten(ctx context.Context, p progress, err error) *failure.Error {
	failed := failure.Of(err, failure.API)
	if p.reading.object.Change(p.step.Change, p.reading.places).OnlyTidies(w.keys.Condition()) {
		w.Log.WarnContext(ctx, "what is no longer true could not be removed: the next tick tries again", "workload", w.ref.String(),
			"error", w.rules.Runbook.Advice(failed))
		return nil
	}
	return failed
}

// returnOwnership gives back the slots that a tick took which died before it could. What was decided is about the object
// as it was before, so it is decided again.
func (w *workloadRun) returnOwnership(ctx context.Context, p progress) progress {
	read := w.giveBack(ctx, p.reading)
	if read.object == p.reading.object {
		return p
	}
	p.reading = read
	p.facts.Object = w.facts(read)
	return w.decideAgain(ctx, p)
}

// giveBack gives slots that a patch of ours has taken to those who owned them before.
func (w *workloadRun) giveBack(ctx context.Context, read reading) reading {
	failed := cluster.ErrConflict
	for range cluster.MaxConflicts {
		slots, owners := w.toReturn(read)
		if len(slots) == 0 {
			return read
		}
		object, err := w.Cluster.ReturnOwnership(ctx, read.object, slots, owners)
		if cluster.IsConflict(err) && cluster.CalmDown(ctx) {
			object, err = w.newest(ctx, w.ref)
		}
		if err != nil {
			failed = err
			break
		}
		read = read.with(object, w.boundWorkload)
	}
	w.Log.WarnContext(ctx, "a slot could not be handed back to its owner: the next tick tries again", "workload", w.ref.String(), "error", failure.Clean(failed.Error()))
	return read
}

// toReturn are the slots that are ours, and who owned each before, by the slot's key.
func (w *workloadRun) toReturn(read reading) (slots []workload.Slot, owners map[string][]string) {
	facts := decide.Workload{Object: w.facts(read), Bindings: w.planned.facts.Bindings}
	owners = map[string][]string{}
	for _, slot := range w.rules.ToReturn(facts, w.targets) {
		found := read.places[slot.Binding][slot.Slot].Slot
		slots = append(slots, found)
		owners[found.Key()] = slot.Owners
	}
	return slots, owners
}
