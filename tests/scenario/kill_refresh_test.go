package scenario_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// tooMany bounds the requests of one refresh, conflicts with the controller included.
const tooMany = 40

// eachRequest refreshes the Deployment "jobs" again and again, under Helm 4, each time with trouble at another
// request, until a tick ends before it comes so far. Trouble says whether it came so far.
func eachRequest(t *testing.T, trouble func(s *harness.Scenario, nth apiproxy.Fault) bool, check func(s *harness.Scenario, digest string)) {
	t.Helper()
	s, _ := appliedBy(t, harness.Helm)
	s.Setenv("ROLLOUT_TIMEOUT", "60s")
	for n := range tooMany {
		digest := s.Push(ingestor, registries.Index(fmt.Sprintf("build %d", n), "linux/amd64"))
		s.Settle(jobs(digest))
		revision := workloads.Revision(s.Deployment("jobs"))
		s.Forget()
		if !trouble(s, apiproxy.Fault{Skip: n, Times: 1}) {
			require.GreaterOrEqual(t, n, 5, "read, patch, hand back, record, Event")
			return
		}
		check(s, digest)
		requireRolled(t, s, "jobs", digest, revision+1)
		assert.Equal(t, []string{"helm/Apply"}, slotOwners(s), "request %d", n+1)
		for _, left := range []string{"attempt", "owners"} {
			assert.NotContains(t, s.Deployment("jobs").Annotations[state], left, "request %d", n+1)
		}
		s.Forget()
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
		assert.Empty(t, s.API.Writes(), "request %d: the tick after that has nothing left to do", n+1)
		if t.Failed() {
			t.Fatalf("trouble at request %d", n+1)
		}
	}
	t.Fatalf("a refresh makes more than %d requests", tooMany)
}

// I19: a tick that is killed at any of its requests is continued by the next one.
func TestI19ATickKilledAtAnyRequestIsContinued(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]moment{"before": before, "after": after} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachRequest(t, func(s *harness.Scenario, nth apiproxy.Fault) bool {
				return killAt(t, s, nth, when)
			}, func(s *harness.Scenario, digest string) {
				s.Settle(jobs(digest)) // the next tick is a quarter of an hour later
				harness.RequireExit(t, 0, s.Tick())
			})
		})
	}
}

// The same where the next tick comes while the rollout is still under way.
func TestI19ATickKilledAtAnyRequestIsContinuedAtOnce(t *testing.T) {
	t.Parallel()
	eachRequest(t, func(s *harness.Scenario, nth apiproxy.Fault) bool {
		return killAt(t, s, nth, after)
	}, func(s *harness.Scenario, _ string) {
		harness.RequireExit(t, 0, s.Tick())
	})
}

// A connection that is lost at any request, before the server has seen it or after it has carried it out, is
// no trouble to the tick: it converges by itself, and tells of the refresh once.
func TestAConnectionLostAtAnyRequestIsNoTrouble(t *testing.T) {
	t.Parallel()
	lose := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Get("watch") != "" {
			faultinject.Reset()(w, r, next) // it has no end after which an answer could be lost
			return
		}
		faultinject.Lose()(w, r, next)
	}
	for name, action := range map[string]faultinject.Action{"before": faultinject.Reset(), "after": lose} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refreshed := 0
			eachRequest(t, func(s *harness.Scenario, nth apiproxy.Fault) bool {
				came := false
				nth.Do = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					came = true
					action(w, r, next)
				}
				defer s.API.Inject(nth)()
				requireOutcome(t, s.Tick(), 0, "refreshed", "")
				refreshed++
				return came
			}, func(s *harness.Scenario, _ string) {
				assert.Len(t, eventsOf(s, "DigestRefreshed"), refreshed)
			})
		})
	}
}
