package scenario_test

import (
	"crypto/rand"
	"fmt"
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

// troubles are what the API server may answer, or not, by their names.
var troubles = map[string]faultinject.Action{
	"conflict":  apiproxy.Refuse(409, "Conflict", "the object has been modified"),
	"forbidden": apiproxy.Refuse(403, "Forbidden", "is forbidden: User cannot do that"),
	"gone":      apiproxy.Refuse(410, "Expired", "too old resource version"),
	"soon":      apiproxy.TooManyRequests(1),
	"tomorrow":  apiproxy.TooManyRequests(86400),
	"500":       apiproxy.Refuse(500, "InternalError", "etcd is away"),
	"503":       apiproxy.Refuse(503, "ServiceUnavailable", "the server is starting"),
	"reset":     faultinject.Reset(),
	"lost":      faultinject.Lose(),
	"silent":    faultinject.Hang(),
	"never": func(w http.ResponseWriter, r *http.Request, next http.Handler) { // the request is carried out
		faultinject.After(func() { <-r.Context().Done() })(w, r, next)
	},
	// Of watches:
	"dropped": faultinject.Cut(100 * time.Millisecond),
	"closed":  apiproxy.Gone(),
	"garbage": faultinject.Reply(200, `{"type":"MODIFIED","object":{"kind":"Deployment",`, "Content-Type", "application/json"),
	"mute": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // the client may be gone: its own loss
		<-r.Context().Done()
	},
}

// What passes by itself is waited out, at each request of a refresh, and whatever becomes of the watch the rollout is seen: the
// object is read again. What does not pass is an operator's, exit code 1 within a bounded time, unless the refresh itself went
// well; nothing is changed, recorded or counted that was not seen. The next tick finishes the work.
func TestAPITroubleIsWaitedOutOrLoudAndContinued(t *testing.T) {
	t.Parallel()
	writes := []apiproxy.Fault{{Match: isSlotPatch}, {Match: isHandBack}, {Match: isRecord}}
	all := append(slices.Clone(writes), apiproxy.Fault{Match: reads}, apiproxy.Fault{Match: tells}, apiproxy.Fault{Match: waits})
	for where, c := range map[string]struct {
		at       []apiproxy.Fault
		troubles string
		times    int    // 0: for ever
		ends     string // exit code, outcome, cause
		leaves   string // what is in force: the slot patched, the digest recorded, the slot's ownership owed
		events   int    // once all is well
	}{
		"anywhere, twice":    {all, "500 503 reset", 2, "0 refreshed ", "patched recorded", 1},
		"anywhere, once":     {all[:5], "soon lost", 1, "0 refreshed ", "patched recorded", 1}, // a watch has no end
		"at each write":      {writes, "overtaken", 5, "0 refreshed ", "patched recorded", 1},
		"patch":              {all[:1], "conflict tomorrow 500 503 forbidden silent reset", 0, "1 failed api", "", 1},
		"answer":             {all[:1], "never", 0, "1 failed api", "patched owed", 1},
		"hand back":          {all[1:2], "conflict 500 forbidden", 0, "0 refreshed ", "patched recorded owed", 1},
		"record":             {all[2:3], "conflict 500 forbidden", 0, "1 failed api", "patched", 1},
		"Event":              {all[4:5], "forbidden", 0, "0 refreshed ", "patched recorded", 0},
		"watch":              {all[5:], "dropped reset gone closed forbidden soon 500 garbage mute", 0, "0 refreshed ", "patched recorded", 1},
		"reading, in a wait": {[]apiproxy.Fault{{Match: reads, Skip: 1}, {Match: waits}}, "forbidden 500 silent", 0, "1 failed api", "patched", 1},
	} {
		for name := range strings.FieldsSeq(c.troubles) {
			t.Run(where+"/"+name, func(t *testing.T) {
				t.Parallel()
				s, first, latest := moved(t, fakenode.ReadyAfter(2*time.Second))
				s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
				if name == "mute" || where == "reading, in a wait" {
					s.Setenv("ROLLOUT_TIMEOUT", "10s") // what ends only with the wait: a watch is given 45 s
				}
				do := troubles[name]
				if name == "overtaken" {
					do = faultinject.Before(func() {
						s.Patch("kubectl-annotate", s.Deployment("jobs"), `{"metadata":{"annotations":{"other":"`+rand.Text()+`"}}}`)
					})
				}
				var remove []func()
				for _, fault := range c.at {
					fault.Do, fault.Times = do, c.times
					remove = append(remove, s.API.Inject(fault))
				}
				result := s.Tick()
				workload := result.Report.Target("ingestor").Workload("jobs")
				assert.Equal(t, c.ends, fmt.Sprint(result.ExitCode, " ", workload.Outcome, " ", workload.Cause), workload.Message)
				assert.Less(t, result.Duration, time.Minute)
				inForce := func(what string, then, otherwise string) string {
					return map[bool]string{true: then, false: otherwise}[strings.Contains(c.leaves, what)]
				}
				d := s.Deployment("jobs")
				assert.Equal(t, inForce("patched", latest, first), live(s))
				assert.Equal(t, inForce("recorded", latest, first), d.Annotations[recorded])
				assert.NotContains(t, d.Annotations[state], "failed")
				if where != "reading, in a wait" { // a hand back that meets a conflict has to read first
					assert.Equal(t, []string{inForce("owed", "image-refresh/Update", "helm/Apply")}, slotOwners(s))
				}
				assert.Less(t, len(s.API.Requests(waits)), 40, "it does not spin")
				for _, request := range s.API.Requests(waits) {
					assert.Equal(t, "metadata.name=jobs", request.Query.Get("fieldSelector"), "a watch of all may be forbidden")
				}
				assert.Empty(t, s.API.Requests(apiproxy.Verb("list", "deployments")))
				for _, one := range remove {
					one()
				}
				s.Settle(workloads.Deployment("jobs"))
				harness.RequireExit(t, 0, s.Tick())
				requireRefreshed(t, s, latest, c.events)
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
	remove := s.API.Inject(apiproxy.Fault{Match: patches, Do: troubles["conflict"]})
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
