package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// refreshedFrom makes a scenario in which a Deployment runs an image, pinned by a tick, that it pulls with a secret.
func refreshedFrom(t *testing.T, s *harness.Scenario, image, digest, secret string) {
	t.Helper()
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", image), workloads.PullSecret(secret)))
	s.Configure("targets: [{name: ingestor, workloads: [{kind: Deployment, name: jobs, container: api}]}]")
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	require.Equal(t, image+"@"+digest, workloads.Image(s.Deployment("jobs"), "api"))
}

// pods are those of a scenario that run, by name.
func pods(t *testing.T, s *harness.Scenario) []string {
	t.Helper()
	list, err := s.Client.CoreV1().Pods(s.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, pod := range list.Items {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			names = append(names, pod.Name)
		}
	}
	return names
}

// I25: a robot account expired, and nothing was wrong until the next rollout, weeks later. Here the pods go on
// running, and the ticks say it.
func TestI25ADeadCredentialIsFoundWhileOldPodsRun(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	registry, digest := someRegistry(t, s)
	mount(t, s, "regcred", entries{someHost: goodLogin})
	refreshedFrom(t, s, somePrivate, digest, "regcred")
	running := pods(t, s)
	require.Len(t, running, 1)

	registry.RemoveAccount(goodLogin.user)
	moved := s.Push(somePrivate, registries.Image("second", "linux/amd64"))
	for tick, code := range []int{0, 0, 1, 1} {
		s.Forget()
		outcome := "skipped"
		if code == 1 {
			outcome = "failed"
		}
		failed := requireOutcome(t, s.Tick(), code, outcome, "unauthorized")
		for _, text := range []string{
			somePrivate, "pull secret " + s.Namespace + "/regcred", "account good", "entry registry.example.com", "the token endpoint auth.registry.example.com",
			"expired, disabled, deleted or have a wrong password, which a registry does not tell",
		} {
			assert.Contains(t, failed.Message, text)
		}
		assert.Equal(t, somePrivate+"@"+digest, workloads.Image(s.Deployment("jobs"), "api"))
		assert.Equal(t, string(rune('1'+min(tick, 2))), s.Deployment("jobs").Annotations[failures])
		assert.Equal(t, code == 1, s.Deployment("jobs").Annotations[lastError] != "")
		assert.Equal(t, 2, logins(s, "auth."+someHost, goodLogin), "a proof and what pods ask for, and not asked with again after both were refused")
		assert.Equal(t, running, pods(t, s))
	}
	require.Len(t, eventsOf(s, "ResolveFailing"), 1)
	assert.Contains(t, eventsOf(s, "ResolveFailing")[0], s.Namespace+"/regcred")

	registry.AddAccount(goodLogin.user, goodLogin.password, "team/private")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, somePrivate+"@"+moved, workloads.Image(s.Deployment("jobs"), "api"))
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
	assert.NotContains(t, s.Deployment("jobs").Annotations, lastError)
}

// I25, where the image is public and the registry serves the dead all the same, as Harbor does: nothing fails, so nothing
// is counted, and each tick says it.
func TestI25ADeadCredentialBehindAPublicImage(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	h, digest := startHarbor(t, s)
	puller := robot(t, s, h, "private", "puller", registries.RobotValid)
	refreshedFrom(t, s, harborHost+"/public/app:1", digest, "puller")
	h.SetRobot(puller.user, registries.RobotExpired)
	for range 4 {
		s.Forget()
		result := s.Tick()
		requireOutcome(t, result, 0, "unchanged", "")
		assert.Zero(t, result.Report.Target("ingestor").Failures)
		said := warnings(t, result)
		require.Len(t, said, 1)
		assert.Equal(t, "unauthorized", said[0].Cause)
		assert.Contains(t, said[0].Msg, "pull secret "+s.Namespace+"/puller (account robot$private+puller, entry "+harborHost+")")
		assert.Equal(t, 2, logins(s, harborHost, puller), "a proof, and what pods ask for")
		assert.Empty(t, s.API.Writes())
	}
	found := requireCheck(t, check(t, s, 1), "credential", "failed", s.Namespace+"/puller")
	assert.Equal(t, "unauthorized", found.Cause)
	assert.Contains(t, found.Message, "expired, disabled, deleted or have a wrong password")
	h.SetRobot(puller.user, registries.RobotValid) // extended, with the same secret
	assert.Empty(t, warnings(t, s.Tick()))
	requireCheck(t, check(t, s, 0), "credential", "ok", s.Namespace+"/puller")
}

// I42: one good credential cleared the failure count that a dead one had built up on the same image.
func TestI42ADeadCredentialBesideAGoodOne(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	registry, first := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	mount(t, s, "dead", entries{someHost: deadLogin})
	s.Create(
		workloads.CronJob("with-good", workloads.Container("app", somePrivate), workloads.PullSecret("good")),
		workloads.CronJob("with-dead", workloads.Container("app", somePrivate), workloads.PullSecret("dead")),
	)
	s.Configure(`
targets:
  - name: ingestor
    image: registry.example.com/team/private:1
    workloads: [{kind: CronJob, name: with-good}, {kind: CronJob, name: with-dead}]
`)
	image := func(name string) string {
		return s.CronJob(name).Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image
	}
	for tick, code := range []int{0, 0, 1, 1} {
		if tick > 0 { // the first tick adopts
			first = s.Push(somePrivate, registries.Image("build "+number(tick), "linux/amd64"))
		}
		result := s.Tick()
		harness.RequireExit(t, code, result)
		target := result.Report.Target("ingestor")
		assert.Equal(t, "unauthorized", target.Cause)
		assert.Contains(t, target.Message, s.Namespace+"/dead (account dead, ")
		assert.Equal(t, min(tick+1, 3), target.Failures, "the good one clears nothing")
		if tick == 0 {
			continue
		}
		assert.Equal(t, "refreshed", target.Workload("with-good").Outcome, "whose own credential works goes on")
		assert.Equal(t, somePrivate+"@"+first, image("with-good"))
		assert.Equal(t, "unauthorized", target.Workload("with-dead").Cause)
		assert.Equal(t, somePrivate, image("with-dead"))
	}
	registry.AddAccount(deadLogin.user, deadLogin.password, "team/private")
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Zero(t, result.Report.Target("ingestor").Failures)
	assert.Equal(t, "refreshed", result.Report.Target("ingestor").Workload("with-dead").Outcome)
	assert.Equal(t, image("with-good"), image("with-dead"))
}

// I24: the digest that was put there lacked arm64, and pods failed with "no match for platform".
func TestI24ADigestThatLacksAPlatformIsNotRolledOut(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	both := s.Push(ingestor, registries.Index("first", "linux/amd64", "linux/arm64"))
	s.Deploy(jobs(both))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	s.Push(ingestor, registries.Index("second", "linux/amd64").WithAttestation())
	s.Forget()
	for _, code := range []int{0, 0, 1} {
		result := s.Tick()
		harness.RequireExit(t, code, result)
		lacking := result.Report.Target("ingestor").Workload("jobs")
		assert.Equal(t, "platform-missing", lacking.Cause)
		assert.Contains(t, lacking.Message, "linux/arm64")
		assert.Equal(t, both, live(s))
	}
	assert.Equal(t, 1, workloads.Revision(s.Deployment("jobs")), "no rollout")
	third := s.Push(ingestor, registries.Index("third", "linux/amd64", "linux/arm64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", third, 2)
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
}
