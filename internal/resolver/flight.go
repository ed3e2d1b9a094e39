package resolver

import (
	"context"
	"errors"
	"sync"
	"time"

	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// flights does work that several callers need once: a ping, a token, a manifest. Results are kept for the
// life of the Resolver, which is one tick.
//
// A caller that goes away does not take the others' work with it: work runs on its own time, and is stopped
// only when nobody waits for it any more; then it leaves no result behind.
type flights[K comparable, V any] struct {
	mu   sync.Mutex
	work map[K]*flight[V]
}

// grace is how long a caller whose time is over waits for work that should be over too.
const grace = 50 * time.Millisecond

type flight[V any] struct {
	done    chan struct{}
	value   V
	problem *problem
	waiters int
	cancel  context.CancelFunc
	watch   *wire.Progress
}

// do returns the result of the work for key, and starts it where nobody has.
func (f *flights[K, V]) do(ctx context.Context, key K, limit time.Duration, fn func(context.Context) (V, *problem)) (V, *problem) {
	it := f.join(ctx, key, limit, fn)
	wire.Follow(ctx, it.watch)
	defer wire.Follow(ctx, nil)
	select {
	case <-it.done:
		return it.value, it.problem
	case <-ctx.Done():
	}
	ended := wire.Ended(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) { // the work's own time ends with its caller's, and it knows more
		select {
		case <-it.done:
			return it.value, it.problem
		case <-time.After(grace):
		}
	}
	f.leave(key, it)
	var none V
	return none, unanswered(ended)
}

func (f *flights[K, V]) join(ctx context.Context, key K, limit time.Duration, fn func(context.Context) (V, *problem)) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if it, ok := f.work[key]; ok {
		it.waiters++
		return it
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	own, watch := wire.WithProgress(own)
	it := &flight[V]{done: make(chan struct{}), waiters: 1, cancel: cancel, watch: watch}
	if f.work == nil {
		f.work = map[K]*flight[V]{}
	}
	f.work[key] = it
	go func() {
		defer cancel()
		it.value, it.problem = fn(own)
		close(it.done)
	}()
	return it
}

// leave is for callers that cannot wait any longer.
func (f *flights[K, V]) leave(key K, it *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	it.waiters--
	if it.waiters > 0 {
		return
	}
	select {
	case <-it.done: // the result is there, and stays
	default:
		it.cancel()
		if f.work[key] == it {
			delete(f.work, key)
		}
	}
}

// peek returns a result that is there, without waiting.
func (f *flights[K, V]) peek(key K) (V, *problem, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if it, ok := f.work[key]; ok {
		select {
		case <-it.done:
			return it.value, it.problem, true
		default:
		}
	}
	var none V
	return none, nil, false
}

// begun says whether there is any work, under way or done.
func (f *flights[K, V]) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.work) > 0
}

// forget drops a result that is no longer good.
func (f *flights[K, V]) forget(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.work, key)
}
