package apiproxy

import (
	"context"
	"sync"
)

// waited knows which objects have been watched by somebody who has stopped.
type waited struct {
	mu      sync.Mutex
	stopped map[string]bool
	hold    func(ctx context.Context, object Request)
}

// HoldReads calls hold before each read by name that follows a watch of the same object: the read of a tick that has waited
// long enough. A test whose ticks wait for a second needs no quick machine, if hold waits for what the tick was meant to see.
func (p *Proxy) HoldReads(hold func(ctx context.Context, object Request)) {
	p.waited.mu.Lock()
	defer p.waited.mu.Unlock()
	p.waited.stopped, p.waited.hold = map[string]bool{}, hold
}

// before is called before a request goes on to the API server.
func (w *waited) before(ctx context.Context, r Request) {
	w.mu.Lock()
	key := r.Namespace + "/" + r.Resource + "/" + r.target()
	held := w.hold != nil && r.Verb == "get" && r.Subresource == "" && w.stopped[key]
	if held {
		delete(w.stopped, key)
	}
	w.mu.Unlock()
	if held {
		w.hold(ctx, r)
	}
}

// after is called when a request is over.
func (w *waited) after(r Request) {
	if r.Verb != "watch" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped != nil {
		w.stopped[r.Namespace+"/"+r.Resource+"/"+r.target()] = true
	}
}
