package resolver

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

func TestFlightsDoWorkOnce(t *testing.T) {
	t.Parallel()
	var f flights[string, int]
	var mu sync.Mutex
	ran := 0
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			got, p := f.do(t.Context(), "key", time.Minute, func(context.Context) (int, *problem) {
				mu.Lock()
				defer mu.Unlock()
				ran++
				return ran, nil
			})
			assert.Nil(t, p)
			assert.Equal(t, 1, got)
		})
	}
	group.Wait()
	assert.Equal(t, 1, ran)
	_, _, there := f.peek("key")
	assert.True(t, there)
	_, _, there = f.peek("other")
	assert.False(t, there)
}

// A caller that gives up does not take the work of the others with it.
func TestACallerThatLeavesPoisonsNobody(t *testing.T) {
	t.Parallel()
	var f flights[string, int]
	started, finish := make(chan struct{}), make(chan struct{})
	work := func(ctx context.Context) (int, *problem) {
		close(started)
		select {
		case <-finish:
			return 7, nil
		case <-ctx.Done():
			return 0, unanswered(wire.Ended(ctx))
		}
	}
	first, cancel := context.WithCancel(t.Context())
	first, _ = wire.WithProgress(first)
	results := make(chan *problem)
	go func() { _, p := f.do(first, "key", time.Minute, work); results <- p }()
	<-started
	values := make(chan int)
	go func() { got, _ := f.do(t.Context(), "key", time.Minute, work); values <- got }()
	for joined := false; !joined; {
		f.mu.Lock()
		joined = f.work["key"].waiters == 2
		f.mu.Unlock()
	}
	cancel()
	p := <-results
	assert.Equal(t, failure.Timeout, p.cause)
	assert.Equal(t, wire.Interrupted, p.Kind)
	close(finish)
	assert.Equal(t, 7, <-values)
}

// Work that nobody waits for is stopped and leaves nothing behind: the next caller starts anew.
func TestWorkThatNobodyWaitsForIsStopped(t *testing.T) {
	t.Parallel()
	var f flights[string, int]
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	_, p := f.do(ctx, "key", time.Minute, func(own context.Context) (int, *problem) {
		cancel()
		<-own.Done()
		close(stopped)
		return 0, unanswered(wire.Ended(own))
	})
	assert.Equal(t, wire.Interrupted, p.Kind)
	<-stopped
	got, p := f.do(t.Context(), "key", time.Minute, func(context.Context) (int, *problem) { return 3, nil })
	assert.Nil(t, p)
	assert.Equal(t, 3, got)
}

// Work has a time of its own, whatever its callers have.
func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	var f flights[string, int]
	_, p := f.do(t.Context(), "key", time.Millisecond, func(ctx context.Context) (int, *problem) {
		<-ctx.Done()
		return 0, unanswered(wire.Ended(ctx))
	})
	assert.Equal(t, failure.Timeout, p.cause)
	assert.Equal(t, wire.TimedOut, p.Kind)
}
