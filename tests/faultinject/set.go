// Package faultinject breaks HTTP answers on purpose. A server that tests talk to
// has a Set answer its requests; the test has put rules there that say which
// request meets which trouble: a delay, a hang, a status, a reset connection,
// an answer that was carried out and then lost, or a hook of the test's own. A
// Port answers badly before any HTTP is spoken.
package faultinject

import (
	"net/http"
	"slices"
	"sync"
)

// Rule says which requests meet which trouble. T is how the server describes a
// request.
type Rule[T any] struct {
	// Match picks the requests; nil matches every one.
	Match func(T) bool
	// Skip lets so many matching requests pass first: 2 hits the third.
	Skip int
	// Times is how many requests are hit; 0 means every one from then on.
	Times int
	// Do is what they meet.
	Do Action

	seen int
}

// Set is the rules of one server. The zero value is empty and ready.
type Set[T any] struct {
	mu    sync.Mutex
	rules []*Rule[T]
}

// Inject adds a rule and returns a function that takes it away again.
func (s *Set[T]) Inject(rule Rule[T]) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rules = slices.DeleteFunc(s.rules, func(one *Rule[T]) bool { return one == &rule })
	}
}

// Empty tells that no request meets any trouble.
func (s *Set[T]) Empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rules) == 0
}

// pick returns what the request meets, the first rule in order of injection
// that has its turn, or nil. Every matching rule counts the request.
func (s *Set[T]) pick(request T) (picked Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range s.rules {
		if rule.Match != nil && !rule.Match(request) {
			continue
		}
		turn := rule.seen - rule.Skip
		rule.seen++
		if picked == nil && turn >= 0 && (rule.Times == 0 || turn < rule.Times) {
			picked = rule.Do
		}
	}
	return picked
}

// journal keeps what a server was asked, and the status that its client got.
type journal[T any] interface {
	Add(request *T) (kept *T)
	Answered(kept *T, status int)
}

// Serve records a request and answers it, faults first; next is the server.
func (s *Set[T]) Serve(w http.ResponseWriter, r *http.Request, request T, in journal[T], next http.Handler) {
	kept := in.Add(&request)
	noted := &noter{ResponseWriter: w, note: func(status int) { in.Answered(kept, status) }}
	if do := s.pick(request); do != nil {
		do(noted, r, next)
		return
	}
	next.ServeHTTP(noted, r)
}

// noter tells which status the client gets to see.
type noter struct {
	http.ResponseWriter
	note  func(status int)
	wrote bool
}

// Unwrap lets http.ResponseController flush and hijack.
func (n *noter) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (n *noter) WriteHeader(status int) {
	n.wrote = true
	n.note(status)
	n.ResponseWriter.WriteHeader(status)
}

func (n *noter) Write(p []byte) (int, error) {
	if !n.wrote {
		n.WriteHeader(http.StatusOK)
	}
	return n.ResponseWriter.Write(p)
}
