package scenario_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
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

// tooMany bounds the requests of one tick, conflicts with the controller included.
const tooMany = 40

// killAtEach publishes a build and kills a tick at one of its requests, under Helm 4, again and again, each time at another
// request, until a tick ends before it comes so far. Next runs the ticks that follow, and returns what is to run then, after how
// many rollouts.
func killAtEach(t *testing.T, s *harness.Scenario, when moment, requests int, next func(digest string) (runs string, rollouts int)) {
	t.Helper()
	for n := range tooMany {
		digest := s.Push(ingestor, image(fmt.Sprint("build ", n)))
		s.Settle(workloads.Deployment("jobs"))
		revision := workloads.Revision(s.Deployment("jobs"))
		s.Forget()
		if !killAt(t, s, apiproxy.Fault{Skip: n, Times: 1}, when) {
			require.GreaterOrEqual(t, n, requests)
			return
		}
		runs, rollouts := next(digest)
		requireRolled(t, s, "jobs", runs, revision+rollouts)
		assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
		s.Forget()
		if runs == digest {
			requireOutcome(t, s.Tick(), 0, "unchanged", "")
			assert.NotRegexp(t, "attempt|owners", s.Deployment("jobs").Annotations[state])
		} else {
			requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
		}
		assert.Empty(t, s.API.Writes(), "the tick after that has nothing left to do")
		if t.Failed() {
			t.Fatalf("killed at request %d", n+1)
		}
	}
	t.Fatalf("a tick makes more than %d requests", tooMany)
}

// I19: a tick that is killed at any of its requests is continued by the next one, be it a quarter of an hour later or while the
// rollout is still under way.
func TestI19ATickKilledAtAnyRequestIsContinued(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		when  moment
		later bool
	}{"before": {before, true}, "after": {after, true}, "after, and continued at once": {after, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := appliedBy(t, harness.Helm)
			killAtEach(t, s, c.when, 5, func(digest string) (string, int) { // read, patch, hand back, record, Event
				if c.later {
					s.Settle(jobs(digest))
				}
				harness.RequireExit(t, 0, s.Tick())
				return digest, 1
			})
		})
	}
}

// I13, I19: a tick that is killed at any request while it rolls out, gives up and restores is continued by the
// next ones: what was recorded runs again, the bad digest is rejected, and it was rolled out once more at most.
func TestI13I19ATickKilledWhileItRestoresIsContinued(t *testing.T) {
	t.Parallel()
	s, good := appliedBy(t, harness.Helm)
	s.Setenv("ROLLOUT_TIMEOUT", "1s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if fakenode.Runs(pod, good) {
			return fakenode.Ready()
		}
		return crash()
	})
	// Read, patch, hand back, pods, restore, hand back, Events; before one is after the one before.
	killAtEach(t, s, before, 7, func(string) (string, int) {
		outcome := ""
		for ticks := 0; outcome != "rejected"; ticks++ {
			require.Less(t, ticks, 3, "the last outcome is %s", outcome)
			result := s.Tick()
			harness.RequireExit(t, 1, result)
			outcome = result.Report.Target("ingestor").Workload("jobs").Outcome
		}
		return good, 2
	})
}
