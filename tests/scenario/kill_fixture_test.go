package scenario_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// moment is when a tick is killed: before or after the API server has carried a request out.
type moment int

const (
	before moment = iota
	after
)

// killAt runs a tick and kills it, as the kernel does, at the request that the rule picks. It says whether the
// tick came to that request; if not, it has ended by itself.
func killAt(t *testing.T, s *harness.Scenario, rule apiproxy.Fault, when moment) bool {
	t.Helper()
	started := make(chan *harness.Run, 1)
	rule.Do = func(_ http.ResponseWriter, r *http.Request, next http.Handler) {
		run := <-started
		kill := func() {
			if err := run.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			<-run.Ended()
		}
		if when == after && r.URL.Query().Get("watch") == "" { // a watch has no end to wait for, and changes nothing
			faultinject.After(kill)(nowhere{}, r, next)
		} else {
			kill()
		}
		panic(http.ErrAbortHandler)
	}
	defer s.API.Inject(rule)()
	run := s.Start()
	started <- run
	return run.Finish().Signal == syscall.SIGKILL
}

// nowhere takes an answer that nobody waits for.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// What tells where a tick is: it has read the workload, it asks for the tag, it waits for a rollout.
var (
	hasRead = apiproxy.Matcher(func(r apiproxy.Request) bool {
		return r.Verb == "get" && r.Resource == "deployments" && r.Status == http.StatusOK
	})
	asksForTag = registries.At("ghcr.io", registries.Head)
	waits      = apiproxy.Verb("watch", "deployments")
)

// meetingTime bounds how long ticks that are to be at one point together are waited for.
const meetingTime = time.Minute

// holdTag holds back what ghcr.io says of a tag until release is called, to so many requests; 0 is every one. No tick
// has decided anything as long as it is held.
func holdTag(t *testing.T, s *harness.Scenario, requests int) (release func()) {
	t.Helper()
	s.Setenv("RESOLVE_TIMEOUT", (2 * meetingTime).String())
	released := make(chan struct{})
	remove := s.Site.Front.Inject(registries.Fault{Match: asksForTag, Times: requests, Do: faultinject.Hold(released)})
	return func() {
		close(released)
		remove()
	}
}

// requireAsking waits until so many ticks have read the workload, and ask for the tag.
func requireAsking(t *testing.T, s *harness.Scenario, ticks int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), meetingTime)
	defer cancel()
	require.NoError(t, s.API.Await(ctx, ticks, hasRead))
	require.NoError(t, s.Site.Front.Await(ctx, ticks, asksForTag))
}

// eightAtOnce runs eight ticks each of which has read the workload before any of them decides: none is told what the
// tag stands for until all have read.
func eightAtOnce(t *testing.T, s *harness.Scenario) []*product.Result {
	t.Helper()
	s.Forget()
	release := holdTag(t, s, 0)
	runs := make([]*harness.Run, 8)
	for i := range runs {
		runs[i] = s.Start()
	}
	requireAsking(t, s, len(runs))
	release()
	results := make([]*product.Result, len(runs))
	for i, run := range runs {
		results[i] = run.Finish()
	}
	return results
}

// concludeTogether holds back what ticks write after their wait for the rollout of a digest until so many of them wait:
// whoever counts first counts while the others wait.
func concludeTogether(s *harness.Scenario, ticks int, digest string) (remove func()) {
	return s.API.Inject(apiproxy.Fault{Match: isConclusionOn(digest), Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if s.API.Await(r.Context(), ticks, waits) == nil {
			next.ServeHTTP(w, r)
		}
	}})
}

// isConclusionOn matches the writes of a tick that put the digest into no slot, but for those that hand a slot back, and
// for the count of what could not be resolved, which is written before any wait.
func isConclusionOn(digest string) apiproxy.Matcher {
	return func(r apiproxy.Request) bool {
		if r.Verb != "patch" || r.Resource != "deployments" || isHandBack(r) || strings.Contains(string(r.Body), failures) {
			return false
		}
		var patch struct {
			Spec json.RawMessage `json:"spec"`
		}
		return json.Unmarshal(r.Body, &patch) == nil && !strings.Contains(string(patch.Spec), digest)
	}
}
