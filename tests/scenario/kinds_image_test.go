package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

var getOptions = metav1.GetOptions{}

// The repository stays spelled as the container spells it, and the tag stays readable.
func TestTheContainersOwnSpellingIsKept(t *testing.T) {
	t.Parallel()
	spellings := map[string]string{
		"short": "tracebloc/jobs-manager", "full": "docker.io/tracebloc/jobs-manager", "index": "index.docker.io/tracebloc/jobs-manager",
	}
	var objects []workloads.Object
	for name, spelled := range spellings {
		objects = append(objects, workloads.Deployment(name, workloads.Container("main", spelled+":prod")))
	}
	library := map[string]string{"one-part": "nginx", "library": "docker.io/library/nginx"}
	for name, spelled := range library {
		objects = append(objects, workloads.Deployment(name, workloads.Container("main", spelled+":prod")))
	}
	s := environment.Scenario(t)
	s.Deploy(objects...)
	entries, nginx := "", ""
	for name := range spellings {
		entries += entry("Deployment", name, "")
	}
	for name := range library {
		nginx += entry("Deployment", name, "")
	}
	s.Configure("targets:\n" + targetOf("manager", "index.docker.io/tracebloc/jobs-manager:prod", entries) + targetOf("nginx", "nginx:prod", nginx))
	digest := s.Push(jobsManager, image("manager"))
	page := s.Push("docker.io/library/nginx:prod", image("nginx"))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	for name, spelled := range spellings {
		assert.Equal(t, spelled+":prod@"+digest, workloads.Image(s.Deployment(name), "main"))
	}
	for name, spelled := range library {
		assert.Equal(t, spelled+":prod@"+page, workloads.Image(s.Deployment(name), "main"))
	}
	requireQuietOnceSettled(t, s, objects...)
}

// requireQuietOnceSettled is requireQuiet after the controllers have seen the last annotation write.
func requireQuietOnceSettled(t *testing.T, s *harness.Scenario, objects ...workloads.Object) {
	t.Helper()
	s.Settle(objects...)
	requireQuiet(t, s)
}

// pin: digest leaves the tag out, and goes on following the target's tag.
func TestPinDigestLeavesTheTagOut(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Deploy(workloads.Deployment("jobs", workloads.Container("main", "tracebloc/jobs-manager:prod")))
	s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", ""), "pin: digest"))
	for _, version := range []string{"first", "second"} {
		digest := s.Push(jobsManager, image(version))
		if version == "first" {
			requireOutcomes(t, s.Tick(), 0, "adopted")
		}
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
			digest := s.Push("ghcr.io/tracebloc/ingestor:latest", image("first"))
			s.Deploy(workloads.Deployment("jobs", workloads.Container("main", reference)))
			s.Configure("targets:\n" + targetOf("ingestor", reference, entry("Deployment", "jobs", "")))
			result := s.Tick()
			requireOutcomes(t, result, 0, "adopted")
			assert.Regexp(t, `"level":"WARN"[^\n]*latest`, result.Stderr)
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			assert.Equal(t, "ghcr.io/tracebloc/ingestor:latest@"+digest, workloads.Image(s.Deployment("jobs"), "main"))
		})
	}
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
			first := s.Push(ingestor, image("first"))
			s.Deploy(
				workloads.Deployment("jobs", workloads.Container("main", ingestor+"@"+first)),
				workloads.Deployment("other", workloads.Container("main", ingestor+"@"+first)),
			)
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "main")+entry("Deployment", "other", "")))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			s.Patch(harness.Helm, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"`+moved+`"}]}}}}`)
			s.Settle(workloads.Deployment("jobs"))
			s.Push(ingestor, image("second"))
			s.Forget()
			for _, other := range []string{"refreshed", "unchanged"} {
				result := s.Tick()
				harness.RequireExit(t, 1, result)
				mismatch := outcomeOf(t, result, "ingestor", "jobs", "failed", "slot-mismatch")
				assert.Contains(t, mismatch.Message, moved)
				outcomeOf(t, result, "ingestor", "other", other, "")
			}
			assert.Equal(t, moved, workloads.Image(s.Deployment("jobs"), "main"), "untouched")
			assert.Empty(t, slotWrites(s, "deployments", "jobs"))
		})
	}
}

// I41 in an environment variable that holds a whole reference.
func TestI41AReferenceInAVariable(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Push(ingestor, image("first"))
	const other = "ghcr.io/tracebloc/ingestor:0.4"
	s.Deploy(jobs(other))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api", "env: "+slot, "envValue: reference")))
	s.Forget()
	requireOutcome(t, s.Tick(), 1, "failed", "slot-mismatch")
	assert.Equal(t, other, live(s))
	assert.Empty(t, s.API.Writes())
}

// A target without an image follows the reference that the container names, so a release that moves to another
// tag is followed (I41 cannot happen to it).
func TestATargetWithoutAnImageFollowsTheContainer(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	old := s.Push("ghcr.io/tracebloc/ingestor:0.3", image("old"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("main", "ghcr.io/tracebloc/ingestor:0.3@"+old)))
	s.Configure("targets:\n" + targetOf("ingestor", "", entry("Deployment", "jobs", "")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	next := s.Push("ghcr.io/tracebloc/ingestor:0.4", image("next"))
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"ghcr.io/tracebloc/ingestor:0.4"}]}}}}`)
	s.Settle(workloads.Deployment("jobs"))
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
	const reference = "ghcr.io/tracebloc/database:dev"
	s := environment.Scenario(t)
	first := s.Push(reference, image("first"))
	s.Deploy(workloads.StatefulSet("database", workloads.Replicas(3), workloads.Container("main", reference)))
	s.Configure("targets:\n" + targetOf("ingestor", reference, entry("StatefulSet", "database", "")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	assert.Equal(t, labelFor("unpinned", "main"), s.StatefulSet("database").Labels[mark])
	assert.Equal(t, "unpinned", s.StatefulSet("database").Annotations[recorded])
	requireOutcomes(t, s.Tick(), 0, "refreshed")

	s.Push(reference, image("second, not rolled out yet"))
	s.Kubectl("delete", "pod", "database-1", "--wait=false")
	s.Eventually("the pod is back", func() bool {
		pod, err := s.Client.CoreV1().Pods(s.Namespace).Get(t.Context(), "database-1", getOptions)
		return err == nil && pod.DeletionTimestamp == nil && pod.Status.Phase == "Running"
	})
	pods, err := s.Client.CoreV1().Pods(s.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, pods.Items, 3)
	for _, pod := range pods.Items {
		assert.Equal(t, reference+"@"+first, pod.Spec.Containers[0].Image)
	}
}
