package faultinject

import "sync"

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
}

// Set is the rules of one server. The zero value is empty and ready.
type Set[T any] struct {
	mu    sync.Mutex
	rules []*entry[T]
}

type entry[T any] struct {
	Rule[T]
	seen int
}

// Inject adds a rule and returns a function that takes it away again.
func (s *Set[T]) Inject(rule Rule[T]) (remove func()) {
	added := &entry[T]{Rule: rule}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, rule := range s.rules {
			if rule == added {
				s.rules = append(s.rules[:i:i], s.rules[i+1:]...)
				return
			}
		}
	}
}

// Clear takes every rule away.
func (s *Set[T]) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Empty tells that no request meets any trouble.
func (s *Set[T]) Empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rules) == 0
}

// Pick returns what the request meets, the first rule in order of injection
// that has its turn, or nil. Every matching rule counts the request.
func (s *Set[T]) Pick(request T) Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	var picked Action
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
