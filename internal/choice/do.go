package choice

import (
	"context"
	"slices"
	"sync"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Chooser carries out choices, with the rights of the person who runs it.
type Chooser struct {
	Tick    *tick.Runner
	Cluster *cluster.Client
	Keys    annotate.Keys
	Runbook failure.Runbook
}

// Run carries out a choice on every workload that carries the target, side by side. What goes wrong on one stops no other.
func (c *Chooser) Run(ctx context.Context, choice Choice, target config.Target) Report {
	report := Report{Report: result.New(version.Version(), string(choice), c.Tick.Started)}
	carriers := c.Tick.Carriers(ctx, target.Name, choice == Skip || choice == Approve && target.Notify)
	report.Changes = make([]Change, len(carriers))
	var all sync.WaitGroup
	for at, carrier := range carriers {
		all.Go(func() { report.Changes[at] = c.change(ctx, choice, target.Name, carrier) })
	}
	all.Wait()
	return report.ended(c.Tick.Now())
}

// change carries out a choice on one workload. Each write is guarded by the version that was read: on a conflict the workload is read
// and decided again.
func (c *Chooser) change(ctx context.Context, choice Choice, target string, carrier tick.Carrier) Change {
	if carrier.Failure != nil {
		return c.changed(target, carrier, Decision{}, carrier.Failure)
	}
	for try, object := 1, carrier.Object; ; try++ {
		decided, err := c.once(ctx, choice, target, carrier, object)
		switch conflict := cluster.IsConflict(err); {
		case !conflict && (!decided.Again || try == cluster.MaxConflicts):
			return c.changed(target, carrier, decided, failure.Of(err, failure.API))
		case try == cluster.MaxConflicts:
			return c.changed(target, carrier, decided, cluster.KeepsChanging(carrier.Ref))
		}
		if !cluster.CalmDown(ctx) {
			return c.changed(target, carrier, decided, interrupted(carrier.Ref))
		}
		if object, err = c.Cluster.Get(ctx, carrier.Ref); err != nil {
			return c.changed(target, carrier, decided, failure.Of(err, failure.API))
		}
	}
}

func interrupted(ref workload.Ref) *failure.Error {
	return &failure.Error{Cause: failure.API, Message: "interrupted, maybe before anything was changed on " + ref.String(), Fix: "run it again"}
}

// once decides for an object as it was read, and writes. The error is cluster.ErrConflict where it has changed since, or else a
// *failure.Error.
func (c *Chooser) once(ctx context.Context, choice Choice, target string, carrier tick.Carrier, object *workload.Object) (Decision, error) {
	facts, wrong := c.facts(choice, target, carrier, object)
	if wrong != nil {
		return Decision{}, wrong
	}
	decided := choice.Decide(c.Keys, facts)
	if decided.Outcome != Changed {
		return decided, nil
	}
	write := workload.Change{Labels: decided.Labels, Annotations: decided.Annotations}
	written, err := c.Cluster.Patch(ctx, object, write)
	if err != nil {
		return decided, err
	}
	if lost := write.Lost(written); lost != nil {
		return decided, lost
	}
	return decided, nil
}

// facts are those of an object, or why nothing can be decided there. A retry asks for neither slots nor latest.
func (c *Chooser) facts(choice Choice, target string, carrier tick.Carrier, object *workload.Object) (Facts, *failure.Error) {
	labels, annotations := object.Meta.Labels, object.Meta.Annotations
	record, _ := c.Keys.Read(target, labels, annotations)
	facts := Facts{
		Ref: carrier.Ref, Target: target, Notify: carrier.Policy.Notify, PinsBareTags: carrier.Policy.PinsBareTags(), Latest: carrier.Latest.Digest,
		Others: carrier.Others, Record: record, Held: labels[c.Keys.Hold()] == "true" || object.Paused, Remembers: annotations[c.Keys.State(target)] != "",
		Approved: labels[c.Keys.Approve()], Skipped: labels[c.Keys.Skip()],
	}
	places := carrier.Slots(object)
	if choice == Retry {
		facts.Returning = slices.ContainsFunc(places, func(p workload.Place) bool {
			return p.Problem == nil && len(record.State.Owners[p.Slot.Key()]) > 0 && object.Claimed(p.Slot)
		})
		return facts, nil
	}
	if choice == Approve && !facts.Notify {
		return facts, nil
	}
	for _, place := range places {
		if place.Problem != nil {
			return facts, place.Problem
		}
	}
	switch {
	case carrier.Latest.Failure != nil:
		return facts, carrier.Latest.Failure
	case carrier.Latest.Digest == "":
		return facts, interrupted(carrier.Ref)
	}
	facts.Live = workload.Contents([][]workload.Place{places})[0]
	return facts, nil
}
