package scenario_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Whatever becomes of the watch, the rollout is seen: the object is read again.
func TestARolloutIsSeenWhateverBecomesOfTheWatch(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]faultinject.Action{
		"dropped":               faultinject.Cut(100 * time.Millisecond),
		"reset":                 faultinject.Reset(),
		"gone":                  apiproxy.Refuse(410, "Expired", "too old resource version"),
		"gone once it was open": apiproxy.Gone(),
		"forbidden":             forbidden,
		"too many requests":     apiproxy.TooManyRequests(1),
		"500":                   internal,
		"garbage":               faultinject.Reply(200, "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Deployment\",", "Content-Type", "application/json"),
		"silent":                silent(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, latest := moved(t, fakenode.ReadyAfter(2*time.Second))
			if name == "silent" {
				s.Setenv("ROLLOUT_TIMEOUT", "10s") // it ends only with the wait: a watch is given 45 s
			}
			s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("watch", "deployments"), Do: trouble})
			result := s.Tick()
			requireOutcome(t, result, 0, "refreshed", "")
			requireRefreshed(t, s, latest)
			assert.Less(t, len(s.API.Requests(apiproxy.Verb("watch", "deployments"))), 40, "it does not spin")
		})
	}
}

// The program needs to know the object only by name, whatever it does: a list or watch of all is forbidden.
func TestAWatchIsOfOneName(t *testing.T) {
	t.Parallel()
	s, _, _ := moved(t, fakenode.ReadyAfter(time.Second))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	for _, request := range s.API.Requests(apiproxy.Verb("watch", "deployments")) {
		assert.Equal(t, "metadata.name=jobs", request.Query.Get("fieldSelector"))
	}
	assert.Empty(t, s.API.Requests(apiproxy.Verb("list", "deployments")))
}

// Reading goes away in the middle of a wait: nothing is known of the rollout any more, so nothing is concluded
// from it.
func TestReadingThatGoesAwayInTheMiddleIsLoudAndConcludesNothing(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]faultinject.Action{"forbidden": forbidden, "500": internal, "silent": faultinject.Hang()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first, latest := moved(t, fakenode.ReadyAfter(3*time.Second))
			s.Setenv("ROLLOUT_TIMEOUT", "5s")
			s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			stop := []func(){
				s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("get", "deployments"), Skip: 1, Do: trouble}),
				s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("watch", "deployments"), Do: trouble}),
			}
			result := s.Tick()
			requireOutcome(t, result, 1, "failed", "api")
			assert.Less(t, result.Duration, time.Minute)
			d := s.Deployment("jobs")
			assert.Equal(t, latest, live(s), "not rolled back")
			assert.Equal(t, first, d.Annotations[recorded], "not recorded")
			assert.NotContains(t, d.Annotations[state], "failed", "not counted")
			assert.Equal(t, 2, workloads.Revision(d))
			for _, remove := range stop {
				remove()
			}
			s.Settle(jobs(latest))
			requireOutcome(t, s.Tick(), 0, "unchanged", "")
			requireRefreshed(t, s, latest)
		})
	}
}

// The object is deleted in the middle of a wait.
func TestAWorkloadDeletedInTheMiddleIsLoud(t *testing.T) {
	t.Parallel()
	s, _, _ := moved(t, fakenode.Stuck())
	run := s.Start()
	s.Eventually("the rollout has begun", func() bool { return workloads.Revision(s.Deployment("jobs")) == 2 })
	s.Kubectl("delete", "deployment", "jobs")
	result := run.Finish()
	requireOutcome(t, result, 1, "failed", "workload-missing")
	assert.Less(t, result.Duration, 50*time.Second, "not only when the wait is over")
}
