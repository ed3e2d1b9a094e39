package scenario_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// What the API server may answer.
var (
	conflict    = apiproxy.Refuse(409, "Conflict", "the object has been modified")
	forbidden   = apiproxy.Refuse(403, "Forbidden", "is forbidden: User cannot do that")
	internal    = apiproxy.Refuse(500, "InternalError", "etcd is away")
	unavailable = apiproxy.Refuse(503, "ServiceUnavailable", "the server is starting")
)

// The writes of a refresh, each by what is in it and in no other.
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
	latest = s.Push(ingestor, registries.Index("second", "linux/amd64"))
	behave(s, latest, second)
	s.Settle(jobs(first))
	s.Setenv("ROLLOUT_TIMEOUT", "60s")
	s.Forget()
	return s, first, latest
}

// requireUntouched asserts that a tick has changed nothing.
func requireUntouched(t *testing.T, s *harness.Scenario, first string) {
	t.Helper()
	d := s.Deployment("jobs")
	assert.Equal(t, first, live(s))
	assert.Equal(t, first, d.Annotations[recorded])
	assert.NotContains(t, d.Annotations, state)
	assert.Equal(t, 1, workloads.Revision(d))
	assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
}

// requireRefreshed asserts that the second digest is rolled out, once, and handed back.
func requireRefreshed(t *testing.T, s *harness.Scenario, latest string) {
	t.Helper()
	requireRolled(t, s, "jobs", latest, 2)
	assert.Equal(t, []string{"helm/Apply"}, slotOwners(s))
}

// silent accepts a watch and never sends anything.
func silent() faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // the client may be gone: its own loss
		<-r.Context().Done()
	}
}
