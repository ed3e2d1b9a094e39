package resolver_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// limited answers a 429 with a header or a body, as often as told, and then as the registry does.
func limited(times int32, header, message string, next http.HandlerFunc) http.HandlerFunc {
	var asked atomic.Int32
	return func(rw http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > times {
			next(rw, r)
			return
		}
		if header != "" {
			rw.Header().Set("Retry-After", header)
		}
		refuse(rw, http.StatusTooManyRequests, "TOOMANYREQUESTS", message)
	}
}

func TestNeverGetAfter429_I31(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broken(map[string]http.HandlerFunc{"manifest": status(429)})
	answer := w.one("t/i:1")
	assert.Equal(t, fault.RateLimited, answer.Failure.Cause)
	assert.Equal(t, []string{"GET registry-1.docker.io/v2/", "GET auth.docker.io/token", "HEAD registry-1.docker.io/v2/t/i/manifests/1"}, w.asked())
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		times           int32
		header, message string
		stage           string
		resolves        bool
		requests        int
		retry           time.Duration
	}{
		"inside the deadline":     {1, "0", "", "manifest", true, 2, 0},
		"again and again":         {9, "0", "", "manifest", false, 3, 0},
		"beyond the deadline":     {1, "3600", "", "manifest", false, 1, time.Hour},
		"without a hint":          {1, "", "", "manifest", false, 1, 0},
		"ghcr's body":             {1, "", "retry-after: 285.47µs, allowed: 44000/minute", "token", true, 2, 0},
		"ghcr's body, too long":   {1, "", "retry-after: 2h, allowed: 44000/minute", "token", false, 1, 2 * time.Hour},
		"a 503 asks to wait long": {1, "3600", "", "503", false, 1, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			handlers := map[string]http.HandlerFunc{}
			g := newRegistry("https://auth.docker.io/token")
			var digest = g.index("t/i", "1", "a", "linux/amd64")
			cause, path := fault.RateLimited, "/manifests/"
			switch c.stage {
			case "manifest":
				handlers["manifest"] = limited(c.times, c.header, c.message, g.ServeHTTP)
			case "token":
				handlers["token"], path = limited(c.times, c.header, c.message, g.tokens), "/token"
			default:
				cause = fault.ServerError
				handlers["manifest"] = func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Retry-After", c.header)
					rw.WriteHeader(http.StatusServiceUnavailable)
				}
			}
			w.broken(handlers)
			answer := w.one("t/i:1")
			if c.resolves {
				require.Nil(t, answer.Failure)
				assert.Equal(t, digest, answer.Digest)
			} else {
				require.NotNil(t, answer.Failure)
				assert.Equal(t, cause, answer.Failure.Cause)
				assert.Equal(t, c.retry, answer.Failure.Retry)
			}
			assert.Equal(t, c.requests, w.count(path))
		})
	}
}

// Once a host has said "not for an hour", the other images of it are not asked for.
func TestAHostThatAskedToWaitIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broken(map[string]http.HandlerFunc{"manifest": limited(1000, "3600", "", nil)})
	var queries []resolver.Query
	for _, name := range strings.Split("abcdefghijkl", "") {
		queries = append(queries, query(t, "t/"+name+":1"))
	}
	r := w.resolver(func(o *resolver.Options) { o.Concurrency = 1 })
	for _, answer := range r.Resolve(t.Context(), queries) {
		assert.Equal(t, fault.RateLimited, answer.Failure.Cause)
		assert.Contains(t, answer.Failure.Message, "it may be asked again in ")
		assert.InDelta(t, time.Hour, answer.Failure.Retry, float64(time.Minute))
	}
	assert.Equal(t, 1, w.count("HEAD "))
}

func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub := w.dockerHub()
	digest := hub.index("t/i", "1", "a", "linux/amd64")
	q := query(t, "t/i:1")
	for header, want := range map[string]resolver.Quota{
		"": {}, "76;w=21600": {Known: true, Remaining: 76, Window: 6 * time.Hour}, "0;w=21600": {Known: true, Window: 6 * time.Hour},
	} {
		hub.quota = header
		r := w.resolver()
		assert.Equal(t, want, r.Resolve(t.Context(), []resolver.Query{q})[0].Quota)
		pulls := w.count("GET registry-1.docker.io/v2/t/i")
		manifest, err := r.Inspect(t.Context(), q, digest)
		if want.Exhausted() {
			failure := fault.Of(err, fault.API)
			assert.Equal(t, fault.RateLimited, failure.Cause)
			assert.Contains(t, failure.Message, "ratelimit-remaining: 0, counted over 6h0m0s")
			assert.Equal(t, pulls, w.count("GET registry-1.docker.io/v2/t/i"), "nothing is pulled that pods could not pull")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, want, manifest.Quota)
	}
}

// Where our own GET was the last pull, pods could not pull either.
func TestTheLastPull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub := w.dockerHub()
	digest := hub.index("t/i", "1", "a", "linux/amd64")
	hub.quota = "1;w=21600"
	q := query(t, "t/i:1")
	r := w.resolver()
	require.Equal(t, 1, r.Resolve(t.Context(), []resolver.Query{q})[0].Quota.Remaining)
	hub.quota = "0;w=21600"
	_, err := r.Inspect(t.Context(), q, digest)
	failure := fault.Of(err, fault.API)
	require.NotNil(t, failure)
	assert.Equal(t, fault.RateLimited, failure.Cause)
	assert.Contains(t, failure.Message, "ratelimit-remaining: 0")
}

// What an earlier try was told says more than that there was no time for another.
func TestA502BeforeTimeRanOutIsWhatCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int32
	w.broken(map[string]http.HandlerFunc{"manifest": func(rw http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		<-r.Context().Done()
	}})
	answer := w.one("t/i:1", short)
	assert.Equal(t, fault.ServerError, answer.Failure.Cause)
	assert.Equal(t, int32(2), asked.Load())
}
