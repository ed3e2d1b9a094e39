package scenario_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I1: ghcr.io was blocked by the egress proxy, docker.io was not; every tick warned and exited 0. I2: below the
// threshold a blip pages nobody.
func TestI1I2OneRegistryBlockedAtTheProxy(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	const manager = "docker.io/tracebloc/jobs-manager:prod"
	ingestor1 := s.Push(ingestor, registries.Image("old", "linux/amd64"))
	manager1 := s.Push(manager, registries.Image("m1", "linux/amd64"))
	s.Deploy(
		jobs(ingestor1),
		workloads.Deployment("proxy", workloads.Container("proxy", manager), workloads.Env("proxy", "MANAGER_DIGEST", manager1)),
	)
	s.Configure(ingestorConfig + `
  - name: manager
    image: docker.io/tracebloc/jobs-manager:prod
    workloads: [{kind: Deployment, name: proxy, container: proxy, env: MANAGER_DIGEST}]
`)
	harness.RequireExit(t, 0, s.Tick())

	ingestor2 := s.Push(ingestor, registries.Index("new", "linux/amd64", "linux/arm64"))
	unblock := s.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	for tick, exit := range []int{0, 0, 1, 1} {
		moved := s.Push(manager, registries.Image("m"+string(rune('2'+tick)), "linux/amd64"))
		result := s.Tick()
		outcome := "skipped"
		if exit == 1 {
			outcome = "failed"
		}
		failed := requireOutcome(t, result, exit, outcome, "proxy")
		assert.Contains(t, failed.Message, "ghcr.io")
		assert.Contains(t, failed.Message, "proxy")
		count := min(tick+1, 3)
		target := result.Report.Target("ingestor")
		assert.Equal(t, count, target.Failures, "capped at the threshold")
		assert.Equal(t, 3, target.Threshold)
		assert.Empty(t, target.Digest)
		d := s.Deployment("jobs")
		assert.Equal(t, string(rune('0'+count)), d.Annotations[failures])
		if exit == 1 {
			assert.Regexp(t, `^proxy: .*ghcr\.io`, d.Annotations[lastError])
		} else {
			assert.NotContains(t, d.Annotations, lastError)
		}
		assert.Equal(t, ingestor1, live(s), "the slot is untouched")
		assert.Equal(t, "refreshed", result.Report.Target("manager").Workload("proxy").Outcome, "docker.io goes on")
		value, _ := workloads.EnvValue(s.Deployment("proxy"), "proxy", "MANAGER_DIGEST")
		assert.Equal(t, moved, value)
	}
	assert.Len(t, eventsOf(s, "ResolveFailing"), 1, "one Event a change of state")

	unblock()
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	d := s.Deployment("jobs")
	requireRolled(t, s, "jobs", ingestor2, 2)
	assert.NotContains(t, d.Annotations, failures, "one good resolve clears the count")
	assert.NotContains(t, d.Annotations, lastError)
}

// The threshold can be set for one target.
func TestI1AThresholdOfItsOwn(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Configure(ingestorConfig + "    resolveFailureThreshold: 1\n")
	s.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	requireOutcome(t, s.Tick(), 1, "failed", "proxy")
}

// I33: the token endpoint was down but the registry was up, and the other way round: stage and host are named.
func TestI33TheStageThatFailedIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		match  registries.Matcher
		reply  faultinject.Action
		cause  string
		phrase string
		host   string
	}{
		"token endpoint down":   {registries.At("auth.docker.io", registries.Token), faultinject.Reply(503, "down"), "server-error", "token endpoint", "auth.docker.io"},
		"registry down":         {registries.At("registry-1.docker.io", registries.Head), faultinject.Reply(502, "<html>"), "server-error", "manifest", "registry-1.docker.io"},
		"registry's ping down":  {registries.At("registry-1.docker.io", registries.Ping), faultinject.Reply(500, ""), "server-error", "/v2/", "registry-1.docker.io"},
		"token endpoint resets": {registries.At("auth.docker.io", registries.Token), faultinject.Reset(), "connection-refused", "token endpoint", "auth.docker.io"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			digest := s.Push("docker.io/tracebloc/jobs-manager:prod", registries.Image("m1", "linux/amd64"))
			s.Deploy(jobs(digest))
			s.Configure(`
targets:
  - name: ingestor
    image: docker.io/tracebloc/jobs-manager:prod
    workloads: [{kind: Deployment, name: jobs, container: api, env: INGESTOR_IMAGE_DIGEST}]
`)
			s.Setenv("RESOLVE_TIMEOUT", "3s")
			harness.RequireExit(t, 0, s.Tick())
			s.Site.Front.Inject(registries.Fault{Match: c.match, Do: c.reply})
			failed := requireOutcome(t, s.Tick(), 0, "skipped", c.cause)
			assert.Contains(t, failed.Message, c.host)
			assert.Contains(t, failed.Message, c.phrase)
			assert.Equal(t, digest, live(s))
		})
	}
}
