package scenario_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// eventsOf are the Events with a reason.
func eventsOf(s *harness.Scenario, reason string) []string {
	var notes []string
	for _, event := range s.Events() {
		if event.Reason == reason {
			notes = append(notes, event.Note)
		}
	}
	return notes
}

// I7: the env slot was empty after an upgrade with old stored values; the service answered 503.
func TestI7AnEmptySlotIsFilledAtOnce(t *testing.T) {
	t.Parallel()
	for name, deployed := range map[string]workloads.Object{
		"empty": jobs(""),
		"missing": workloads.Deployment("jobs", workloads.Container("api", "docker.io/tracebloc/jobs-manager:prod"),
			workloads.Env("api", "OTHER", "kept")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			digest := s.Push(ingestor, registries.Index("first", "linux/amd64"))
			s.Deploy(deployed)
			s.Configure(ingestorConfig)
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			requireRolled(t, s, "jobs", digest, 2)
		})
	}
}

// I7, where the registry is away: what was recorded is known to be good.
func TestI7AnEmptySlotIsFilledWithTheRecordedDigestWhereLatestIsUnknown(t *testing.T) {
	t.Parallel()
	s, digest := adopted(t)
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[{"name":"INGESTOR_IMAGE_DIGEST","value":""}]}]}}}}`)
	s.Settle(jobs(""))
	s.Site.Proxy.Refuse("ghcr.io", 403)
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Equal(t, 1, result.Report.Target("ingestor").Failures, "the target's failure is counted all the same")
	assert.Equal(t, digest, live(s))
}

// I8: a Helm upgrade reverted the slot; recorded = latest, so nothing happened, for ever.
func TestI8ADeployersRevertIsReapplied(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[{"name":"INGESTOR_IMAGE_DIGEST","value":"`+first+`"}]}]}}}}`)
	s.Settle(jobs(first))
	require.Equal(t, first, live(s))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	requireRolled(t, s, "jobs", second, 4)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Len(t, eventsOf(s, "DigestReapplied"), 1)
}

// I17: NotFound and RBAC denials were treated as "in progress": green for ever.
func TestI17AMissingWorkloadIsLoudAtOnce(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	digest := s.Push(ingestor, registries.Image("first", "linux/amd64"))
	s.Configure(ingestorConfig)
	missing := requireOutcome(t, s.Tick(), 1, "failed", "workload-missing")
	assert.Contains(t, missing.Message, "jobs")

	s.Deploy(workloads.Deployment("jobs", workloads.Container("other", "docker.io/tracebloc/x:1"), workloads.Env("other", slot, digest)))
	missing = requireOutcome(t, s.Tick(), 1, "failed", "workload-missing")
	assert.Contains(t, missing.Message, `"api"`)
}

func TestI17AForbiddenVerbIsNamed(t *testing.T) {
	t.Parallel()
	for verb, verbs := range map[string][]string{"get": {"patch", "watch", "list"}, "patch": {"get", "watch", "list"}} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			s, digest := adopted(t)
			s.Push(ingestor, registries.Index("second", "linux/amd64"))
			s.Grant(s.Namespace, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: verbs})
			// RBAC takes a moment to hear of the change.
			var message string
			s.Eventually(verb+" is forbidden", func() bool {
				result := s.Tick()
				failed := result.Report.Target("ingestor").Workload("jobs")
				message = failed.Message
				return result.ExitCode == 1 && failed.Cause == "api"
			})
			assert.Contains(t, message, verb)
			assert.Contains(t, message, "deployments")
			assert.Contains(t, message, s.Namespace)
			if verb == "patch" {
				assert.Equal(t, digest, live(s))
			}
		})
	}
}

// I23: two workloads ran different builds of one image, because only one was reconciled.
func TestI23OneResolveServesEverySlot(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, registries.Index("first", "linux/amd64"))
	other := func(digest string) workloads.Object {
		return workloads.Deployment("other",
			workloads.Container("api", "docker.io/tracebloc/a:1"), workloads.Env("api", slot, digest),
			workloads.Container("side", "docker.io/tracebloc/b:1"), workloads.Env("side", slot, "ghcr.io/tracebloc/ingestor@"+digest))
	}
	s.Deploy(jobs(first), other(first))
	s.Configure(`
targets:
  - name: ingestor
    image: ghcr.io/tracebloc/ingestor:0.3
    workloads:
      - {kind: Deployment, name: jobs, container: api, env: INGESTOR_IMAGE_DIGEST}
      - {kind: Deployment, name: other, container: api, env: INGESTOR_IMAGE_DIGEST}
      - {kind: Deployment, name: other, container: side, env: INGESTOR_IMAGE_DIGEST, envValue: reference}
`)
	harness.RequireExit(t, 0, s.Tick())
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	s.Forget()
	harness.RequireExit(t, 0, s.Tick())
	requireRolled(t, s, "jobs", second, 2)
	d := s.Deployment("other")
	requireRolled(t, s, "other", second, 2)
	value, _ := workloads.EnvValue(d, "side", slot)
	assert.Equal(t, "ghcr.io/tracebloc/ingestor@"+second, value)
	assert.Len(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1, "resolved once")
	slots := 0
	for _, write := range s.API.Requests(apiproxy.Write("deployments", "other")) {
		slots += strings.Count(string(write.Body), `"containers"`)
	}
	assert.Equal(t, 1, slots, "one patch a workload")
}

// I40: the env slot was fed from a ConfigMap; the patch made the object invalid, or replaced the source.
func TestI40ASlotThatIsFedFromElsewhereIsUntouched(t *testing.T) {
	t.Parallel()
	for name, option := range map[string][]workloads.Option{
		"valueFrom":    {workloads.EnvFromConfigMap("api", slot, "settings", "digest")},
		"envFrom":      {workloads.EnvFrom("api", "settings")},
		"listed twice": {workloads.Env("api", slot, "a"), workloads.Env("api", slot, "b")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			s.Push(ingestor, registries.Image("first", "linux/amd64"))
			s.Deploy(workloads.Deployment("jobs", append([]workloads.Option{workloads.Container("api", "docker.io/tracebloc/x:1")}, option...)...))
			s.Configure(ingestorConfig)
			s.Forget()
			requireOutcome(t, s.Tick(), 1, "failed", "slot-invalid")
			assert.Empty(t, s.API.Writes(), "untouched")
		})
	}
}

// An unchanged tick over a Deployment with three images on two registries: no write, one GET, one HEAD an image.
func TestAnUnchangedTickWritesNothingAndReadsOnce(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	a := s.Push("ghcr.io/tracebloc/a:1", registries.Index("a", "linux/amd64"))
	b := s.Push("docker.io/tracebloc/b:1", registries.Index("b", "linux/amd64"))
	c := s.Push("docker.io/library/c:1", registries.Index("c", "linux/amd64"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", "docker.io/tracebloc/x:1"),
		workloads.Env("api", "A", a), workloads.Env("api", "B", b), workloads.Env("api", "C", c)))
	s.Configure(`
targets:
  - {name: a, image: "ghcr.io/tracebloc/a:1", workloads: [{kind: Deployment, name: jobs, env: A}]}
  - {name: b, image: "tracebloc/b:1", workloads: [{kind: Deployment, name: jobs, env: B}]}
  - {name: c, image: "index.docker.io/library/c:1", workloads: [{kind: Deployment, name: jobs, env: C}]}
`)
	harness.RequireExit(t, 0, s.Tick())
	s.Settle(workloads.Deployment("jobs")) // adopting has bumped the generation, for a moment
	s.Forget()
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	for _, name := range []string{"a", "b", "c"} {
		assert.Equal(t, "unchanged", result.Report.Target(name).Workload("jobs").Outcome)
	}
	assert.Len(t, s.API.Requests(nil), 1, "one request to the API server")
	assert.Len(t, s.API.Requests(apiproxy.Verb("get", "deployments")), 1)
	calls := s.Site.Front.Calls(func(registries.Call) bool { return true })
	assert.LessOrEqual(t, len(calls), 3+2*2, "a HEAD an image, and at most a ping and a token a registry")
	assert.Len(t, s.Site.Front.Calls(registries.At("", registries.Head)), 3)
}

// Two targets that mean one slot: where the configuration and a namespace tell, nothing is read; where only the workload
// does, neither target is more right than the other.
func TestTwoTargetsOnOneSlot(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, image("second"))
	s.Push("ghcr.io/tracebloc/other:1", image("other"))
	both := func(one, other string) {
		s.Configure("targets:\n  - {name: ingestor, image: '" + ingestor + "', workloads: [{kind: Deployment, name: jobs, env: " + slot + one + "}]}\n" +
			"  - {name: other, image: 'ghcr.io/tracebloc/other:1', workloads: [{kind: Deployment, name: jobs, env: " + slot + other + "}]}\n")
	}
	both(", container: api", ", container: api, namespace: "+s.Namespace)
	s.Forget()
	invalid := s.Tick()
	harness.RequireExit(t, 2, invalid)
	assert.Contains(t, invalid.Stderr, "targets[1].workloads[0]: claims the same slot as targets[0].workloads[0]")
	assert.Empty(t, s.API.Requests(nil), "nothing is read")

	both(", container: api", "")
	result := s.Tick()
	requireOutcomes(t, result, 1, "failed")
	assert.Equal(t, "slot-invalid", result.Report.Target("other").Workload("jobs").Cause)
	assert.Equal(t, first, live(s))
}

// A label that holds nothing is said, and does not hold.
func TestAHoldThatIsNotTrueIsSaid(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Patch(harness.Person, s.Deployment("jobs"), `{"metadata":{"labels":{"tracebloc.io/refresh-hold":"yes"}}}`)
	result := s.Tick()
	requireOutcome(t, result, 0, "unchanged", "")
	assert.Contains(t, result.Stderr, `tracebloc.io/refresh-hold is read as absent`)
}

// A tag that could not be resolved is not resolved by a typing error in the target: the streak goes on.
func TestAStreakOutlivesAWorkloadThatCannotBeWorkedWith(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Site.Proxy.Refuse("ghcr.io", 403)
	for range 2 {
		requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	}
	s.Configure(strings.ReplaceAll(ingestorConfig, "container: api", "container: apl"))
	requireOutcome(t, s.Tick(), 1, "failed", "workload-missing")
	assert.Equal(t, "2", s.Deployment("jobs").Annotations[failures])
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 1, "failed", "proxy")
}
