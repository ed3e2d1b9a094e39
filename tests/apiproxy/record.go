package apiproxy

import (
	"context"
	"fmt"
)

func (p *Proxy) record(request *Request) *Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	recorded := *request
	recorded.Seq = len(p.requests) + 1
	request.Seq = recorded.Seq
	p.requests = append(p.requests, &recorded)
	p.announce()
	return &recorded
}

func (p *Proxy) answered(recorded *Request, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	recorded.Status = status
	p.announce()
}

func (p *Proxy) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Requests returns what was recorded and matches, in the order of arrival; a
// nil matcher is any. What is under way has status 0.
func (p *Proxy) Requests(match Matcher) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var requests []Request
	for _, request := range p.requests {
		if match == nil || match(*request) {
			requests = append(requests, *request)
		}
	}
	return requests
}

// Writes returns the recorded requests that change an object, Events left out.
func (p *Proxy) Writes() []Request {
	return p.Requests(func(r Request) bool { return r.IsWrite() && !r.IsEvent() })
}

// Reads returns the recorded requests that read a resource.
func (p *Proxy) Reads() []Request {
	return p.Requests(func(r Request) bool { return !r.IsWrite() && r.Resource != "" })
}

// Aside runs something whose requests are not recorded, as if it had never been.
func (p *Proxy) Aside(do func()) {
	p.mu.Lock()
	before := len(p.requests)
	p.mu.Unlock()
	do()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = p.requests[:before:before]
}

// Forget drops what was recorded, so that a test counts from here.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// Await waits until n requests match; answered or not.
func (p *Proxy) Await(ctx context.Context, n int, match Matcher) error {
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		seen := len(p.Requests(match))
		if seen >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d expected requests came: %w", seen, n, ctx.Err())
		}
	}
}
