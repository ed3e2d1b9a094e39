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
	ctx := r.Context()
	var before outcome
	for try := 0; ; try++ {
		if wait := t.wait(); wait > 0 && !pause(ctx, wait) {
			held := failureOf(r, Held)
			held.Retry = wait
			return before.or(outcome{err: held}).values()
		}
		now := t.send(r)
		if now.late() {
			now = before.or(now)
		}
		if wait, hinted := now.hint(); now.status() == http.StatusTooManyRequests && hinted {
			t.hold(wait)
		}
		wait, again := t.again(now, try)
		if !again || callOf(ctx).Once || !pause(ctx, wait) {
			return now.values()
		}
		before = now
	}
}

// send sends a copy, so that it can be sent again, and those below may change it.
func (t *retry) send(r *http.Request) outcome {
	one := r.Clone(r.Context())
	if r.GetBody != nil {
		fresh, err := r.GetBody()
		if err != nil {
			return outcome{err: err}
		}
		one.Body = fresh
	}
	answer, err := t.next.RoundTrip(one) //nolint:bodyclose // by whoever gets it; those that nobody gets hold no connection
	return outcome{answer: answer, err: err}
}

// again says whether another try is worth it, and after what pause.
func (t *retry) again(o outcome, try int) (time.Duration, bool) {
	if try >= len(t.backoff) {
		return 0, false
	}
	asked, hinted := o.hint()
	failure, _ := errors.AsType[*Failure](o.err)
	switch status := o.status(); {
	case status == http.StatusTooManyRequests:
		return asked, hinted
	case status >= http.StatusInternalServerError && status != http.StatusNotImplemented, status == http.StatusRequestTimeout:
		return max(asked, t.backoff[try]), true
	case failure != nil && failure.temporary():
		return t.backoff[try], true
	default:
		return 0, false
	}
}

func (t *retry) hold(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(d); until.After(t.notBefore) {
		t.notBefore = until
	}
}

func (t *retry) wait() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(time.Until(t.notBefore), 0)
}

// outcome is what came of one try. The body of its answer is in memory.
type outcome struct {
	answer *http.Response
	err    error
}

func (o outcome) values() (*http.Response, error) { return o.answer, o.err }

func (o outcome) status() int {
	if o.answer == nil {
		return 0
	}
	return o.answer.StatusCode
}

func (o outcome) hint() (time.Duration, bool) {
	if o.answer == nil {
		return 0, false
	}
	return askedToWait(o.answer, time.Now())
}

// late says that there was no time left for this try.
func (o outcome) late() bool {
	failure, ok := errors.AsType[*Failure](o.err)
	return ok && failure.Kind == Late
}

// or prefers what an earlier try found out to "no time was left" of a later one.
func (o outcome) or(later outcome) outcome {
	if o.answer == nil && o.err == nil {
		return later
	}
	return o
}

// askedToWait is how long an answer asks to wait: in its header or, as ghcr.io's, in the message of its error, as in
// "retry-after: 285.47µs, allowed: 44000/minute".
func askedToWait(answer *http.Response, now time.Time) (time.Duration, bool) {
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

// pause waits, and says whether it could to the end.
func pause(ctx context.Context, wait time.Duration) bool {
	if until, ok := ctx.Deadline(); ok && time.Until(until) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
