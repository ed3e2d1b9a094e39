package resolver_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// site is the library's own registry over TLS, on loopback, with a handler before it.
type site struct {
	*httptest.Server
	host string

	mu    sync.Mutex
	asked []string
}

// start puts the registry up. What before answers, by returning true, the registry does not see.
func start(t *testing.T, before func(http.ResponseWriter, *http.Request) bool) *site {
	t.Helper()
	s := &site{}
	held := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.UserAgent(), "image-refresh") { // it is being filled
			held.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		if before == nil || !before(w, r) {
			held.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	s.host = s.Listener.Addr().String()
	return s
}

// push stores a random image, and returns its digest.
func (s *site) push(t *testing.T, reference string) image.Digest {
	t.Helper()
	ref, err := name.ParseReference(s.host + "/" + reference)
	require.NoError(t, err)
	made, err := random.Image(16, 1)
	require.NoError(t, err)
	require.NoError(t, remote.Write(ref, made, remote.WithTransport(s.Client().Transport)))
	hash, err := made.Digest()
	require.NoError(t, err)
	digest, err := image.ParseDigest(hash.String())
	require.NoError(t, err)
	return digest
}

// resolver makes one that trusts the site, with changes to its options.
func (s *site) resolver(t *testing.T, change ...func(*resolver.Options)) *resolver.Resolver {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	o := resolver.Options{
		Timeout: 20 * time.Second, Concurrency: 8, Logger: slog.New(slog.DiscardHandler), UserAgent: "image-refresh/test",
		Registries: []resolver.Registry{{Host: s.host, Fallback: true, CAFile: file}},
	}
	for _, f := range change {
		f(&o)
	}
	r, err := resolver.New(o)
	require.NoError(t, err)
	return r
}

func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

func query(t *testing.T, text string) resolver.Query {
	t.Helper()
	ref, err := image.ParseReference(text)
	require.NoError(t, err)
	return resolver.Query{Image: ref}
}

// A registry on loopback is asked over TLS, once each, however long it takes to answer the ping: the library would ask it
// without as well.
func TestOnePingAndOneHead(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/" {
			time.Sleep(500 * time.Millisecond)
		}
		return false
	})
	digest := s.push(t, "t/i:1")
	r := s.resolver(t)
	answers := r.Resolve(t.Context(), []resolver.Query{query(t, s.host+"/t/i:1"), query(t, s.host+"/t/i:1")})
	require.Nil(t, answers[0].Failure)
	assert.Equal(t, digest, answers[0].Digest)
	assert.Equal(t, s.host, answers[0].Via)
	assert.Equal(t, answers[0], answers[1])
	assert.Equal(t, []string{"GET /v2/", "HEAD /v2/t/i/manifests/1"}, s.requests())
	report := r.Report()
	require.Len(t, report, 1)
	assert.Equal(t, resolver.HostReport{Host: s.host, Address: s.host, Challenge: "none"}, report[0])
}

func TestInspect(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	digest := s.push(t, "t/i:1")
	r := s.resolver(t)
	var group sync.WaitGroup
	for range 20 { // many callers share a resolver
		group.Go(func() {
			found, err := r.Inspect(t.Context(), query(t, s.host+"/t/i:1"), digest)
			if assert.NoError(t, err) {
				assert.Equal(t, digest, found.Digest)
			}
		})
	}
	group.Wait()
	assert.Len(t, s.requests(), 3, "a ping, the manifest, the configuration")
	_, err := r.Inspect(t.Context(), query(t, s.host+"/t/i:1"), image.Digest("sha256:"+strings.Repeat("0", 64)))
	assert.Equal(t, fault.NotFound, fault.Of(err, fault.API).Cause)
}

// What a registry without a good HEAD answers is computed from the body.
func TestWithoutHead(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]func(http.ResponseWriter){
		"405":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"501":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotImplemented) },
		"no headers": func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
		"no digest": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "x")
			w.Header().Set("Content-Length", "5")
		},
		"another's way": func(w http.ResponseWriter) { w.Header().Set("Docker-Content-Digest", "sha256:zz") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodHead {
					head(w)
				}
				return r.Method == http.MethodHead
			})
			digest := s.push(t, "t/i:1")
			answer := s.resolver(t).Resolve(t.Context(), []resolver.Query{query(t, s.host+"/t/i:1")})[0]
			require.Nil(t, answer.Failure)
			assert.Equal(t, digest, answer.Digest)
		})
	}
}

// No more images are asked for at once than allowed.
func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	s := start(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Millisecond)
		}
		return false
	})
	var queries []resolver.Query
	for i := range 30 {
		queries = append(queries, query(t, fmt.Sprintf("%s/t/i%d:1", s.host, i)))
	}
	s.resolver(t, func(o *resolver.Options) { o.Concurrency = 3 }).Resolve(t.Context(), queries)
	assert.LessOrEqual(t, most.Load(), int32(3))
}

// A host that answers nothing costs a few images their time, not all of them.
func TestASilentHostIsGivenUp(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			<-r.Context().Done()
		}
		return r.Method == http.MethodHead
	})
	var queries []resolver.Query
	for i := range 60 {
		queries = append(queries, query(t, fmt.Sprintf("%s/t/i%d:1", s.host, i)))
	}
	started := time.Now()
	given := 0
	for _, answer := range s.resolver(t, func(o *resolver.Options) { o.Timeout, o.Concurrency = 300*time.Millisecond, 4 }).Resolve(t.Context(), queries) {
		assert.Equal(t, fault.Timeout, answer.Failure.Cause)
		if strings.Contains(answer.Failure.Message, "did not answer for 3 images before it") {
			given++
		}
	}
	assert.Less(t, time.Since(started), 10*time.Second)
	assert.GreaterOrEqual(t, given, 50)
}

// A tick that is told to stop has its answers at once; one whose time is over says that a turn never came.
func TestTheEndOfATick(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := start(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			cancel()
			<-r.Context().Done()
		}
		return r.Method == http.MethodHead
	})
	r := s.resolver(t, func(o *resolver.Options) { o.Timeout, o.Concurrency = time.Hour, 1 })
	for _, answer := range r.Resolve(ctx, []resolver.Query{query(t, s.host+"/t/i:1"), query(t, s.host+"/t/j:1")}) {
		require.NotNil(t, answer.Failure)
		assert.Equal(t, fault.Timeout, answer.Failure.Cause)
		assert.Contains(t, answer.Failure.Message, "the tick was interrupted")
	}
	over, done := context.WithTimeout(t.Context(), 0)
	defer done()
	late := r.Resolve(over, []resolver.Query{query(t, s.host+"/t/k:1")})[0]
	assert.Contains(t, late.Failure.Message, "before its turn came")
}

func TestAnImageWithoutATagHasNothingToFollow(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	answer := s.resolver(t).Resolve(t.Context(), []resolver.Query{query(t, s.host+"/t/i@sha256:"+strings.Repeat("0", 64))})[0]
	assert.Equal(t, fault.SlotInvalid, answer.Failure.Cause)
	assert.Empty(t, s.requests())
}

func TestNewNamesEveryFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	junk, absent := filepath.Join(dir, "junk.crt"), filepath.Join(dir, "absent.crt")
	require.NoError(t, os.WriteFile(junk, []byte("hunter2"), 0o600))
	_, err := resolver.New(resolver.Options{Registries: []resolver.Registry{
		{Host: "a.io", Fallback: true}, {Host: "c.io", Fallback: true, CAFile: junk}, {Host: "e.io", Fallback: true, CAFile: absent},
	}})
	require.ErrorContains(t, err, "registries[1] (c.io).caFile: "+junk+" holds no PEM certificate")
	require.ErrorContains(t, err, "registries[2] (e.io).caFile: "+absent)
	assert.NotContains(t, err.Error(), "hunter2")
}

// Whoever may edit a workload that names its own image must not choose where a credential goes.
func TestAGlobIsNotForAnImageThatTheWorkloadNames(t *testing.T) {
	t.Parallel()
	var basic atomic.Int32
	s := start(t, func(w http.ResponseWriter, r *http.Request) bool {
		if _, _, ok := r.BasicAuth(); ok {
			basic.Add(1)
			return false
		}
		w.Header().Set("Www-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	digest := s.push(t, "t/i:1")
	dir := t.TempDir()
	mount := func(name, entry string) {
		folder := filepath.Join(dir, "ns", name)
		require.NoError(t, os.MkdirAll(folder, 0o700))
		text := fmt.Sprintf(`{"auths":{%q:{"username":"me","password":"hunter2"}}}`, entry)
		require.NoError(t, os.WriteFile(filepath.Join(folder, ".dockerconfigjson"), []byte(text), 0o600))
	}
	mount("glob", "*"+s.host[1:])
	mount("exact", s.host)
	ask := func(secret string, workloads bool) resolver.Answer {
		q := query(t, s.host+"/t/i:1")
		q.PullSecrets, q.WorkloadsImage = []credential.Name{{Namespace: "ns", Name: secret}}, workloads
		return s.resolver(t, func(o *resolver.Options) { o.PullSecretsDir = dir }).Resolve(t.Context(), []resolver.Query{q})[0]
	}
	assert.Equal(t, digest, ask("glob", false).Digest)
	assert.Equal(t, digest, ask("exact", true).Digest)
	basic.Store(0)
	withheld := ask("glob", true)
	require.NotNil(t, withheld.Failure)
	assert.Contains(t, withheld.Failure.Message, "pull secret ns/glob (account me, entry *")
	require.NotEmpty(t, withheld.Warnings)
	assert.Contains(t, withheld.Warnings[0].Message, "stands for any host of that form")
	assert.Zero(t, basic.Load())
}

// Some registries ask nobody at /v2/, serve some repositories to anybody, and want an account for others: zot with an
// anonymous policy does. What one repository wants says nothing of another, whichever is asked first.
func TestWhatOneRepositoryWantsSaysNothingOfAnother(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) bool {
		_, _, account := r.BasicAuth() // a dead one
		if account || strings.HasPrefix(r.URL.Path, "/v2/team/") && r.Method != http.MethodPut {
			w.Header().Set("Www-Authenticate", `Basic realm="zot"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	public := s.push(t, "public/i:1")
	dir := t.TempDir()
	folder := filepath.Join(dir, "ns", "puller")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	text := fmt.Sprintf(`{"auths":{%q:{"username":"me","password":"hunter2"}}}`, s.host)
	require.NoError(t, os.WriteFile(filepath.Join(folder, ".dockerconfigjson"), []byte(text), 0o600))
	var queries []resolver.Query
	for _, name := range []string{"/team/i:1", "/public/i:1"} {
		q := query(t, s.host+name)
		q.PullSecrets = []credential.Name{{Namespace: "ns", Name: "puller"}}
		queries = append(queries, q)
	}
	for _, concurrency := range []int{1, 8} {
		asked := s.resolver(t, func(o *resolver.Options) { o.PullSecretsDir, o.Concurrency = dir, concurrency })
		answers := asked.Resolve(t.Context(), queries)
		require.NotNil(t, answers[0].Failure)
		assert.Equal(t, fault.Unauthorized, answers[0].Failure.Cause)
		assert.Equal(t, public, answers[1].Digest, "%d at a time: %v", concurrency, answers[1].Failure)
		_, err := asked.Inspect(t.Context(), queries[1], public)
		require.NoError(t, err)
	}
}
