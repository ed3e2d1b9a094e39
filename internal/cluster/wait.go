package cluster

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/workload"
)

const (
	// watchFor is how long one watch runs before the object is read afresh: a watch that has gone silent is
	// found out after that long.
	watchFor = 45 * time.Second
	// pollEvery is the pause between reads where watching fails or is forbidden.
	pollEvery = 2 * time.Second
)

// Wait follows one object until done says so or ctx ends, by a watch on that one name, which is all that the
// Role grants. Whatever happens to the watch, the object is read again. It returns the newest object that it
// has seen; the error is that of the last read, where reading failed to the end, or nil.
func (c *Client) Wait(ctx context.Context, from *workload.Object, done func(*workload.Object) bool) (*workload.Object, error) {
	newest := from
	for {
		if done(newest) || ctx.Err() != nil {
			return newest, nil
		}
		began := time.Now()
		seen, finished := c.watch(ctx, newest, done)
		if newest = seen; finished || ctx.Err() != nil {
			return newest, nil
		}
		if rest := pollEvery - time.Since(began); rest > 0 { // the watch failed at once: do not spin
			select {
			case <-time.After(rest):
			case <-ctx.Done():
				return newest, nil
			}
		}
		read, err := c.Get(ctx, newest.Ref)
		switch {
		case err == nil:
			newest = read
		case ctx.Err() != nil:
			return newest, nil
		default:
			c.log.WarnContext(ctx, "reading a workload while waiting for it", "workload", newest.Ref.String(), "error", err.Error())
			if found := fault.Of(err, fault.API); found.Cause == fault.WorkloadMissing {
				return newest, err
			}
		}
	}
}

// watch follows events from the object's version on. It returns the newest object, and whether done said so.
func (c *Client) watch(ctx context.Context, from *workload.Object, done func(*workload.Object) bool) (*workload.Object, bool) {
	ctx, cancel := context.WithTimeout(ctx, watchFor)
	defer cancel()
	ref := from.Ref
	events, err := c.client(ref).Get().Namespace(ref.Namespace).Resource(ref.Resource()).VersionedParams(&metav1.ListOptions{
		Watch: true, FieldSelector: fields.OneTermEqualSelector("metadata.name", ref.Name).String(),
		ResourceVersion: from.Meta.ResourceVersion,
	}, c.parameters).Watch(ctx)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			c.log.DebugContext(ctx, "watching failed, reading instead", "workload", ref.String(), "error", fault.Clean(err.Error()))
		}
		return from, false
	}
	defer events.Stop()
	newest := from
	for {
		select {
		case <-ctx.Done():
			return newest, false
		case event, open := <-events.ResultChan():
			if !open || event.Type == watch.Error || event.Type == watch.Deleted {
				return newest, false
			}
			object, err := workload.New(event.Object)
			if err != nil {
				continue // a bookmark
			}
			newest = object
			if done(newest) {
				return newest, true
			}
		}
	}
}
