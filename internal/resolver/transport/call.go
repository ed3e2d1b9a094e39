package transport

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Call is one question to a registry: what it is about, and what came of it last. It travels in the context, since the
// library hands neither headers nor addresses back to its caller.
type Call struct {
	Stage failure.Stage
	Once  bool // not asked again, whatever came of it
	Answer
}

// Answer is the last answer of a Call.
type Answer struct {
	Status    int           // 0 where none came
	Header    http.Header   // without a challenge
	Challenge http.Header   // of a 401
	URL       *url.URL      // that answered
	Crossed   bool          // another host than the one asked answered
	Retry     time.Duration // how long it asked to wait; 0 where it did not say
	Quota     Quota
}

type callKey struct{}

// Begin starts a call.
func Begin(ctx context.Context, stage failure.Stage) (context.Context, *Call) {
	call := &Call{Stage: stage}
	return context.WithValue(ctx, callKey{}, call), call
}

// callOf returns the call of ctx, or one that nobody looks at.
func callOf(ctx context.Context) *Call {
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		return call
	}
	return &Call{}
}

// Failure is where its last answer came from, for those to whom it is of no use.
func (c *Call) Failure() Failure {
	f := Failure{Place: Place{Role: c.Stage}, Stage: c.Stage, Status: c.Status}
	if c.URL != nil {
		f.Host, f.Secure = c.URL.Host, c.URL.Scheme == "https"
	}
	return f
}
