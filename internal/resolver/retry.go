package resolver

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestRetry bounds what is believed of a Retry-After.
const longestRetry = 24 * time.Hour

// parseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date. False where there is
// none, or none that can be read.
func parseRetryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseUint(header, 10, 63); err == nil {
		if seconds > uint64(longestRetry/time.Second) {
			return longestRetry, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), longestRetry), true
}

// retryAfterIn reads what ghcr.io says in the message of its error in place of the header (FACTS.md,
// Registries), as in "retry-after: 285.47µs, allowed: 44000/minute".
func retryAfterIn(body []byte) (time.Duration, bool) {
	for _, e := range parseErrors(body) {
		_, rest, found := strings.Cut(strings.ToLower(e.Message), "retry-after:")
		if !found {
			continue
		}
		text, _, _ := strings.Cut(rest, ",")
		if wait, err := time.ParseDuration(strings.TrimSpace(text)); err == nil {
			return min(max(wait, 0), longestRetry), true
		}
		if wait, ok := parseRetryAfter(text, time.Time{}); ok {
			return wait, true
		}
	}
	return 0, false
}

// askedToWait is how long an answer asks to wait, wherever it says so.
func askedToWait(answer response) (time.Duration, bool) {
	if wait, ok := parseRetryAfter(answer.header.Get("Retry-After"), time.Now()); ok {
		return wait, true
	}
	return retryAfterIn(answer.body)
}

// registryError is one error of a registry's JSON body (distribution specification, "Error codes").
type registryError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func parseErrors(body []byte) []registryError {
	var answer struct {
		Errors []registryError `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	return answer.Errors
}

// errorCode is the first error code of a body that looks like one: it is printed, so it must be a word.
func errorCode(body []byte) string {
	for _, e := range parseErrors(body) {
		ok := len(e.Code) > 0 && len(e.Code) <= 40
		for _, r := range e.Code {
			ok = ok && (r >= 'A' && r <= 'Z' || r == '_')
		}
		if ok {
			return e.Code
		}
	}
	return ""
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
