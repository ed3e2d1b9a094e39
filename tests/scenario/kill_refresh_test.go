package scenario_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// tooMany bounds the requests of one tick, conflicts with the controller included.
const tooMany = 40

// eachRequest publishes a build and has a tick meet trouble at one of its requests, under Helm 4, again and again, each time
// at another request, until a tick ends before it comes so far. Trouble says whether it came so far; check runs what follows,
// and returns the digest that is to run then, after how many rollouts.
func eachRequest(t *testing.T, s *harness.Scenario, requests int, trouble func(nth apiproxy.Fault) bool, check func(digest string) (string, int)) {
	t.Helper()
	for n := range tooMany {
		digest := s.Push(ingestor, image(fmt.Sprint("build ", n)))
		s.Settle(workloads.Deployment("jobs"))
		revision := workloads.Revision(s.Deployment("jobs"))
		s.Forget()
		if !trouble(apiproxy.Fault{Skip: n, Times: 1}) {
			require.GreaterOrEqual(t, n, requests)
			return
		}
		runs, more := check(digest)
		requireRolled(t, s, "jobs", runs, revision+more)
		assert.Equal(t, []string{"helm/Apply"}, slotOwners(s), "request %d", n+1)
		s.Forget()
		if runs == digest {
			requireOutcome(t, s.Tick(), 0, "unchanged", "")
			assert.NotRegexp(t, "attempt|owners", s.Deployment("jobs").Annotations[state], "request %d", n+1)
		} else {
			requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
		}
		assert.Empty(t, s.API.Writes(), "request %d: the tick after that has nothing left to do", n+1)
		if t.Failed() {
			t.Fatalf("trouble at request %d", n+1)
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
			eachRequest(t, s, 5, func(nth apiproxy.Fault) bool { // read, patch, hand back, record, Event
				return killAt(t, s, nth, c.when)
			}, func(digest string) (string, int) {
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
	eachRequest(t, s, 7, func(nth apiproxy.Fault) bool { // read, patch, hand back, pods, restore, hand back, Events
		return killAt(t, s, nth, before) // which is after the one before
	}, func(string) (string, int) {
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

// A connection that is lost at any request, before the server has seen it or after it has carried it out, is
// no trouble to the tick: it converges by itself, and tells of the refresh once.
func TestAConnectionLostAtAnyRequestIsNoTrouble(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]faultinject.Action{"before": faultinject.Reset(), "after": faultinject.Lose()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := appliedBy(t, harness.Helm)
			refreshed := 0
			eachRequest(t, s, 5, func(nth apiproxy.Fault) (came bool) {
				nth.Do = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					came = true
					if r.URL.Query().Get("watch") != "" { // it has no end after which an answer could be lost
						faultinject.Reset()(w, r, next)
					}
					lose(w, r, next)
				}
				defer s.API.Inject(nth)()
				requireOutcome(t, s.Tick(), 0, "refreshed", "")
				refreshed++
				return came
			}, func(digest string) (string, int) {
				assert.Len(t, eventsOf(s, "DigestRefreshed"), refreshed)
				return digest, 1
			})
		})
	}
}
