package scenario_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// sleeper is a workload "jobs" no replica of which runs what its slot holds.
type sleeper struct {
	*harness.Scenario
	t    *testing.T
	kind string
	// first is what was adopted.
	first string
}

// sleeperOf makes a workload of a kind in image mode, and adopts it.
func sleeperOf(t *testing.T, object func(container workloads.Option) workloads.Object) *sleeper {
	t.Helper()
	z := &sleeper{Scenario: environment.Scenario(t), t: t}
	z.first = z.Push(ingestor, image("first"))
	o := object(workloads.Container("main", ingestor+"@"+z.first))
	z.kind = o.GetObjectKind().GroupVersionKind().Kind
	z.Deploy(o)
	z.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(z.kind, "jobs", "")))
	requireOutcome(t, z.Tick(), 0, "adopted", "")
	z.Setenv("UNSETTLED_THRESHOLD", "2")
	z.Setenv("ROLLOUT_TIMEOUT", "110s")
	return z
}

// scale sets the number of replicas, and waits until there are none where that is what is wanted.
func (z *sleeper) scale(replicas string) {
	z.t.Helper()
	z.Kubectl("scale", z.kind+"/jobs", "--replicas="+replicas)
	if replicas == "0" {
		z.Settle(build(z.kind, "jobs"))
	}
}

// requirePut asserts that a tick puts a digest there, green, without a wait, and proves nothing by it.
func (z *sleeper) requirePut(digest string) {
	z.t.Helper()
	z.Forget()
	result := z.Tick()
	requireOutcome(z.t, result, 0, "waiting", "")
	assert.Less(z.t, result.Duration, time.Minute, "there is nothing to wait for")
	assert.Equal(z.t, 1, slotPatches(z.Scenario))
	z.requireUnproven(digest)
}

// requireUnproven asserts that the slot holds a digest that no replica has run.
func (z *sleeper) requireUnproven(digest string) {
	z.t.Helper()
	o := look(z.Scenario, z.kind, "jobs")
	assert.Equal(z.t, ingestor+"@"+digest, workloads.Image(o, "main"))
	got, _, _ := strings.Cut(o.GetLabels()[mark], ".")
	assert.Equal(z.t, label(digest), got, "the mark")
	assert.Equal(z.t, z.first, o.GetAnnotations()[recorded], "the record")
	for _, counter := range []string{streak, failures, lastError} {
		assert.NotContains(z.t, o.GetAnnotations(), counter)
	}
	assert.Empty(z.t, eventsOf(z.Scenario, "DigestRefreshed"))
}

// requireAsleep asserts that further ticks find nothing new: waiting, green, uncounted, and not one write.
func (z *sleeper) requireAsleep(digest string) {
	z.t.Helper()
	z.Forget()
	for range 3 { // one more than the threshold of what is not settled
		result := z.Tick()
		requireOutcome(z.t, result, 0, "waiting", "")
		assert.Less(z.t, result.Duration, time.Minute)
	}
	assert.Empty(z.t, z.API.Writes())
	z.requireUnproven(digest)
}

// requireProven asserts that the tick after a replica has run the digest records it.
func (z *sleeper) requireProven(digest string) {
	z.t.Helper()
	z.Settle(build(z.kind, "jobs"))
	harness.RequireExit(z.t, 0, z.Tick())
	o := look(z.Scenario, z.kind, "jobs")
	assert.Equal(z.t, ingestor+"@"+digest, workloads.Image(o, "main"))
	assert.Equal(z.t, digest, o.GetAnnotations()[recorded])
	assert.Len(z.t, eventsOf(z.Scenario, "DigestRefreshed"), 1)
	z.Settle(build(z.kind, "jobs"))
	requireQuiet(z.t, z.Scenario)
}

// requireRestored asserts that what was adopted is back, mark and record with it, and that the next tick is loud about
// the digest that is rejected.
func (z *sleeper) requireRestored() {
	z.t.Helper()
	o := look(z.Scenario, z.kind, "jobs")
	assert.Equal(z.t, ingestor+"@"+z.first, workloads.Image(o, "main"))
	requireRecords(z.t, o, z.first, true)
	requireOutcome(z.t, z.Tick(), 1, "rejected", "rollout-failed")
}
