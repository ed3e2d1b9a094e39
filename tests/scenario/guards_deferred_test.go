package scenario_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// minAge: a new digest waits until it has been latest for so long, uncounted and green.
func TestANewDigestWaitsForItsMinimumAge(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Configure(ingestorConfig + "    minAge: 6s\n")
	s.WithoutPlan() // it grows old between a plan and its tick
	second := s.Push(ingestor, image("second"))
	began := time.Now()
	deferred := requireOutcome(t, s.Tick(), 0, "deferred", "")
	assert.Contains(t, deferred.Message, second[:19])
	assert.Equal(t, first, live(s))
	assert.Empty(t, s.Deployment("jobs").Annotations[failures])
	outcome := ""
	s.Eventually("it is old enough", func() bool {
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		outcome = result.Report.Target("ingestor").Workload("jobs").Outcome
		return outcome != "deferred"
	})
	assert.Equal(t, "refreshed", outcome)
	assert.GreaterOrEqual(t, time.Since(began), 5*time.Second) // the API server says whole seconds
	requireRolled(t, s, "jobs", second, 2)
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], `"seen"`)
}

// A tag that keeps moving defers a workload for 3 × minAge at most.
func TestATagThatKeepsMovingIsDeferredThreeTimesAtMost(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Configure(ingestorConfig + "    minAge: 5s\n")
	s.WithoutPlan()           // the same
	var began, seen time.Time // around when the first build was seen
	latest := ""
	for n := 0; ; n++ {
		latest = s.Push(ingestor, image(fmt.Sprint("build ", n))) // no digest is ever older than one tick
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		if n == 0 {
			began, seen = result.Report.StartedAt, time.Now()
		}
		if outcome := result.Report.Target("ingestor").Workload("jobs").Outcome; outcome != "deferred" {
			require.Equal(t, "refreshed", outcome)
			break
		}
		require.Less(t, result.Report.StartedAt.Sub(seen), 17*time.Second, "3 × minAge, in whole seconds")
		time.Sleep(100 * time.Millisecond)
	}
	assert.GreaterOrEqual(t, time.Since(began), 14*time.Second)
	assert.Equal(t, latest, live(s))
}

// Re-applying what was reverted is nothing new: it does not wait for an age.
func TestAReapplicationDoesNotWaitForAnAge(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	s.Configure(ingestorConfig + "    minAge: 1h\n")
	s.Patch(harness.Helm, s.Deployment("jobs"), set(first))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
}

// An outage does not wait for an age either: an empty slot is filled at once (I7).
func TestI7AnEmptySlotDoesNotWaitForAnAge(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	digest := s.Push(ingestor, image("first"))
	s.Deploy(jobs(""))
	s.Configure(ingestorConfig + "    minAge: 1h\n")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, digest, live(s))
}

// mode: notify reports what apply would do and counts what fails, and changes no slot, whatever is in it.
func TestNotifyReportsAndCountsAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"a digest": "installed", "an empty slot": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			if value != "" {
				value = s.Push(ingestor, image("first"))
			}
			s.Deploy(jobs(value))
			s.Configure(ingestorConfig + "    mode: notify\n")
			if value != "" {
				requireOutcome(t, s.Tick(), 0, "adopted", "")
			}
			second := s.Push(ingestor, image("second"))
			s.Forget()
			for range 2 {
				result := s.Tick()
				requireOutcome(t, result, 0, "pending", "")
				assert.Equal(t, second, result.Report.Target("ingestor").Digest)
			}
			unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
			for _, exit := range []int{0, 0, 1, 1} {
				harness.RequireExit(t, exit, s.Tick())
			}
			assert.Equal(t, "3", s.Deployment("jobs").Annotations[failures])
			unblock()
			requireOutcome(t, s.Tick(), 0, "pending", "")
			assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
			assert.Equal(t, value, live(s))
			assert.Empty(t, slotWrites(s, "deployments", "jobs"))
			assert.Equal(t, 1, workloads.Revision(s.Deployment("jobs")))

			s.Configure(ingestorConfig)
			s.Settle(workloads.Deployment("jobs"))
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, second, live(s))
		})
	}
}

// In notify a digest waits for a person, which may take weeks. Its gates are asked once: a GET counts as a pull. They are asked
// anew where the tag moves on, and where the target is no longer in notify.
func TestNotifyAsksItsGatesOnceADigest(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	gets := func() int { return asked(s, "ghcr.io", registries.Get) }
	s.Configure(ingestorConfig + "    mode: notify\n")
	for _, content := range []string{"second", "third"} {
		s.Push(ingestor, image(content))
		s.Forget()
		requireOutcome(t, s.Tick(), 0, "pending", "")
		assert.Positive(t, gets())
		for range 2 {
			s.Forget()
			requireOutcome(t, s.Tick(), 0, "pending", "")
			assert.Zero(t, gets())
		}
	}
	s.Configure(ingestorConfig)
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Positive(t, gets())
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], "passed")
}
