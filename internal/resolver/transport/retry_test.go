package transport

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

func TestWhatIsAskedAgain(t *testing.T) {
	t.Parallel()
	ghcr := `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 285.47µs, allowed: 44000/minute"}]}`
	for name, c := range map[string]struct {
		first  *http.Response
		failed Kind
		tries  int
	}{
		"a good one":             {first: reply(200, "x"), tries: 1},
		"a 401":                  {first: reply(401, ""), tries: 1},
		"a 404":                  {first: reply(404, ""), tries: 1},
		"a 408":                  {first: reply(408, ""), tries: 3},
		"a 500":                  {first: reply(500, ""), tries: 3},
		"a 501":                  {first: reply(501, ""), tries: 1},
		"a 503":                  {first: reply(503, ""), tries: 3},
		"a 429 without a hint":   {first: reply(429, ""), tries: 1},
		"a 429 that says now":    {first: reply(429, "", "Retry-After", "0"), tries: 3},
		"a 429 that says late":   {first: reply(429, "", "Retry-After", "86400"), tries: 1},
		"a 429 as ghcr.io's":     {first: reply(429, ghcr), tries: 3},
		"a reset":                {failed: Reset, tries: 3},
		"half a body":            {failed: Truncated, tries: 3},
		"a name that is not":     {failed: NoName, tries: 1},
		"an unknown certificate": {failed: UnknownAuthority, tries: 1},
		"a proxy that refuses":   {failed: ProxyRefused, tries: 1},
		"a redirect to nowhere":  {failed: BadRedirect, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for once, tries := range map[bool]int{false: c.tries, true: 1} {
				under := &answering{answers: []*http.Response{c.first}}
				if c.failed != 0 {
					under.err = &Failure{Kind: c.failed}
				}
				r, call := get(t, "https://a.io/v2/", failure.StagePing)
				call.Once = once
				ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
				defer cancel()
				answer, err := (&retry{next: under, backoff: []time.Duration{0, time.Millisecond}}).RoundTrip(r.WithContext(ctx))
				assert.Len(t, under.asked, tries)
				if c.failed != 0 {
					require.ErrorIs(t, err, under.err)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, c.first.StatusCode, answer.StatusCode)
			}
		})
	}
}

// Once a registry has said "not for an hour", nothing else is asked of it.
func TestARegistryThatAskedToWaitIsLeftAlone(t *testing.T) {
	t.Parallel()
	under := &answering{answers: []*http.Response{reply(429, "", "Retry-After", "3600")}}
	again := &retry{next: under, backoff: []time.Duration{0}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := again.RoundTrip(request(t, ctx, http.MethodHead, "https://a.io/v2/x/manifests/1"))
	require.NoError(t, err)
	_, err = again.RoundTrip(request(t, ctx, http.MethodHead, "https://a.io/v2/y/manifests/1"))
	held, ok := errors.AsType[*Failure](err)
	require.True(t, ok)
	assert.Equal(t, BackedOff, held.Kind)
	assert.InDelta(t, time.Hour, held.Retry, float64(time.Minute))
	assert.Len(t, under.asked, 1)
}

// What an earlier try was told says more than that there was no time for another.
func TestA502BeforeTimeRanOutIsWhatCounts(t *testing.T) {
	t.Parallel()
	tries := 0
	under := below(func(*http.Request) (*http.Response, error) {
		if tries++; tries == 1 {
			return reply(502, ""), nil
		}
		return nil, &Failure{Kind: TimedOut}
	})
	answer, err := (&retry{next: under, backoff: []time.Duration{0}}).RoundTrip(request(t, t.Context(), http.MethodGet, "https://a.io/v2/"))
	require.NoError(t, err)
	assert.Equal(t, 502, answer.StatusCode)
	assert.Equal(t, 2, tries)
}

// The form in which an identity token is exchanged is sent again as a whole.
func TestABodyIsSentAgain(t *testing.T) {
	t.Parallel()
	var sent []string
	under := below(func(r *http.Request) (*http.Response, error) {
		held := make([]byte, 9)
		n, _ := r.Body.Read(held)
		sent = append(sent, string(held[:n]))
		return reply(503, ""), nil
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.io/token", strings.NewReader("form"))
	require.NoError(t, err)
	_, err = (&retry{next: under, backoff: []time.Duration{0}}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, []string{"form", "form"}, sent)
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "999999999999": longestRetry,
		"Sat, 01 Aug 2026 12:00:30 GMT": 30 * time.Second, "Sat, 01 Aug 2026 11:00:00 GMT": 0, "Sat, 01 Aug 2099 11:00:00 GMT": longestRetry,
	} {
		got, ok := parseRetryAfter(header, now)
		assert.True(t, ok, header)
		assert.Equal(t, want, got, header)
	}
	for _, header := range []string{"", "-1", "1.5", "soon", "99999999999999999999999", "1s"} {
		_, ok := parseRetryAfter(header, now)
		assert.False(t, ok, header)
	}
}

func TestWhatGHCRsMessageAsksFor(t *testing.T) {
	t.Parallel()
	asked := func(status int, message string) (time.Duration, bool) {
		return askedToWait(reply(status, `{"errors":[{"code":"TOOMANYREQUESTS","message":"`+message+`"}]}`), time.Now())
	}
	for message, want := range map[string]time.Duration{
		"retry-after: 285.47µs, allowed: 44000/minute": 285470 * time.Nanosecond,
		"Retry-After: 2s":  2 * time.Second,
		"retry-after: 30":  30 * time.Second,
		"retry-after: -4s": 0,
	} {
		got, ok := asked(429, message)
		assert.True(t, ok, message)
		assert.Equal(t, want, got, message)
	}
	for _, message := range []string{"retry-after: soon", "slow down"} {
		_, ok := asked(429, message)
		assert.False(t, ok, message)
	}
	_, ok := asked(503, "retry-after: 2s")
	assert.False(t, ok)
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", []byte(`{"errors":[{"message":"retry-after: 285.47µs, allowed: 44000/minute"}]}`))
	f.Add("Sat, 01 Aug 2026 12:00:30 GMT", []byte(`{}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		wait, _ := parseRetryAfter(header, time.Unix(1_700_000_000, 0))
		other, _ := askedToWait(reply(429, string(body)), time.Unix(1_700_000_000, 0))
		if min(wait, other) < 0 || max(wait, other) > longestRetry {
			t.Fatalf("%s, %s", wait, other)
		}
		_ = parseQuota(http.Header{"Ratelimit-Remaining": {header}})
	})
}
