package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

const ghcrsHint = `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 285.47µs, allowed: 44000/minute"}]}`

func TestWhatIsAskedAgain(t *testing.T) {
	t.Parallel()
	for tries, answers := range map[int][]answer{
		1: {
			reply(200, "x"), reply(401, ""), reply(404, ""), reply(501, ""), reply(429, ""), reply(429, "", "Retry-After", "86400"),
			failing(NoName), failing(UnknownAuthority), failing(ProxyRefused), failing(BadRedirect),
		},
		3: {
			reply(408, ""), reply(500, ""), reply(503, ""), reply(429, "", "Retry-After", "0"), reply(429, ghcrsHint),
			failing(Reset), failing(Truncated),
		},
	} {
		for i, answer := range answers {
			for once, want := range map[bool]int{false: tries, true: 1} {
				next, r := below(answer), get(t, "https://a.io/v2/", "", failure.StagePing)
				callOf(r.Context()).Once = once
				ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
				defer cancel()
				got, err := (&retry{next: next, backoff: []time.Duration{0, time.Millisecond}}).RoundTrip(r.WithContext(ctx))
				assert.Len(t, next.asked, want, "%d, of those with %d tries", i, tries)
				said, failed := answer(r)
				assert.Equal(t, failed, err)
				assert.True(t, failed != nil || said.StatusCode == got.StatusCode)
			}
		}
	}
}

// Once a registry has said "not for an hour", nothing else is asked of it.
func TestARegistryThatAskedToWaitIsLeftAlone(t *testing.T) {
	t.Parallel()
	next := below(reply(429, "", "Retry-After", "3600"))
	again := &retry{next: next, backoff: []time.Duration{0}}
	for _, want := range []Kind{0, BackedOff} {
		r := get(t, "https://a.io/v2/x/manifests/1", "", failure.StageManifest)
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		_, err := again.RoundTrip(r.WithContext(ctx))
		assert.Equal(t, want, kindOf(err))
		if failed, ok := errors.AsType[*Failure](err); ok {
			assert.InDelta(t, time.Hour, failed.Retry, float64(time.Minute))
		}
	}
	assert.Len(t, next.asked, 1)
}

// What an earlier try was told says more than that there was no time for another. The form in which an identity token is
// exchanged is sent again as a whole.
func TestA502BeforeTimeRanOutIsWhatCounts(t *testing.T) {
	t.Parallel()
	next := below(reply(502, ""), failing(TimedOut))
	r := get(t, "https://a.io/token", "", failure.StageToken)
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("form")), nil }
	answer, err := (&retry{next: next, backoff: []time.Duration{0}}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, 502, answer.StatusCode)
	require.Len(t, next.asked, 2)
	for _, asked := range next.asked {
		sent, err := io.ReadAll(asked.Body)
		require.NoError(t, err)
		assert.Equal(t, "form", string(sent))
	}
}

// In the header, and as ghcr.io says it.
func TestHowLongToWait(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	asked := func(status int, header, message string) (time.Duration, bool) {
		body := `{"errors":[{"code":"TOOMANYREQUESTS","message":"` + message + `"}]}`
		answer, err := reply(status, body, "Retry-After", header)(get(t, "https://a.io/v2/", "", failure.StagePing))
		require.NoError(t, err)
		return askedToWait(answer, now)
	}
	for _, c := range []struct {
		header, message string
		want            time.Duration
	}{
		{"0", "", 0}, {"7", "", 7 * time.Second}, {" 7 ", "", 7 * time.Second}, {"999999999999", "", longestRetry},
		{"Sat, 01 Aug 2026 12:00:30 GMT", "", 30 * time.Second}, {"Sat, 01 Aug 2026 11:00:00 GMT", "", 0},
		{"Sat, 01 Aug 2099 11:00:00 GMT", "", longestRetry}, {"", "Retry-After: 2s", 2 * time.Second}, {"", "retry-after: -4s", 0},
		{"", "retry-after: 285.47µs, allowed: 44000/minute", 285470 * time.Nanosecond}, {"", "retry-after: 30", 30 * time.Second},
	} {
		got, ok := asked(429, c.header, c.message)
		assert.True(t, ok, c)
		assert.Equal(t, c.want, got, c)
	}
	for _, unclear := range []string{"", "-1", "1.5", "soon", "1s", "99999999999999999999999"} {
		_, ok := asked(429, unclear, "")
		assert.False(t, ok, unclear)
	}
	for status, message := range map[int]string{429: "retry-after: soon", 503: "retry-after: 2s"} { // ghcr.io says so of a 429 alone
		_, ok := asked(status, "", message)
		assert.False(t, ok, message)
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", []byte(ghcrsHint))
	f.Add("Sat, 01 Aug 2026 12:00:30 GMT", []byte(`{}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		wait, _ := parseRetryAfter(header, time.Unix(1_700_000_000, 0))
		answer, err := reply(429, string(body))(get(t, "https://a.io/v2/", "", failure.StagePing))
		require.NoError(t, err)
		other, _ := askedToWait(answer, time.Unix(1_700_000_000, 0))
		if min(wait, other) < 0 || max(wait, other) > longestRetry {
			t.Fatalf("%s, %s", wait, other)
		}
		_ = parseQuota(http.Header{"Ratelimit-Remaining": {header}})
	})
}
