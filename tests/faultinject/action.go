package faultinject

import (
	"bytes"
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
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
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) { await(time.After(d))(w, r, next) }
}

// Hold answers as usual once release is closed.
func Hold(release <-chan struct{}) Action { return await(release) }

// Hang never answers; it ends when the client gives up or the server closes.
func Hang() Action { return Hold(nil) }

func await[T any](release <-chan T) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-release:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Before calls hook, then answers as usual.
func Before(hook func()) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		hook()
		next.ServeHTTP(w, r)
	}
}

// Then runs one action with another as its server, so that troubles combine:
// Then(Delay(time.Second), Reply(500, "")).
func Then(first, second Action) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		first(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { second(w, r, next) }))
	}
}

// Reset breaks the connection before the server sees the request: a TCP reset
// over HTTP/1.1, a stream reset over HTTP/2.
func Reset() Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { reset(w) }
}

// Lose lets the server carry the request out and breaks the connection before
// the client sees the answer.
func Lose() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
	}
}

// Cut streams as usual and breaks the connection after a while: a watch that
// is dropped in the middle.
func Cut(after time.Duration) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		ctx, cancel := context.WithTimeout(r.Context(), after)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
		if ctx.Err() != nil {
			reset(w)
		}
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
	BreakOff(conn)
}

// BreakOff ends a connection by a reset.
func BreakOff(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a close with nothing to linger for is a reset
	}
	_ = conn.Close()
}

// edited lets the server carry the request out, has change look at the answer,
// and only then lets the client see it. Not for watches: they have no end to
// wait for.
func edited(change func(answer *httptest.ResponseRecorder)) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		change(answer)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client may be gone: its own loss
	}
}

// After lets the server carry the request out, calls hook, and only then lets
// the client see the answer.
func After(hook func()) Action { return edited(func(*httptest.ResponseRecorder) { hook() }) }

// Header changes one header of the server's answer: no values remove it.
func Header(name string, values ...string) Action {
	return edited(func(answer *httptest.ResponseRecorder) {
		answer.Header().Del(name)
		for _, value := range values {
			answer.Header().Add(name, value)
		}
	})
}

// Body answers with the server's status and headers and another body.
func Body(body string) Action { return Edit(func([]byte) []byte { return []byte(body) }) }

// Edit answers with the server's status and headers and what is made of its
// body.
func Edit(change func(body []byte) []byte) Action {
	return edited(func(answer *httptest.ResponseRecorder) {
		answer.Body = bytes.NewBuffer(change(answer.Body.Bytes()))
		promise(answer)
	})
}

// Short promises the whole body and ends the answer after n bytes, without
// breaking the connection.
func Short(n int) Action {
	return edited(func(answer *httptest.ResponseRecorder) {
		promise(answer)
		answer.Body.Truncate(min(n, answer.Body.Len()))
	})
}

func promise(answer *httptest.ResponseRecorder) {
	answer.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
}

// Truncate promises the whole body and breaks the connection after n bytes.
func Truncate(n int) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		Short(n)(w, r, next)
		_ = http.NewResponseController(w).Flush() // what was promised must be seen before the break
		panic(http.ErrAbortHandler)
	}
}

// endless answers with the server's status and headers, and without a body.
var endless = edited(func(answer *httptest.ResponseRecorder) {
	answer.Header().Del("Content-Length")
	answer.Body.Reset()
})

// Drip answers with the server's status and headers and then a space now and
// then, for ever. It ends when the client hangs up.
func Drip() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		endless(w, r, next)
		for range time.Tick(20 * time.Millisecond) {
			_, _ = w.Write([]byte(" "))
			if http.NewResponseController(w).Flush() != nil || r.Context().Err() != nil {
				return
			}
		}
	}
}

// Huge answers with the server's status and headers and n bytes of spaces,
// which no parser stops at early. It ends when the client hangs up.
func Huge(n int64) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		endless(w, r, next)
		block := bytes.Repeat([]byte(" "), 64<<10)
		for left := n; left > 0; left -= int64(len(block)) {
			if _, err := w.Write(block[:min(left, int64(len(block)))]); err != nil {
				return
			}
		}
	}
}
