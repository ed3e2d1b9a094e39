package cluster

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/pause"
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
	var last error // why the object could not be followed since it was last seen
	for {
		if done(newest) || ctx.Err() != nil {
			return newest, last
		}
		began := time.Now()
		seen, watched, finished := c.watch(ctx, newest, done)
		if newest = seen; watched {
			last = nil
		}
		if finished || ctx.Err() != nil {
			return newest, last
		}
		if rest := pollEvery - time.Since(began); rest > 0 { // the watch failed at once: do not spin
			if !pause.For(ctx, rest) {
				return newest, last
			}
		}
		read, err := c.Get(ctx, newest.Ref)
		switch {
		case err == nil:
			newest, last = read, nil
		case ctx.Err() != nil:
			return newest, last
		default:
			last = err
			c.log.WarnContext(ctx, "reading a workload while waiting for it", "workload", newest.Ref.String(), "error", err.Error())
			if found := failure.Of(err, failure.API); found.Cause == failure.WorkloadMissing {
				return newest, err
			}
		}
	}
}

// watch follows events from the object's version on. It returns the newest object, whether the API server sends
// events at all, and whether done said so.
func (c *Client) watch(ctx context.Context, from *workload.Object, done func(*workload.Object) bool) (newest *workload.Object, watched, finished bool) {
	ctx, cancel := context.WithTimeout(klog.NewContext(ctx, c.library), watchFor)
	defer cancel()
	ref := from.Ref
	events, err := c.client(ref).Get().Namespace(ref.Namespace).Resource(ref.Resource()).VersionedParams(&metav1.ListOptions{
		Watch: true, FieldSelector: fields.OneTermEqualSelector("metadata.name", ref.Name).String(),
		ResourceVersion: from.Meta.ResourceVersion,
	}, c.parameters).Watch(ctx)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			c.log.DebugContext(ctx, "watching failed, reading instead", "workload", ref.String(), "error", failure.Clean(err.Error()))
		}
		return from, false, false
	}
	defer events.Stop()
	newest = from
	for {
		select {
		case <-ctx.Done():
			return newest, true, false
		case event, open := <-events.ResultChan():
			if !open || event.Type != watch.Added && event.Type != watch.Modified {
				return newest, newest != from, false // an error, or the object is gone
			}
			object, err := workload.New(event.Object)
			if err != nil {
				return newest, newest != from, false
			}
			newest = object
			if done(newest) {
				return newest, true, true
			}
		}
	}
}
