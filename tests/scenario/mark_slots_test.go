package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// createdByHand makes a scenario with a Deployment that kubectl create has made, whose containers api and worker run an
// older digest each than the tag means. One target follows api alone; a tick has adopted it, and one has refreshed it.
func createdByHand(t *testing.T) (s *harness.Scenario, old, latest string) {
	t.Helper()
	s = environment.Scenario(t)
	old = s.Push(ingestor, image("old"))
	s.Push(ingestor, image("first"))
	file := filepath.Join(s.Dir, "jobs.json")
	made := workloads.Deployment("jobs", workloads.Container("api", ingestor+"@"+old), workloads.Container("worker", ingestor+"@"+old))
	require.NoError(t, os.WriteFile(file, asJSON(t, made), 0o600))
	s.Kubectl("create", "-f", file)
	s.Settle(workloads.Deployment("jobs"))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	assert.Equal(t, labelFor(old, "api"), s.Deployment("jobs").Labels[mark])
	latest = s.Push(ingestor, image("second"))
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	assert.Equal(t, labelFor(latest, "api"), s.Deployment("jobs").Labels[mark])
	s.Settle(workloads.Deployment("jobs"))
	return s, old, latest
}

// I69: the mark says which slots it was written for. Slots that the configuration names only now have not been observed:
// they are adopted as they are, whoever made the workload, and refreshed by the tick after.
func TestI69SlotsThatAreNewInTheConfigurationAreAdopted(t *testing.T) {
	t.Parallel()
	for name, containers := range map[string][]string{"a second container": {"worker", "api"}, "another container": {"worker"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, old, latest := createdByHand(t)
			entries := ""
			for _, container := range containers {
				entries += entry("Deployment", "jobs", container)
			}
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			d := s.Deployment("jobs")
			assert.Equal(t, 2, workloads.Revision(d), "nothing is rolled")
			assert.Equal(t, ingestor+"@"+old, workloads.Image(d, "worker"))
			content := old
			if len(containers) > 1 {
				content = "unpinned" // old and latest
			}
			assert.Equal(t, labelFor(content, containers...), d.Labels[mark])
			s.Settle(workloads.Deployment("jobs"))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			d = s.Deployment("jobs")
			assert.Equal(t, ingestor+"@"+latest, workloads.Image(d, "worker"))
			assert.Equal(t, labelFor(latest, containers...), d.Labels[mark])
			s.Settle(workloads.Deployment("jobs"))
			requireQuiet(t, s)
			assert.Empty(t, eventsOf(s, "RefreshHeld"))
		})
	}
}

// The order of the entries is no other slots. A mark of an earlier release, which names none, is one for those of today.
func TestTheSameSlotsAreNoFirstObservation(t *testing.T) {
	t.Parallel()
	s, _, latest := createdByHand(t)
	both := func(first, second string) {
		s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", first)+entry("Deployment", "jobs", second)))
	}
	both("api", "worker")
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	s.Settle(workloads.Deployment("jobs"))
	both("worker", "api")
	requireQuiet(t, s)
	s.Patch("image-refresh", s.Deployment("jobs"), fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, mark, label(latest)))
	s.Settle(workloads.Deployment("jobs"))
	requireQuiet(t, s)
	third := s.Push(ingestor, image("third"))
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	assert.Equal(t, labelFor(third, "api", "worker"), s.Deployment("jobs").Labels[mark])
}

// What a person has thrown out of a workload stays out, whichever slots the target has there now.
func TestAFirstObservationOfOtherSlotsKeepsWhatAPersonThrewOut(t *testing.T) {
	t.Parallel()
	s, old, _ := createdByHand(t)
	s.Kubectl("set", "image", "deployment/jobs", "api="+ingestor+"@"+old)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcomes(t, s.Tick(), 0, "held")
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api")+entry("Deployment", "jobs", "worker")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Settle(workloads.Deployment("jobs"))
	for range 2 {
		requireOutcomes(t, s.Tick(), 0, "held")
		assert.Equal(t, ingestor+"@"+old, workloads.Image(s.Deployment("jobs"), "api"))
	}
}
