package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	ingestor = "ghcr.io/tracebloc/ingestor:0.3"
	slot     = "INGESTOR_IMAGE_DIGEST"

	ingestorConfig = `
targets:
  - name: ingestor
    image: ghcr.io/tracebloc/ingestor:0.3
    workloads: [{kind: Deployment, name: jobs, container: api, env: INGESTOR_IMAGE_DIGEST}]
`
)

// jobs is the application's Deployment with a digest in its slot.
func jobs(digest string, options ...workloads.Option) workloads.Object {
	return workloads.Deployment("jobs", append([]workloads.Option{
		workloads.Container("api", "docker.io/tracebloc/jobs-manager:prod"), workloads.Env("api", slot, digest),
	}, options...)...)
}

// I5: the first tick restarted every pod on install. I6: it recorded the
// registry's digest though the pods ran an older one.
func TestI5I6FirstObservationRecordsWhatIsLiveAndRollsNothing(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	installed := s.Push(ingestor, registries.Image("installed", "linux/amd64"))
	published := s.Push(ingestor, registries.Index("published", "linux/amd64", "linux/arm64"))
	s.Deploy(jobs(installed, workloads.Replicas(2)))
	s.Configure(ingestorConfig)

	result := s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Equal(t, "adopted", result.Report.Target("ingestor").Workload("jobs").Outcome)
	adopted := s.Deployment("jobs")
	live, _ := workloads.EnvValue(adopted, "api", slot)
	assert.Equal(t, installed, live)
	assert.Equal(t, installed, adopted.Annotations["tracebloc.io/last-refreshed-ingestor-digest"])
	assert.Equal(t, 1, workloads.Revision(adopted), "nothing was rolled")

	result = s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Equal(t, "refreshed", result.Report.Target("ingestor").Workload("jobs").Outcome)
	refreshed := s.Deployment("jobs")
	live, _ = workloads.EnvValue(refreshed, "api", slot)
	assert.Equal(t, published, live)
	assert.Equal(t, published, refreshed.Annotations["tracebloc.io/last-refreshed-ingestor-digest"])
	assert.Equal(t, 2, workloads.Revision(refreshed), "one rollout")
	s.Settle(jobs(published)) // recording bumped the generation: settled again in a moment

	s.Settle(refreshed) // recording it has bumped the generation, for a moment
	s.Forget()
	result = s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Equal(t, "unchanged", result.Report.Target("ingestor").Workload("jobs").Outcome)
	assert.Empty(t, s.API.Writes(), "an unchanged tick writes nothing")
	assert.Len(t, s.API.Requests(apiproxy.Read("deployments", "jobs")), 1)
	assert.Len(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1)
	assert.Empty(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Get)))
}
