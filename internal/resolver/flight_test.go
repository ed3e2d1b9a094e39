package resolver

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

func TestFlightsDoWorkOnce(t *testing.T) {
	t.Parallel()
	var f flights[string, int32]
	var ran atomic.Int32
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			got, p := f.do(t.Context(), "key", time.Minute, func(context.Context) (int32, *problem) { return ran.Add(1), nil })
			assert.Nil(t, p)
			assert.EqualValues(t, 1, got)
		})
	}
	group.Wait()
	for key, want := range map[string]bool{"key": true, "other": false} {
		_, _, there := f.peek(key)
		assert.Equal(t, want, there)
	}
}

// A caller that gives up does not take the work of the others with it. Work that nobody waits for is stopped, and leaves
// nothing behind: the next caller starts anew.
func TestACallerThatLeaves(t *testing.T) {
	t.Parallel()
	for others, want := range []int{3, 7} {
		synctest.Test(t, func(t *testing.T) {
			var f flights[string, int]
			work := func(ctx context.Context) (int, *problem) {
				select {
				case <-time.After(time.Second):
					return 7, nil
				case <-ctx.Done():
					return 0, unanswered(wire.Ended(ctx))
				}
			}
			first, leave := context.WithCancel(t.Context())
			first, _ = wire.WithProgress(first)
			left := make(chan *problem)
			go func() { _, p := f.do(first, "key", time.Minute, work); left <- p }()
			synctest.Wait()
			values := make(chan int, 1)
			for range others {
				go func() { got, _ := f.do(t.Context(), "key", time.Minute, work); values <- got }()
			}
			synctest.Wait()
			leave()
			assert.Equal(t, wire.Interrupted, (<-left).Kind)
			synctest.Wait()
			got, p := f.do(t.Context(), "key", time.Minute, func(context.Context) (int, *problem) { return 3, nil })
			assert.Nil(t, p)
			assert.Equal(t, want, got)
			if others > 0 {
				assert.Equal(t, 7, <-values)
			}
		})
	}
}

// Work has a time of its own, whatever its callers have.
func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	var f flights[string, int]
	_, p := f.do(t.Context(), "key", time.Millisecond, func(ctx context.Context) (int, *problem) {
		<-ctx.Done()
		return 0, unanswered(wire.Ended(ctx))
	})
	assert.Equal(t, wire.TimedOut, p.Kind)
}
