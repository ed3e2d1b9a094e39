// Package record keeps what servers of the tests were asked, in the order of arrival.
package record

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Exchange is part of whatever describes a request.
type Exchange struct {
	// Seq counts from 1 in the order of arrival.
	Seq int
	// Status is the answer's, 0 while there is none.
	Status int
}

func (e *Exchange) exchange() *Exchange { return e }

// Journal keeps requests. Its zero value is empty, and ready for use by many at once.
type Journal[T any, P interface {
	*T
	exchange() *Exchange
}] struct {
	mu       sync.Mutex
	requests []P
}

// Add keeps a copy of a request, and numbers both. The answer is told of the copy.
func (j *Journal[T, P]) Add(request P) (kept P) {
	j.mu.Lock()
	defer j.mu.Unlock()
	request.exchange().Seq = len(j.requests) + 1
	copied := *request
	j.requests = append(j.requests, &copied)
	return &copied
}

// Answered keeps the status of an answer.
func (j *Journal[T, P]) Answered(kept P, status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept.exchange().Status = status
}

// Recorded returns what was recorded and matches; a nil matcher is any.
func (j *Journal[T, P]) Recorded(match func(T) bool) (requests []T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, request := range j.requests {
		if match == nil || match(*request) {
			requests = append(requests, *request)
		}
	}
	return requests
}

// Aside runs something whose requests are not recorded, as if it had never been.
func (j *Journal[T, P]) Aside(do func()) {
	j.mu.Lock()
	before := len(j.requests)
	j.mu.Unlock()
	do()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests = j.requests[:before:before]
}

// Forget drops what was recorded, so that a test counts from here.
func (j *Journal[T, P]) Forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests = nil
}

// Await waits until n requests match; answered or not.
func (j *Journal[T, P]) Await(ctx context.Context, n int, match func(T) bool) error {
	for {
		seen := len(j.Recorded(match))
		if seen >= n {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d expected requests came: %w", seen, n, ctx.Err())
		}
	}
}
