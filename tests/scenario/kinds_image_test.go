package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// The repository stays spelled as the container spells it, and the tag stays readable.
func TestTheContainersOwnSpellingIsKept(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	digests := map[string]string{"manager": s.Push(jobsManager, image("manager")), "nginx": s.Push("docker.io/library/nginx:prod", image("nginx"))}
	entries := map[string]string{}
	type deployment struct{ target, repository string }
	deployments := map[string]deployment{
		"short": {"manager", "tracebloc/jobs-manager"}, "full": {"manager", "docker.io/tracebloc/jobs-manager"},
		"index": {"manager", "index.docker.io/tracebloc/jobs-manager"}, "one-part": {"nginx", "nginx"}, "library": {"nginx", "docker.io/library/nginx"},
	}
	for name, d := range deployments {
		s.Deploy(workloads.Deployment(name, workloads.Container("main", d.repository+":prod")))
		entries[d.target] += entry("Deployment", name, "")
	}
	s.Configure("targets:\n" + targetOf("manager", "index.docker.io/tracebloc/jobs-manager:prod", entries["manager"]) +
		targetOf("nginx", "nginx:prod", entries["nginx"]))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	for name, d := range deployments {
		assert.Equal(t, d.repository+":prod@"+digests[d.target], workloads.Image(s.Deployment(name), "main"))
		s.Settle(workloads.Deployment(name))
	}
	requireQuiet(t, s)
}

// pin: digest leaves the tag out, and goes on following the target's tag.
func TestPinDigestLeavesTheTagOut(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Deploy(workloads.Deployment("jobs", workloads.Container("main", "tracebloc/jobs-manager:prod")))
	s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", ""), "pin: digest"))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	for _, version := range []string{"first", "second"} {
		digest := s.Push(jobsManager, image(version))
		requireOutcomes(t, s.Tick(), 0, "refreshed")
		assert.Equal(t, "tracebloc/jobs-manager@"+digest, workloads.Image(s.Deployment("jobs"), "main"))
		requireQuietOnceSettled(t, s, workloads.Deployment("jobs"))
	}
}

// A tag of latest, or none, is accepted with a warning.
func TestLatestIsAcceptedWithAWarning(t *testing.T) {
	t.Parallel()
	for _, reference := range []string{"ghcr.io/tracebloc/ingestor", "ghcr.io/tracebloc/ingestor:latest"} {
		t.Run(reference, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			followed(t, s, reference, workloads.Deployment("jobs", workloads.Container("main", reference)))
			digest := s.Push("ghcr.io/tracebloc/ingestor:latest", image("first"))
			result := s.Tick()
			requireOutcomes(t, result, 0, "refreshed")
			assert.Regexp(t, `"level":"WARN"[^\n]*latest`, result.Stderr)
			assert.Equal(t, "ghcr.io/tracebloc/ingestor:latest@"+digest, workloads.Image(s.Deployment("jobs"), "main"))
		})
	}
}

// moveTo has a release of the application move the container "main" of the Deployment "jobs" to another image.
func moveTo(s *harness.Scenario, image string) {
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"`+image+`"}]}}}}`)
	s.Settle(workloads.Deployment("jobs"))
}

// I41: the application's release moved to tag 0.4; the updater, still told 0.3, "healed" it back.
func TestI41OnlyTheDigestIsOurs(t *testing.T) {
	t.Parallel()
	for name, moved := range map[string]string{
		"another tag":        "ghcr.io/tracebloc/ingestor:0.4",
		"another repository": "ghcr.io/tracebloc/ingestor-next:0.3",
		"another registry":   "harbor.example.com/tracebloc/ingestor:0.3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			container := workloads.Container("main", ingestor+"@"+s.Push(ingestor, image("first")))
			variable := workloads.Env("main", "IMAGE", moved)
			s.Deploy(workloads.Deployment("jobs", container), workloads.Deployment("other", container), workloads.Deployment("variable", container, variable))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "main")+entry("Deployment", "other", "")) +
				targetOf("variable", ingestor, entry("Deployment", "variable", "", "env: IMAGE", "envValue: reference")))
			harness.RequireExit(t, 1, s.Tick())
			moveTo(s, moved)
			s.Push(ingestor, image("second"))
			s.Forget()
			for _, other := range []string{"refreshed", "unchanged"} {
				result := s.Tick()
				harness.RequireExit(t, 1, result)
				assert.Contains(t, outcomeOf(t, result, "ingestor", "jobs", "failed", "slot-mismatch").Message, moved)
				outcomeOf(t, result, "ingestor", "other", other, "")
				outcomeOf(t, result, "variable", "variable", "failed", "slot-mismatch")
			}
			assert.Equal(t, moved, workloads.Image(s.Deployment("jobs"), "main"), "untouched")
			assert.Empty(t, slotWrites(s, "deployments", "jobs"))
			assert.Empty(t, slotWrites(s, "deployments", "variable"))
		})
	}
}

// A target without an image follows the reference that the container names, so a release that moves to another
// tag is followed (I41 cannot happen to it).
func TestATargetWithoutAnImageFollowsTheContainer(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	old := s.Push("ghcr.io/tracebloc/ingestor:0.3", image("old"))
	followed(t, s, "", workloads.Deployment("jobs", workloads.Container("main", "ghcr.io/tracebloc/ingestor:0.3@"+old)))
	next := s.Push("ghcr.io/tracebloc/ingestor:0.4", image("next"))
	moveTo(s, "ghcr.io/tracebloc/ingestor:0.4")
	result := s.Tick()
	requireOutcomes(t, result, 0, "refreshed")
	assert.Equal(t, "ghcr.io/tracebloc/ingestor:0.4", result.Report.Target("ingestor").Image)
	assert.Equal(t, "ghcr.io/tracebloc/ingestor:0.4@"+next, workloads.Image(s.Deployment("jobs"), "main"))
	s.Push("ghcr.io/tracebloc/ingestor:0.3", image("old, moved on"))
	requireQuietOnceSettled(t, s, workloads.Deployment("jobs"))
}

// I26: a rolling tag with IfNotPresent; nodes held different builds. Pinned, every pod of a StatefulSet runs one
// build, also the pod that comes back after its node has rebooted.
func TestI26EveryPodOfAStatefulSetRunsOneBuild(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	followed(t, s, ingestor, workloads.StatefulSet("database", workloads.Replicas(3), workloads.Container("main", ingestor)))
	assert.Equal(t, labelFor("unpinned", "main"), s.StatefulSet("database").Labels[mark])
	assert.Equal(t, "unpinned", s.StatefulSet("database").Annotations[recorded])
	requireOutcomes(t, s.Tick(), 0, "refreshed")

	s.Push(ingestor, image("second, not rolled out yet"))
	s.Kubectl("delete", "pod", "database-1", "--wait=false")
	s.Eventually("the pod is back", func() bool {
		pod, err := s.Client.CoreV1().Pods(s.Namespace).Get(t.Context(), "database-1", getOptions)
		return err == nil && pod.DeletionTimestamp == nil && pod.Status.Phase == "Running"
	})
	pods, err := s.Client.CoreV1().Pods(s.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, pods.Items, 3)
	for _, pod := range pods.Items {
		assert.Equal(t, ingestor+"@"+first, pod.Spec.Containers[0].Image)
	}
}
