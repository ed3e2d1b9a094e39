package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/tracebloc/image-refresh/internal/pause"
)

// longestRetry bounds what is believed of a Retry-After.
const longestRetry = 24 * time.Hour

// retry asks again what may pass by itself: a broken connection, a 5xx, and a 429 that says for how long to wait, as far
// as the time of the request goes. The library's own sleeps through the end of a context, and asks again after any 429.
type retry struct {
	next    http.RoundTripper
	backoff []time.Duration

	mu        sync.Mutex
	notBefore time.Time // when the registry may be asked again after a 429
}

func (t *retry) RoundTrip(r *http.Request) (*http.Response, error) {
	var before outcome
	for try := 0; ; try++ {
		now := t.send(r)
		if try > 0 && now.outOfTime() { // what an earlier try was told says more
			now = before
		}
		if try == len(t.backoff) || !now.passes() || callOf(r.Context()).Once || !waited(r.Context(), max(now.wait, t.backoff[try])) {
			return now.answer, now.err
		}
		before = now
	}
}

// outcome is what came of one try. The body of its answer is in memory.
type outcome struct {
	answer *http.Response
	err    error
	wait   time.Duration // that the answer asks for
	hinted bool          // it does ask
}

// send sends a copy, so that it can be sent again, and those below may change it.
func (t *retry) send(r *http.Request) (o outcome) {
	if wait := t.backOff(); wait > 0 && !waited(r.Context(), wait) {
		held := failureOf(r, BackedOff)
		held.Retry = wait
		return outcome{err: held}
	}
	one := r.Clone(r.Context())
	if r.GetBody != nil {
		if one.Body, o.err = r.GetBody(); o.err != nil {
			return o
		}
	}
	o.answer, o.err = t.next.RoundTrip(one) //nolint:bodyclose // by whoever gets it; those that nobody gets hold no connection
	if o.err == nil {
		o.wait, o.hinted = askedToWait(o.answer, time.Now())
		if o.answer.StatusCode == http.StatusTooManyRequests {
			t.backOffUntil(o.wait)
		}
	}
	return o
}

// passes says that another try is worth it.
func (o outcome) passes() bool {
	if o.err != nil {
		failed, ok := errors.AsType[*Failure](o.err)
		return ok && failed.temporary()
	}
	switch status := o.answer.StatusCode; status {
	case http.StatusTooManyRequests:
		return o.hinted
	case http.StatusNotImplemented:
		return false
	default:
		return status >= http.StatusInternalServerError || status == http.StatusRequestTimeout
	}
}

func (o outcome) outOfTime() bool {
	failed, ok := errors.AsType[*Failure](o.err)
	return ok && (failed.Kind == TimedOut || failed.Kind == BackedOff)
}

func (t *retry) backOffUntil(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(d); until.After(t.notBefore) {
		t.notBefore = until
	}
}

func (t *retry) backOff() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(time.Until(t.notBefore), 0)
}

// askedToWait is how long an answer asks to wait: in its header or, as ghcr.io's, in the message of its error, as in
// "retry-after: 285.47µs, allowed: 44000/minute".
func askedToWait(answer *http.Response, now time.Time) (time.Duration, bool) {
	if answer.StatusCode < http.StatusBadRequest {
		return 0, false
	}
	if wait, ok := parseRetryAfter(answer.Header.Get("Retry-After"), now); ok {
		return wait, true
	}
	if answer.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	for _, one := range diagnostics(answer) {
		_, rest, found := strings.Cut(strings.ToLower(one.Message), "retry-after:")
		text, _, _ := strings.Cut(rest, ",")
		if wait, err := time.ParseDuration(strings.TrimSpace(text)); found && err == nil {
			return min(max(wait, 0), longestRetry), true
		}
		if wait, ok := parseRetryAfter(text, now); found && ok {
			return wait, true
		}
	}
	return 0, false
}

// diagnostics are the errors in an answer's body, which is left as it was.
func diagnostics(answer *http.Response) []transport.Diagnostic {
	held, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil
	}
	copied := *answer
	copied.Body = io.NopCloser(bytes.NewReader(held))
	answer.Body = io.NopCloser(bytes.NewReader(held))
	if refusal, ok := errors.AsType[*transport.Error](transport.CheckError(&copied)); ok {
		return refusal.Errors
	}
	return nil
}

// parseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date. False where there is
// none, or none that can be read.
func parseRetryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseUint(header, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(longestRetry/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), longestRetry), true
}

// waited waits, and says whether it could to the end; it does not begin where the context's time is too short.
func waited(ctx context.Context, wait time.Duration) bool {
	if until, ok := ctx.Deadline(); ok && time.Until(until) <= wait {
		return false
	}
	return pause.For(ctx, wait)
}
