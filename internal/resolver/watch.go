package resolver

import (
	"context"
	"net/http/httptrace"
	"sync"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// phase is how far one request has come.
type phase int

const (
	waiting phase = iota
	naming
	connecting
	tunnelling // connected to the proxy, which has not opened the way yet
	handshaking
	asking
)

// step is where one request stands.
type step struct {
	role     fault.Stage // what is being asked
	host     string      // of the request's URL
	secure   bool        // https
	proxy    string      // host:port of the proxy, where one is used
	proxyTLS bool        // the proxy itself is spoken to over TLS, and that handshake is still to come
	phase    phase
}

// watch follows what is done on behalf of one caller, so that when its time runs out it can be said where.
type watch struct {
	mu      sync.Mutex
	current *step
	waits   *watch // the shared work that the caller waits for
}

type watchKey struct{}

func withWatch(ctx context.Context) (context.Context, *watch) {
	w := &watch{}
	return context.WithValue(ctx, watchKey{}, w), w
}

// watchOf returns the watch of ctx, or one that nobody looks at.
func watchOf(ctx context.Context) *watch {
	if w, ok := ctx.Value(watchKey{}).(*watch); ok {
		return w
	}
	return &watch{}
}

func (w *watch) follow(other *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = other
}

// where returns the step under way, in the shared work first.
func (w *watch) where() step {
	w.mu.Lock()
	waits, current := w.waits, w.current
	var now step
	if current != nil {
		now = *current
	}
	w.mu.Unlock()
	if waits != nil {
		if there := waits.where(); there.host != "" {
			return there
		}
	}
	return now
}

// begin starts a new step; later events of earlier ones (a dial that goes on in the background) no longer
// count.
func (w *watch) begin(role fault.Stage, host string, secure bool) *tracer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = &step{role: role, host: host, secure: secure}
	return &tracer{watch: w, step: w.current}
}

// tracer moves one step on as net/http reports its progress.
type tracer struct {
	watch *watch
	step  *step
}

type tracerKey struct{}

func (t *tracer) change(f func(s *step)) {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	f(t.step)
}

func (t *tracer) now() step {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	return *t.step
}

func (t *tracer) to(next phase) { t.change(func(s *step) { s.phase = next }) }

// proxied notes the proxy that net/http has chosen.
func (t *tracer) proxied(host string, secure bool) {
	t.change(func(s *step) { s.proxy, s.proxyTLS = host, secure })
}

// attach has net/http report to t.
func (t *tracer) attach(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, tracerKey{}, t), hooksOf(t))
}

func hooksOf(t *tracer) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:      func(string) { t.to(connecting) },
		DNSStart:     func(httptrace.DNSStartInfo) { t.to(naming) },
		DNSDone:      func(httptrace.DNSDoneInfo) { t.to(connecting) },
		ConnectStart: func(string, string) { t.to(connecting) },
		ConnectDone: func(_, _ string, err error) {
			t.change(func(s *step) {
				if err == nil && s.proxy != "" && s.secure {
					s.phase = tunnelling
				}
			})
		},
		TLSHandshakeStart: func() {
			t.change(func(s *step) {
				if s.proxyTLS { // the first of two handshakes is the proxy's
					s.proxyTLS = false
					return
				}
				s.phase = handshaking
			})
		},
		GotConn: func(httptrace.GotConnInfo) { t.to(asking) },
	}
}
