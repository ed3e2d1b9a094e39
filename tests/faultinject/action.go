package faultinject

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// Action answers a request in place of its server, which is next.
type Action func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Reply answers with a status, a body and headers given as name and value in
// turn; the server never sees the request.
func Reply(status int, body string, headers ...string) Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client may be gone: its own loss
	}
}

// Delay answers as usual, after a while.
func Delay(d time.Duration) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Hang never answers; it ends when the client gives up or the server closes.
func Hang() Action {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		<-r.Context().Done()
	}
}

// Hold answers as usual once release is closed.
func Hold(release <-chan struct{}) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-release:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Reset breaks the connection before the server sees the request: a TCP reset
// over HTTP/1.1, a stream reset over HTTP/2.
func Reset() Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { reset(w) }
}

// Before calls hook, then answers as usual.
func Before(hook func()) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		hook()
		next.ServeHTTP(w, r)
	}
}

// After lets the server carry the request out, calls hook, and only then lets
// the client see the answer. Not for watches: they have no end to wait for.
func After(hook func()) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := capture(r, next)
		hook()
		answer.send(w, len(answer.body))
	}
}

// Lose lets the server carry the request out and breaks the connection before
// the client sees the answer.
func Lose() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		capture(r, next)
		reset(w)
	}
}

// Cut streams as usual and breaks the connection after a while: a watch that
// is dropped in the middle.
func Cut(after time.Duration) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		timed, cancel := withTimeout(r, after)
		defer cancel()
		next.ServeHTTP(w, timed)
		if timed.Context().Err() != nil {
			reset(w)
		}
	}
}

// Then runs one action with another as its server, so that troubles combine:
// Then(Delay(time.Second), Reply(500, "")).
func Then(first, second Action) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		first(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { second(w, r, next) }))
	}
}

func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the way to break one stream
	}
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = inner.NetConn() // closing the TLS layer would say goodbye first
	}
	breakOff(conn)
}

func breakOff(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a close with nothing to linger for is a reset
	}
	_ = conn.Close()
}

func contentLength(n int) string { return strconv.Itoa(n) }
