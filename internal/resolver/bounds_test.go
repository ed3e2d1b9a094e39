package resolver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// No more images are asked for at once than allowed.
func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var now, most atomic.Int32
	w.broken(map[string]http.HandlerFunc{"manifest": func(rw http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		runtime.Gosched()
		digestHeader(string(digestOf(nil)))(rw, r)
	}})
	var queries []resolver.Query
	for i := range 60 {
		queries = append(queries, query(t, fmt.Sprintf("t/i%d:1", i)))
	}
	for _, answer := range w.resolver(func(o *resolver.Options) { o.Concurrency = 3 }).Resolve(t.Context(), queries) {
		assert.Nil(t, answer.Failure)
	}
	assert.LessOrEqual(t, most.Load(), int32(3))
}

// A host that answers nothing costs a few images their time, not all of them, and no other host's images anything.
func TestASilentHostIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broken(map[string]http.HandlerFunc{"manifest": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	good := newRegistry("")
	digest := good.index("t/i", "1", "a", "linux/amd64")
	w.serve("good.example.com", good.ServeHTTP)
	var queries []resolver.Query
	for i := range 100 {
		queries = append(queries, query(t, fmt.Sprintf("t/i%d:1", i)))
	}
	queries = append(queries, query(t, "good.example.com/t/i:1"))
	started := time.Now()
	answers := w.resolver(func(o *resolver.Options) { o.Timeout, o.Concurrency = 2*time.Second, 4 }).Resolve(t.Context(), queries)
	assert.Less(t, time.Since(started), 20*time.Second)
	given := 0
	for _, answer := range answers[:100] {
		assert.Equal(t, fault.Timeout, answer.Failure.Cause)
		assert.Equal(t, hubHost, answer.Failure.Host)
		if strings.Contains(answer.Failure.Message, "did not answer for 3 images before it") {
			given++
		}
	}
	assert.GreaterOrEqual(t, given, 90)
	assert.Equal(t, digest, answers[100].Digest)
}

// A tick that is told to stop has its answers at once.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.broken(map[string]http.HandlerFunc{"manifest": func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }})
	started := time.Now()
	r := w.resolver(func(o *resolver.Options) { o.Timeout, o.Concurrency = time.Hour, 1 })
	for _, answer := range r.Resolve(ctx, []resolver.Query{query(t, "t/i:1"), query(t, "t/j:1"), query(t, "t/k:1")}) {
		require.NotNil(t, answer.Failure)
		assert.Equal(t, fault.Timeout, answer.Failure.Cause)
		assert.Contains(t, answer.Failure.Message, "the tick was told to stop")
	}
	_, err := r.Inspect(ctx, query(t, "t/i:1"), digestOf(nil))
	assert.Equal(t, fault.Timeout, fault.Of(err, fault.API).Cause)
	assert.Less(t, time.Since(started), 10*time.Second)
}

// A gigabyte where a manifest, a token or an error is expected is neither held nor read to the end.
func TestAGigabyte(t *testing.T) { //nolint:paralleltest // it measures the heap
	w := newWorld(t)
	var sent atomic.Int64
	gigabyte := func(code int) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				return
			}
			rw.WriteHeader(code)
			chunk := []byte(strings.Repeat(`[[[[{"errors":`, 1<<12))
			for range 1 << 30 / len(chunk) {
				n, err := rw.Write(chunk)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}
	}
	for stage, code := range map[string]int{"ping": 200, "token": 200, "manifest": 200, "errors": 404} {
		handlers := map[string]http.HandlerFunc{stage: gigabyte(code)}
		if stage == "errors" {
			handlers = map[string]http.HandlerFunc{"token": gigabyte(code)}
		}
		var before, after runtime.MemStats
		w.broken(handlers)
		runtime.GC()
		runtime.ReadMemStats(&before)
		sent.Store(0)
		answer := w.one("t/i:1")
		runtime.ReadMemStats(&after)
		if stage != "ping" {
			require.NotNil(t, answer.Failure, stage)
		}
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), stage)
		assert.Less(t, sent.Load(), int64(64<<20), stage)
	}
}

// One byte now and then is no answer: time runs out all the same.
func TestSlowDrip(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"ping", "token", "manifest"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			drip := func(rw http.ResponseWriter, r *http.Request) {
				if stage == "ping" {
					rw.WriteHeader(http.StatusUnauthorized)
				}
				ticker := time.NewTicker(20 * time.Millisecond)
				defer ticker.Stop()
				for r.Method != http.MethodHead {
					_, _ = io.WriteString(rw, " ")
					rw.(http.Flusher).Flush()
					select {
					case <-ticker.C:
					case <-r.Context().Done():
						return
					}
				}
			}
			w.broken(map[string]http.HandlerFunc{stage: drip})
			answer := w.one("t/i:1", short)
			require.NotNil(t, answer.Failure)
			assert.Equal(t, fault.Timeout, answer.Failure.Cause)
		})
	}
}

// Large bodies are read one at a time; one that does not end holds up no usual one, and the next large one no longer than
// until its own time is over.
func TestALargeBodyThatDripsHoldsUpNoUsualOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("")
	g.noDigest = true
	digest := g.index("t/usual", "1", "a", "linux/amd64")
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead || !strings.Contains(r.URL.Path, "/t/large") {
			g.ServeHTTP(rw, r)
			return
		}
		flood(512<<10)(rw, r)
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	g.index("t/large", "1", "b", "linux/amd64")
	g.index("t/large2", "1", "c", "linux/amd64")
	queries := []resolver.Query{
		query(t, "registry.example.com/t/large:1"), query(t, "registry.example.com/t/large2:1"), query(t, "registry.example.com/t/usual:1"),
	}
	answers := w.resolver(func(o *resolver.Options) { o.Timeout = 2 * time.Second }).Resolve(t.Context(), queries)
	for _, answer := range answers[:2] {
		require.NotNil(t, answer.Failure)
		assert.Equal(t, fault.Timeout, answer.Failure.Cause)
	}
	require.Nil(t, answers[2].Failure)
	assert.Equal(t, digest, answers[2].Digest)
}

// Headers in another case, over HTTP/1 (I21), and what HTTP/1 connections do when they break.
func TestHTTP1(t *testing.T) {
	t.Parallel()
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, c := range map[string]struct {
		answer string
		cause  fault.Cause
		stage  fault.Stage
	}{
		"lower case":      {"HTTP/1.1 200 OK\r\ndocker-content-digest: " + digest + "\r\ncontent-length: 0\r\n\r\n", fault.None, ""},
		"upper case":      {"HTTP/1.0 200 OK\r\nDOCKER-CONTENT-DIGEST: " + digest + "\r\n\r\n", fault.None, ""},
		"nothing":         {"", fault.ConnectionRefused, fault.StageManifest},
		"half a line":     {"HTTP/1.1 20", fault.BadResponse, fault.StageManifest},
		"no HTTP":         {"SSH-2.0-OpenSSH_9.2\r\n\r\n", fault.BadResponse, fault.StageManifest},
		"endless headers": {"HTTP/1.1 200 OK\r\nDocker-Content-Digest: " + digest + "\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", fault.BadResponse, fault.StageManifest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			host := listen(t, func(conn net.Conn) {
				defer func() { _ = conn.Close() }()
				buffer := make([]byte, 1<<12)
				n, _ := conn.Read(buffer)
				if strings.HasPrefix(string(buffer[:n]), "GET /v2/ ") {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
					return
				}
				_, _ = io.WriteString(conn, c.answer)
			})
			answer := w.one(host+"/t/i:1", through(""), func(o *resolver.Options) {
				o.Registries = []resolver.Registry{{Host: host, Fallback: true, PlainHTTP: true}}
			})
			if c.cause == fault.None {
				require.Nil(t, answer.Failure)
				assert.Equal(t, digest, string(answer.Digest))
				return
			}
			require.NotNil(t, answer.Failure)
			assert.Equal(t, c.cause, answer.Failure.Cause, answer.Failure.Message)
			assert.Equal(t, c.stage, answer.Failure.Stage)
		})
	}
}

func TestNewRejectsContradictions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.crt")
	require.NoError(t, os.WriteFile(junk, []byte("hunter2"), 0o600))
	_, err := resolver.New(resolver.Options{Registries: []resolver.Registry{
		{Host: "https://a.io", Fallback: true}, {Host: "b.io"}, {Host: "c.io", Fallback: true, PlainHTTP: true, CAFile: junk},
		{Host: "d.io", Mirrors: []string{"https://x.io", "x.io/", "x.io/A", "", "d.io", "docker.io"}}, {Host: "docker.io", Fallback: true}, {Host: "index.docker.io", Fallback: true},
		{Host: "e.io", Fallback: true, CAFile: filepath.Join(dir, "absent.crt")},
	}})
	require.Error(t, err)
	for _, want := range []string{
		"timeout of a resolve must be positive", "concurrency must be at least 1", "registries[0].host: not a host", "registries[1] (b.io).fallback: false leaves nothing to ask",
		"registries[2] (c.io): plainHTTP and caFile exclude each other", "registries[2] (c.io).caFile: " + junk + " holds no PEM certificate",
		"registries[3] (d.io).mirrors: the host is no mirror of itself", "registries[3] (d.io).mirrors: not host[:port][/path]", "registries[5] (index.docker.io): this host has an entry already",
		"registries[6] (e.io).caFile: ",
	} {
		require.ErrorContains(t, err, want)
	}
	assert.Equal(t, 5, strings.Count(err.Error(), "not host[:port][/path]"))
	assert.NotContains(t, err.Error(), "hunter2")
	_, err = resolver.New(resolver.Options{Timeout: time.Second, Concurrency: 1, Registries: []resolver.Registry{
		{Host: "docker.io", Mirrors: []string{"harbor.example.com/dockerhub", "h:5000", "[::1]:5000/x"}}, {Host: "localhost:5000", Fallback: true, PlainHTTP: true},
	}})
	assert.NoError(t, err)
}

// The log has one line a request, with what helps and nothing that is secret.
func TestDebugLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dockerHub().index("t/i", "1", "a", "linux/amd64")
	w.refuse["ghcr.io"] = 403
	w.resolver().Resolve(t.Context(), []resolver.Query{query(t, "t/i:1"), query(t, "ghcr.io/t/i:1")})
	lines := strings.Split(strings.TrimSpace(w.logs.String()), "\n")
	assert.Len(t, lines, 4)
	assert.Regexp(t, `level=DEBUG msg="registry request" method=HEAD host=registry-1.docker.io path=/v2/t/i/manifests/1 duration=\S+ status=200`, w.logs.String())
	assert.Regexp(t, `method=GET host=ghcr.io path=/v2/ duration=\S+ cause=proxy stage="the proxy"`, w.logs.String())
	assert.NotContains(t, w.logs.String(), "scope")
}

// Several credentials on one image: each query has its own answer, and its own warnings (I42).
func TestADeadCredentialBesideAGoodOne_I42(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ghcr()
	g.accounts["me"] = "good"
	g.public = func(string) bool { return false }
	digest := g.index("t/i", "1", "a", "linux/amd64")
	r := w.resolver(w.secrets(map[string]string{"a/pull": secret("ghcr.io", "me", "good"), "b/pull": secret("ghcr.io", "me", "dead")}))
	answers := r.Resolve(t.Context(), []resolver.Query{query(t, "ghcr.io/t/i:1", "a/pull"), query(t, "ghcr.io/t/i:1", "b/pull")})
	assert.Equal(t, digest, answers[0].Digest)
	assert.Equal(t, fault.Unauthorized, answers[1].Failure.Cause)
	assert.Contains(t, answers[1].Failure.Message, "b/pull")
}

func TestReportNamesTheHostThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["ghcr.io"] = 403
	r := w.resolver()
	r.Resolve(t.Context(), []resolver.Query{query(t, "ghcr.io/t/i:1")})
	report := r.Report()
	require.Len(t, report, 1)
	assert.Equal(t, "ghcr.io", report[0].Host)
	assert.Equal(t, fault.Proxy, report[0].Failure.Cause)
	assert.True(t, strings.HasPrefix(report[0].Failure.Message, "ghcr.io could not be asked for: the proxy"), report[0].Failure.Message)
}

// Many callers share a resolver.
func TestInspectSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	digest := w.dockerHub().index("t/i", "1", "a", "linux/amd64")
	r := w.resolver()
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			_, err := r.Inspect(t.Context(), query(t, "t/i:1"), digest)
			assert.NoError(t, err)
		})
	}
	group.Wait()
	assert.Len(t, w.asked(), 3)
}

func TestAnImageWithoutATagHasNothingToFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer := w.one("ghcr.io/t/i@" + string(digestOf(nil)))
	assert.Equal(t, fault.SlotInvalid, answer.Failure.Cause)
	assert.Empty(t, w.asked())
}

// The tick's own time may be over before the turn of the last image comes.
func TestAnImageWhoseTurnNeverCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broken(map[string]http.HandlerFunc{"manifest": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r := w.resolver(func(o *resolver.Options) { o.Timeout, o.Concurrency = time.Hour, 1 })
	answers := r.Resolve(ctx, []resolver.Query{query(t, "t/i:1"), query(t, "t/j:1")})
	assert.Contains(t, answers[0].Failure.Message+answers[1].Failure.Message, "the tick's time was over before its turn came")
	for _, answer := range answers {
		assert.Equal(t, fault.Timeout, answer.Failure.Cause)
	}
}
