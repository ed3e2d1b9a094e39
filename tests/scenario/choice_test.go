package scenario_test

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// requireChoice asserts how a choice ended on the Deployment "jobs".
func requireChoice(t *testing.T, result *product.Result, code int, outcome, cause string) product.Change {
	t.Helper()
	harness.RequireExit(t, code, result)
	require.NotEmpty(t, result.Report.Changes)
	change := result.Report.Changes[0]
	assert.Equal(t, []string{outcome, cause}, []string{change.Outcome, change.Cause}, change.Message)
	return change
}

func isChoice(r apiproxy.Request) bool {
	return r.Verb == "patch" && strings.Contains(string(r.Body), "tracebloc.io/refresh-skip")
}

// onlyAfter holds requests back until one of others has succeeded.
func onlyAfter(s *harness.Scenario, held, others apiproxy.Matcher) apiproxy.Fault {
	done := func(r apiproxy.Request) bool { return others(r) && r.Status == http.StatusOK }
	return apiproxy.Fault{Match: held, Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if s.API.Await(r.Context(), 1, done) == nil {
			next.ServeHTTP(w, r)
		}
	}}
}

// A skip beside eight ticks that have all read the workload before it: either it comes first, and no tick rolls out what they had
// decided to, or the digest is live, and it says so. Nothing is lost, and nothing fails.
func TestSkipBesideEightTicks(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{"the skip is first": "skip", "a tick is first": "tick"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, old, latest := moved(t, fakenode.Ready())
			if first == "skip" {
				s.API.Inject(onlyAfter(s, isSlotPatch, isChoice))
			} else {
				s.API.Inject(onlyAfter(s, isChoice, isSlotPatch))
			}
			release := holdTag(t, s, 0)
			var ticks []*harness.Run
			for range 8 {
				ticks = append(ticks, s.Start())
			}
			skip := s.Start("skip", "ingestor")
			requireAsking(t, s, 9)
			release()
			skipped := skip.Finish()
			for _, tick := range ticks {
				harness.RequireExit(t, 0, tick.Finish())
			}
			if first == "tick" {
				requireChoice(t, skipped, 1, "refused", "")
				requireOutcome(t, s.Tick(), 0, "unchanged", "") // which notes that nothing is owed
				requireRefreshed(t, s, latest, 1)
				return
			}
			requireChoice(t, skipped, 0, "changed", "")
			assert.Zero(t, slotPatches(s))
			assert.Len(t, eventsOf(s, "RefreshHeld"), 1)
			requireOutcome(t, s.Tick(), 0, "held", "")
			requireRolled(t, s, "jobs", old, 1)
		})
	}
}

// A retry in the middle of a rollout for which eight ticks wait changes nothing about it. Between a tick's patch and the write that
// returns the slot to Helm it changes nothing at all, since the state alone names Helm.
func TestRetryBesideEightTicks(t *testing.T) {
	t.Parallel()
	s, _, latest := moved(t, fakenode.Stuck())
	released := make(chan struct{})
	remove := s.API.Inject(apiproxy.Fault{Match: isHandBack, Do: faultinject.Hold(released)})
	var ticks []*harness.Run
	for range 8 {
		ticks = append(ticks, s.Start())
	}
	s.Eventually("a tick returns the slot", func() bool { return len(s.API.Requests(isHandBack)) > 0 })
	refused := requireChoice(t, s.Run("retry", "ingestor"), 1, "refused", "")
	assert.Contains(t, refused.Message, "run it again after the next tick")
	close(released)
	remove()
	s.Eventually("it is Helm's", func() bool { return slices.Equal(slotOwners(s), []string{"helm/Apply"}) })
	s.Eventually("all ticks wait", func() bool { return len(s.API.Requests(waits)) >= len(ticks) })
	requireChoice(t, s.Run("retry", "ingestor"), 0, "changed", "")
	s.Behave(nil)
	for _, tick := range ticks {
		harness.RequireExit(t, 0, tick.Finish())
	}
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	requireRefreshed(t, s, latest, 1)
}

// One workload that may not be written to, or is not there, keeps no other from being written to; each is named with what is missing.
func TestAChoiceGoesOnWhereAWorkloadCannotBeWrittenTo(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	digest := s.Push(ingestor, image("first"))
	s.Deploy(jobs(digestOf("old")))
	s.Deploy(workloads.StatefulSet("other", workloads.Container("api", ingestor)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor,
		entry("StatefulSet", "other", "api")+entry("DaemonSet", "absent", "api")+entry("Deployment", "jobs", "api", "env: "+slot)))
	s.Grant(s.Namespace,
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"statefulsets", "daemonsets"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "patch"}})
	got := s.Run("skip", "ingestor")
	forbidden := requireChoice(t, got, 1, "failed", "api")
	assert.Contains(t, forbidden.Message, "forbids patch on statefulsets other in namespace "+s.Namespace)
	assert.NotEmpty(t, forbidden.Kubectl, "for somebody who may")
	assert.Equal(t, []string{"workload-missing", "", "changed"}, []string{got.Report.Changes[1].Cause, got.Report.Changes[2].Cause, got.Report.Changes[2].Outcome})
	assert.Equal(t, digest[7:47], s.Deployment("jobs").Labels["tracebloc.io/refresh-skip"])

	s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-skip-")
	remove := s.API.Inject(apiproxy.Fault{Match: patches, Do: troubles["conflict"]})
	assert.Contains(t, s.Run("skip", "ingestor").Report.Changes[2].Message, "changed 12 times")
	remove()
	remove = mutate(s, `"labels":{[^}]*}`, `"ownerReferences":[]`)
	assert.Contains(t, s.Run("skip", "ingestor").Report.Changes[2].Message, "admission webhook")
	shown := s.Run("skip", "ingestor", "-o", "table")
	harness.RequireExit(t, 1, shown)
	assert.Contains(t, shown.Stdout, "exit 1: 3 of 3 need you (1 api, 1 contested, 1 workload-missing); 0 fine\n\nTARGET")
	assert.Contains(t, shown.Stdout, "\n  "+forbidden.Kubectl+"\n")

	remove()
	s.Forget()
	s.API.Inject(apiproxy.Fault{Match: patches, Do: faultinject.Hang()})
	hangs := s.Start("skip", "ingestor")
	s.Eventually("it writes", func() bool { return len(s.API.Requests(isChoice)) > 1 })
	asked := time.Now()
	require.NoError(t, hangs.Signal(syscall.SIGTERM))
	got = hangs.Finish()
	assert.Less(t, time.Since(asked), 5*time.Second)
	harness.RequireExit(t, 1, got)
	assert.Contains(t, got.Report.Changes[2].Message, "interrupted")
}
