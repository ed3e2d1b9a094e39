package transport

import (
	"context"
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
	for name, c := range map[string]struct {
		answer answer
		tries  int
	}{
		"a good one":             {reply(200, "x"), 1},
		"a 401":                  {reply(401, ""), 1},
		"a 404":                  {reply(404, ""), 1},
		"a 408":                  {reply(408, ""), 3},
		"a 500":                  {reply(500, ""), 3},
		"a 501":                  {reply(501, ""), 1},
		"a 503":                  {reply(503, ""), 3},
		"a 429 without a hint":   {reply(429, ""), 1},
		"a 429 that says now":    {reply(429, "", "Retry-After", "0"), 3},
		"a 429 that says late":   {reply(429, "", "Retry-After", "86400"), 1},
		"a 429 as ghcr.io's":     {reply(429, ghcrsHint), 3},
		"a reset":                {failing(Reset), 3},
		"half a body":            {failing(Truncated), 3},
		"a name that is not":     {failing(NoName), 1},
		"an unknown certificate": {failing(UnknownAuthority), 1},
		"a proxy that refuses":   {failing(ProxyRefused), 1},
		"a redirect to nowhere":  {failing(BadRedirect), 1},
	} {
		for once, tries := range map[bool]int{false: c.tries, true: 1} {
			next, r := below(c.answer), get(t, "https://a.io/v2/", "", failure.StagePing)
			callOf(r.Context()).Once = once
			ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
			defer cancel()
			got, err := (&retry{next: next, backoff: []time.Duration{0, time.Millisecond}}).RoundTrip(r.WithContext(ctx))
			assert.Len(t, next.asked, tries, name)
			want, failed := c.answer(r)
			assert.Equal(t, failed, err, name)
			if err == nil {
				assert.Equal(t, want.StatusCode, got.StatusCode, name)
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
		if failed, ok := err.(*Failure); ok { //nolint:errorlint // it is not wrapped
			assert.InDelta(t, time.Hour, failed.Retry, float64(time.Minute))
		}
	}
	assert.Len(t, next.asked, 1)
}

// What an earlier try was told says more than that there was no time for another.
func TestA502BeforeTimeRanOutIsWhatCounts(t *testing.T) {
	t.Parallel()
	next := below(reply(502, ""), failing(TimedOut))
	answer, err := (&retry{next: next, backoff: []time.Duration{0}}).RoundTrip(get(t, "https://a.io/v2/", "", failure.StagePing))
	require.NoError(t, err)
	assert.Equal(t, 502, answer.StatusCode)
	assert.Len(t, next.asked, 2)
}

// The form in which an identity token is exchanged is sent again as a whole.
func TestABodyIsSentAgain(t *testing.T) {
	t.Parallel()
	var sent []string
	next := below(func(r *http.Request) (*http.Response, error) {
		held, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		sent = append(sent, string(held))
		return reply(503, "")(r)
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.io/token", strings.NewReader("form"))
	require.NoError(t, err)
	_, err = (&retry{next: next, backoff: []time.Duration{0}}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, []string{"form", "form"}, sent)
}

// In the header, and as ghcr.io says it.
func TestHowLongToWait(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	const never = -1
	for _, c := range []struct {
		status          int
		header, message string
		want            time.Duration
	}{
		{429, "0", "", 0}, {429, "7", "", 7 * time.Second}, {503, " 7 ", "", 7 * time.Second}, {429, "999999999999", "", longestRetry},
		{429, "Sat, 01 Aug 2026 12:00:30 GMT", "", 30 * time.Second}, {429, "Sat, 01 Aug 2026 11:00:00 GMT", "", 0},
		{429, "Sat, 01 Aug 2099 11:00:00 GMT", "", longestRetry},
		{429, "", "", never}, {429, "-1", "", never}, {429, "1.5", "", never}, {429, "soon", "", never}, {429, "1s", "", never},
		{429, "99999999999999999999999", "", never}, {200, "7", "", never},
		{429, "", "retry-after: 285.47µs, allowed: 44000/minute", 285470 * time.Nanosecond}, {429, "", "Retry-After: 2s", 2 * time.Second},
		{429, "", "retry-after: 30", 30 * time.Second}, {429, "", "retry-after: -4s", 0},
		{429, "", "retry-after: soon", never}, {429, "", "slow down", never}, {503, "", "retry-after: 2s", never},
	} {
		body := `{"errors":[{"code":"TOOMANYREQUESTS","message":"` + c.message + `"}]}`
		answer, err := reply(c.status, body, "Retry-After", c.header)(get(t, "https://a.io/v2/", "", failure.StagePing))
		require.NoError(t, err)
		got, ok := askedToWait(answer, now)
		assert.Equal(t, c.want != never, ok, "%s%s", c.header, c.message)
		assert.Equal(t, max(c.want, 0), got, "%s%s", c.header, c.message)
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
