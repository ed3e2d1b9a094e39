package scenario_test

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// What the API server may answer.
var (
	conflict    = apiproxy.Refuse(409, "Conflict", "the object has been modified")
	forbidden   = apiproxy.Refuse(403, "Forbidden", "is forbidden: User cannot do that")
	internal    = apiproxy.Refuse(500, "InternalError", "etcd is away")
	unavailable = apiproxy.Refuse(503, "ServiceUnavailable", "the server is starting")
)

// The requests of a refresh. Each write is known by what is in it and in no other.
var (
	reads   = apiproxy.Verb("get", "deployments")
	waits   = apiproxy.Verb("watch", "deployments")
	patches = apiproxy.Verb("patch", "deployments")
	tells   = apiproxy.Verb("create", "events")
)

func isSlotPatch(r apiproxy.Request) bool {
	return r.Verb == "patch" && strings.Contains(string(r.Body), `"template"`)
}

func isRecord(r apiproxy.Request) bool {
	return r.Verb == "patch" && strings.Contains(string(r.Body), recorded) && !isSlotPatch(r) && !isHandBack(r)
}

// moved makes a scenario whose Deployment "jobs", under Helm 4, runs the first digest while its tag has moved
// on to the second; pods of that become ready as the test says.
func moved(t *testing.T, second fakenode.Behaviour) (s *harness.Scenario, first, latest string) {
	t.Helper()
	s, first = appliedBy(t, harness.Helm)
	latest = s.Push(ingestor, image("second"))
	breaks(s, second, latest)
	s.Settle(jobs(first))
	s.Setenv("ROLLOUT_TIMEOUT", "60s")
	s.Forget()
	return s, first, latest
}

// requireRefreshed asserts that the second digest is rolled out, once, handed back, and told of in so many Events.
func requireRefreshed(t *testing.T, s *harness.Scenario, latest string, events int) {
	t.Helper()
	requireRolled(t, s, "jobs", latest, 2)
	assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], "owners", "nothing is owed any more")
	assert.Len(t, eventsOf(s, "DigestRefreshed"), events)
}

// What passes by itself is waited out, at each request of a refresh: the tick succeeds.
func TestAPITroubleThatPassesIsWaitedOut(t *testing.T) {
	t.Parallel()
	writes := []apiproxy.Matcher{isSlotPatch, isHandBack, isRecord}
	all := slices.Concat(writes, []apiproxy.Matcher{reads, waits, tells})
	for name, c := range map[string]struct {
		do    faultinject.Action // nil: another writer is quicker
		times int
		at    []apiproxy.Matcher
	}{
		"429 with Retry-After": {apiproxy.TooManyRequests(1), 1, all},
		"500":                  {internal, 2, all},
		"503":                  {unavailable, 2, all},
		"reset":                {faultinject.Reset(), 2, all},
		"answer lost":          {faultinject.Lose(), 1, slices.Concat(writes, []apiproxy.Matcher{reads, tells})}, // a watch has no end
		"storm of conflicts":   {nil, 5, writes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, latest := moved(t, fakenode.Ready())
			if c.do == nil {
				c.do = faultinject.Before(func() {
					s.Patch("kubectl-annotate", s.Deployment("jobs"), `{"metadata":{"annotations":{"other":"`+rand.Text()+`"}}}`)
				})
			}
			for _, match := range c.at {
				s.API.Inject(apiproxy.Fault{Match: match, Do: c.do, Times: c.times})
			}
			harness.RequireExit(t, 0, s.Tick())
			requireRefreshed(t, s, latest, 1)
		})
	}
}

// What does not pass is an operator's, exit code 1 within a bounded time, unless the refresh itself went well; nothing is changed
// or recorded that was not seen, and the next tick finishes the work.
func TestAPITroubleThatStaysIsLoudAndContinued(t *testing.T) {
	t.Parallel()
	never := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		faultinject.After(func() { <-r.Context().Done() })(w, r, next)
	}
	lasting := map[string]faultinject.Action{"conflicts for ever": conflict, "500": internal, "forbidden": forbidden}
	type ends struct {
		exit           int
		outcome, cause string
		patched        bool
		recorded       bool
		owner          string
		events         int // once all is well
	}
	for where, c := range map[string]struct {
		match    apiproxy.Matcher
		troubles map[string]faultinject.Action
		ends     ends
	}{
		"patch": {patches, map[string]faultinject.Action{
			"conflicts for ever": conflict, "429 to come back tomorrow": apiproxy.TooManyRequests(86400), "500": internal, "503": unavailable,
			"forbidden": forbidden, "silent": faultinject.Hang(), "reset": faultinject.Reset(),
		}, ends{1, "failed", "api", false, false, "helm/Apply", 1}},
		"answer to the patch": {isSlotPatch, map[string]faultinject.Action{"never": never},
			ends{1, "failed", "api", true, false, "image-refresh/Update", 1}},
		"hand back": {isHandBack, lasting, ends{0, "refreshed", "", true, true, "image-refresh/Update", 1}},
		"record":    {isRecord, lasting, ends{1, "failed", "api", true, false, "helm/Apply", 1}},
		"Event":     {tells, map[string]faultinject.Action{"forbidden": forbidden}, ends{0, "refreshed", "", true, true, "helm/Apply", 0}},
	} {
		for name, trouble := range c.troubles {
			t.Run(where+": "+name, func(t *testing.T) {
				t.Parallel()
				s, first, latest := moved(t, fakenode.Ready())
				remove := s.API.Inject(apiproxy.Fault{Match: c.match, Do: trouble})
				result := s.Tick()
				message := requireOutcome(t, result, c.ends.exit, c.ends.outcome, c.ends.cause).Message
				assert.Less(t, result.Duration, time.Minute)
				if c.ends.exit == 1 {
					assert.Contains(t, message, "jobs")
				}
				d := s.Deployment("jobs")
				assert.Equal(t, c.ends.patched, live(s) == latest)
				assert.Equal(t, map[bool]string{false: first, true: latest}[c.ends.recorded], d.Annotations[recorded])
				assert.Equal(t, c.ends.patched, workloads.Revision(d) == 2)
				assert.Equal(t, []string{c.ends.owner}, slotOwners(s))
				remove()
				s.Settle(workloads.Deployment("jobs"))
				harness.RequireExit(t, 0, s.Tick())
				requireRefreshed(t, s, latest, c.ends.events)
				assert.NoError(t, s.Apply(harness.Helm, jobs(first)))
			})
		}
	}
}

// I12: what only clears may fail in any way: a warning.
func TestI12AClearThatMeetsOnlyConflictsIsAWarning(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	unblock()
	remove := s.API.Inject(apiproxy.Fault{Match: patches, Do: conflict})
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Contains(t, s.Deployment("jobs").Annotations, failures)
	remove()
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
}

// One API server among several may not know a new pod's token yet: it is asked again, once.
func TestOne401IsAskedAgain(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	unauthorized := apiproxy.Refuse(401, "Unauthorized", "Unauthorized")
	s.API.Inject(apiproxy.Fault{Match: reads, Times: 1, Do: unauthorized})
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	s.API.Inject(apiproxy.Fault{Match: reads, Do: unauthorized})
	s.Forget()
	requireOutcome(t, s.Tick(), 1, "failed", "api")
	assert.Len(t, s.API.Requests(reads), 2, "asked again once")
}

// Whatever becomes of the watch, the rollout is seen: the object is read again. The program needs to know the object only by
// name: a list or watch of all is forbidden.
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
		"garbage":               faultinject.Reply(200, `{"type":"MODIFIED","object":{"kind":"Deployment",`, "Content-Type", "application/json"),
		"silent": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush() // the client may be gone: its own loss
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, latest := moved(t, fakenode.ReadyAfter(2*time.Second))
			if name == "silent" {
				s.Setenv("ROLLOUT_TIMEOUT", "10s") // it ends only with the wait: a watch is given 45 s
			}
			s.API.Inject(apiproxy.Fault{Match: waits, Do: trouble})
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			requireRefreshed(t, s, latest, 1)
			watches := s.API.Requests(waits)
			assert.Less(t, len(watches), 40, "it does not spin")
			for _, request := range watches {
				assert.Equal(t, "metadata.name=jobs", request.Query.Get("fieldSelector"))
			}
			assert.Empty(t, s.API.Requests(apiproxy.Verb("list", "deployments")))
		})
	}
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
			readable := s.API.Inject(apiproxy.Fault{Match: reads, Skip: 1, Do: trouble})
			watchable := s.API.Inject(apiproxy.Fault{Match: waits, Do: trouble})
			result := s.Tick()
			requireOutcome(t, result, 1, "failed", "api")
			assert.Less(t, result.Duration, time.Minute)
			d := s.Deployment("jobs")
			assert.Equal(t, latest, live(s), "not rolled back")
			assert.Equal(t, first, d.Annotations[recorded], "not recorded")
			assert.NotContains(t, d.Annotations[state], "failed", "not counted")
			readable()
			watchable()
			s.Settle(jobs(latest))
			requireOutcome(t, s.Tick(), 0, "unchanged", "")
			requireRefreshed(t, s, latest, 1)
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
