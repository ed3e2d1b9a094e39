package faultinject

import (
	"bytes"
	"context"
	"net/http"
	"time"
)

// answer is what a server said, held back from its client.
type answer struct {
	header http.Header
	status int
	body   []byte
}

// recorder is the http.ResponseWriter that makes an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func capture(r *http.Request, next http.Handler) answer {
	rec := &recorder{header: http.Header{}}
	next.ServeHTTP(rec, r)
	rec.WriteHeader(http.StatusOK)
	return answer{header: rec.header, status: rec.status, body: rec.body.Bytes()}
}

// send passes on the answer with the first n bytes of its body.
func (a answer) send(w http.ResponseWriter, n int) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:min(n, len(a.body))]) // the client may be gone: its own loss
}

// Header changes one header of the server's answer: no values remove it.
func Header(name string, values ...string) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := capture(r, next)
		answer.header.Del(name)
		for _, value := range values {
			answer.header.Add(name, value)
		}
		answer.send(w, len(answer.body))
	}
}

// Body answers with the server's status and headers and another body.
func Body(body string) Action { return Edit(func([]byte) []byte { return []byte(body) }) }

// Edit answers with the server's status and headers and what is made of its
// body.
func Edit(change func(body []byte) []byte) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := capture(r, next)
		answer.body = change(answer.body)
		answer.header.Set("Content-Length", contentLength(len(answer.body)))
		answer.send(w, len(answer.body))
	}
}

// Truncate promises the whole body and breaks the connection after n bytes.
func Truncate(n int) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := capture(r, next)
		answer.header.Set("Content-Length", contentLength(len(answer.body)))
		answer.send(w, n)
		_ = http.NewResponseController(w).Flush() // what was promised must be seen before the break
		panic(http.ErrAbortHandler)
	}
}

// Short promises the whole body and ends the answer after n bytes, without
// breaking the connection.
func Short(n int) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := capture(r, next)
		answer.header.Set("Content-Length", contentLength(len(answer.body)))
		answer.send(w, n)
	}
}

// Drip answers with the server's status and headers and then a space now and
// then, for ever. It ends when the client hangs up.
func Drip() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := capture(r, next)
		answer.header.Del("Content-Length")
		answer.send(w, 0)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			_, _ = w.Write([]byte(" "))
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// Huge answers with the server's status and headers and n bytes of spaces,
// which no parser stops at early. It ends when the client hangs up.
func Huge(n int64) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := capture(r, next)
		answer.header.Del("Content-Length")
		answer.send(w, 0)
		block := bytes.Repeat([]byte(" "), 64<<10)
		for left := n; left > 0; {
			wrote, err := w.Write(block[:min(left, int64(len(block)))])
			if err != nil {
				return
			}
			left -= int64(wrote)
		}
	}
}

func withTimeout(r *http.Request, d time.Duration) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(r.Context(), d)
	return r.WithContext(ctx), cancel
}
