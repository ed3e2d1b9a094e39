package scenario_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
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
			faultinject.After(kill)(httptest.NewRecorder(), r, next)
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

var (
	asksForTag = registries.At("ghcr.io", registries.Head)
	// meetingTime bounds how long ticks that are to be at one point together are waited for.
	meetingTime = time.Minute
)

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
	hasRead := func(r apiproxy.Request) bool { return reads(r) && r.Status == http.StatusOK }
	require.NoError(t, s.API.Await(ctx, ticks, hasRead))
	require.NoError(t, s.Site.Front.Await(ctx, ticks, asksForTag))
}

// eightAtOnce runs eight ticks each of which has read the workload before any of them decides: none is told what the
// tag stands for until all have read.
func eightAtOnce(t *testing.T, s *harness.Scenario) (results []*product.Result) {
	t.Helper()
	s.Forget()
	release := holdTag(t, s, 0)
	var runs []*harness.Run
	for range 8 {
		runs = append(runs, s.Start())
	}
	requireAsking(t, s, len(runs))
	release()
	for _, run := range runs {
		results = append(results, run.Finish())
	}
	return results
}

// concludeTogether holds back what ticks write after their wait for the rollout of a digest until so many of them wait:
// whoever counts first counts while the others wait. That is what puts the digest into no slot, hands none back, and is no
// count of what could not be resolved, which is written before any wait.
func concludeTogether(s *harness.Scenario, ticks int, digest string) (remove func()) {
	concludes := func(r apiproxy.Request) bool {
		var patch struct{ Spec json.RawMessage }
		return patches(r) && !isHandBack(r) && !strings.Contains(string(r.Body), failures) &&
			json.Unmarshal(r.Body, &patch) == nil && !strings.Contains(string(patch.Spec), digest)
	}
	return s.API.Inject(apiproxy.Fault{Match: concludes, Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if s.API.Await(r.Context(), ticks, waits) == nil {
			next.ServeHTTP(w, r)
		}
	}})
}
