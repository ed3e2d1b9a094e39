package transport

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// milestone is how far one request has come.
type milestone int

const (
	waiting milestone = iota
	naming
	connecting
	tunnelling // connected to the proxy, which has not opened the way yet
	handshaking
	asking
)

// step is where one request stands.
type step struct {
	Place
	proxyTLS bool // the proxy itself is spoken to over TLS, and that handshake is still to come
	http2    bool // the connection speaks HTTP/2
	reached  milestone
}

// trace follows a request, so that it can be said how far it came, and makes a Failure of what ended it.
type trace struct {
	next http.RoundTripper
}

func (t *trace) RoundTrip(r *http.Request) (*http.Response, error) {
	follower := progressOf(r.Context()).begin(Place{Role: callOf(r.Context()).Stage, Host: r.URL.Host, Secure: r.URL.Scheme == "https"})
	ctx := httptrace.WithClientTrace(context.WithValue(r.Context(), tracerKey{}, follower), follower.hooks(connectedOf(r.Context())))
	answer, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, classify(r.Context(), err, follower.now())
	}
	follower.to(asking)
	return answer, nil
}

type connectedKey struct{}

// WithConnected has f called, once, when what is done with the context has a connection that others can share.
func WithConnected(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, connectedKey{}, sync.OnceFunc(f))
}

func connectedOf(ctx context.Context) func() {
	if f, ok := ctx.Value(connectedKey{}).(func()); ok {
		return f
	}
	return func() {}
}

// Progress follows what is done on behalf of one caller, so that when its time runs out it can be said where.
type Progress struct {
	mu      sync.Mutex
	current *step
	waits   *Progress // the shared work that the caller waits for
}

type progressKey struct{}

// WithProgress has what is done with the context followed.
func WithProgress(ctx context.Context) (context.Context, *Progress) {
	w := &Progress{}
	return context.WithValue(ctx, progressKey{}, w), w
}

func progressOf(ctx context.Context) *Progress {
	if w, ok := ctx.Value(progressKey{}).(*Progress); ok {
		return w
	}
	return &Progress{} // that nobody looks at
}

// Follow has the watch of ctx look at another one's work, until it is told to look at none.
func Follow(ctx context.Context, other *Progress) {
	w := progressOf(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = other
}

// where returns the step under way, in the shared work first.
func (w *Progress) where() step {
	w.mu.Lock()
	waits, current := w.waits, w.current
	var now step
	if current != nil {
		now = *current
	}
	w.mu.Unlock()
	if waits != nil {
		if there := waits.where(); there.Host != "" {
			return there
		}
	}
	return now
}

// begin starts a new step; later events of earlier ones (a dial that goes on in the background) no longer count.
func (w *Progress) begin(at Place) *tracer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = &step{Place: at}
	return &tracer{watch: w, step: w.current}
}

// tracer moves one step on as net/http reports its progress.
type tracer struct {
	watch *Progress
	step  *step
}

type tracerKey struct{}

// stepOf is where the request with this context stands.
func stepOf(ctx context.Context) step {
	if t, ok := ctx.Value(tracerKey{}).(*tracer); ok {
		return t.now()
	}
	return step{}
}

// proxied notes the proxy that net/http has chosen.
func proxied(ctx context.Context, host string, secure bool) {
	if t, ok := ctx.Value(tracerKey{}).(*tracer); ok {
		t.change(func(s *step) { s.Proxy, s.proxyTLS = host, secure })
	}
}

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

func (t *tracer) to(next milestone) { t.change(func(s *step) { s.reached = next }) }

func (t *tracer) hooks(connected func()) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:      func(string) { t.to(connecting) },
		DNSStart:     func(httptrace.DNSStartInfo) { t.to(naming) },
		DNSDone:      func(httptrace.DNSDoneInfo) { t.to(connecting) },
		ConnectStart: func(string, string) { t.to(connecting) },
		ConnectDone: func(_, _ string, err error) {
			t.change(func(s *step) {
				if err == nil && s.Proxy != "" && s.Secure {
					s.reached = tunnelling
				}
			})
		},
		TLSHandshakeStart: func() {
			t.change(func(s *step) {
				if s.proxyTLS { // the first of two handshakes is the proxy's
					s.proxyTLS = false
					return
				}
				s.reached = handshaking
			})
		},
		GotConn: func(got httptrace.GotConnInfo) {
			secure, ok := got.Conn.(*tls.Conn)
			t.change(func(s *step) {
				s.reached, s.http2 = asking, ok && secure.ConnectionState().NegotiatedProtocol == "h2"
			})
			connected()
		},
	}
}
