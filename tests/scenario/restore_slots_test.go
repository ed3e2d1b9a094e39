package scenario_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// twins are workloads with two slots of one target, in the ways in which a service can go down or not.
var twins = map[string]struct {
	kind    string
	env     bool
	options []workloads.Option
}{
	"images of a rolling Deployment": {kind: "Deployment"},
	"variables under Recreate":       {kind: "Deployment", env: true, options: []workloads.Option{workloads.Recreate()}},
	"images of a DaemonSet":          {kind: "DaemonSet"},
}

// I58: a person pinned a hotfix in one of two containers; the next bad digest could not be rolled back. Each slot goes
// back to what it held.
func TestI58EachSlotGoesBackToWhatItHeld(t *testing.T) {
	t.Parallel()
	for name, c := range twins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := twinOf(t, c.kind, c.env, c.options...).pinned()
			w.crashes("second")
			w.Setenv("ROLLOUT_TIMEOUT", "6s")
			w.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			w.Forget()
			requireOutcomes(t, w.Tick(), 1, "rolled-back")
			w.requireHeld(w.first, w.older)
			assert.Equal(t, 2, slotPatches(w.Scenario), "one patch for the attempt, one for the restoration")
			w.requireServing()
			requireNothingOdd(t, w.Scenario)
			w.requireHeld(w.first, w.older)
			w.requireMovesOnTogether()
		})
	}
}

// I58, I19: what each slot held is noted in the patch that changes it: a tick that is killed right after it takes nothing
// along.
func TestI58AKilledTickHasNotedWhatEachSlotHeld(t *testing.T) {
	t.Parallel()
	w := twinOf(t, "Deployment", false).pinned()
	latest := w.crashes("second")
	w.Setenv("ROLLOUT_TIMEOUT", "6s")
	w.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	require.True(t, killAt(t, w.Scenario, apiproxy.Fault{Match: isSlotPatch, Times: 1}, after))
	assert.Equal(t, [2]string{latest, latest}, w.slots())
	requireOutcomes(t, w.Tick(), 1, "rolled-back")
	w.requireHeld(w.first, w.older)
	w.requireServing()
	requireNothingOdd(t, w.Scenario)
}

// I58, I19: a tick that is killed at any request while it gives up and restores is continued, and each slot holds what
// it held.
func TestI58ATickKilledWhileItRestoresSlotsThatDiffer(t *testing.T) {
	t.Parallel()
	w := twinOf(t, "Deployment", false).pinned()
	w.Setenv("ROLLOUT_TIMEOUT", "1s")
	w.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	for n := range tooMany {
		w.crashes(fmt.Sprint("bad ", n))
		if !killAt(t, w.Scenario, apiproxy.Fault{Skip: n, Times: 1}, before) {
			require.GreaterOrEqual(t, n, 5, "read, patch, pods, restore, Events")
			return
		}
		outcome := ""
		for ticks := 0; outcome != "rejected"; ticks++ {
			require.Less(t, ticks, 3, "request %d: the last outcome is %s", n+1, outcome)
			result := w.Tick()
			harness.RequireExit(t, 1, result)
			outcome = result.Report.Target("ingestor").Workload("jobs").Outcome
		}
		w.requireHeld(w.first, w.older)
		w.requireServing()
		if t.Failed() {
			t.Fatalf("killed at request %d", n+1)
		}
	}
	t.Fatalf("a tick that restores makes more than %d requests", tooMany)
}

// I58, I28: eight ticks at once on a digest that crashes, where slots differ: one attempt, one restoration.
func TestI28I58EightTicksAtOnceRestoreOnce(t *testing.T) {
	t.Parallel()
	w := twinOf(t, "Deployment", false).pinned()
	w.settle()
	latest := w.crashes("second")
	w.Setenv("ROLLOUT_TIMEOUT", "8s")
	w.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	remove := concludeTogether(w.Scenario, 8, latest)
	for _, result := range eightAtOnce(t, w.Scenario) {
		harness.RequireExit(t, 1, result)
	}
	remove()
	assert.Equal(t, 2, slotPatches(w.Scenario))
	w.requireHeld(w.first, w.older)
	w.requireServing()
	assert.Len(t, eventsOf(w.Scenario, "RolledBack"), 1)
	requireNothingOdd(t, w.Scenario)
}

// I74: B crashed, C replaced it and crashed too: B was restored. What stood before the first attempt is.
func TestI74WhatStoodBeforeTheFirstAttemptIsRestored(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*twin) [2]string{
		"one digest":        func(w *twin) [2]string { return [2]string{w.first, w.first} },
		"slots that differ": func(w *twin) [2]string { w.pinned(); return [2]string{w.first, w.older} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := twinOf(t, "Deployment", false)
			stood := prepare(w)
			w.Setenv("ROLLOUT_TIMEOUT", "3s")
			w.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
			for _, build := range []string{"second", "third"} {
				latest := w.crashes(build)
				failed := w.Tick()
				requireOutcomes(t, failed, 1, "failed")
				assert.Contains(t, failed.Report.Target("ingestor").Workload("jobs").Message, "1/2", "counted for each digest")
				assert.Equal(t, [2]string{latest, latest}, w.slots())
			}
			requireOutcomes(t, w.Tick(), 1, "rolled-back")
			w.requireHeld(stood[0], stood[1])
			w.requireServing()
			requireNothingOdd(t, w.Scenario)
			w.requireMovesOnTogether()
		})
	}
}

// I74, I39: who served before the first attempt counts as well: C replaces a B that has taken the service down already, and
// what stood before is restored at C's first failure.
func TestI74WhoServedBeforeTheFirstAttemptIsRestoredAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	w := twinOf(t, "Deployment", true, workloads.Recreate()).pinned()
	w.crashes("second")
	w.Setenv("ROLLOUT_TIMEOUT", "60s")
	killed := w.Start()
	w.Eventually("the service is down", func() bool { return w.Deployment("jobs").Status.AvailableReplicas == 0 })
	killed.Kill()
	w.crashes("third")
	w.Setenv("ROLLOUT_TIMEOUT", "6s")
	restored := w.Tick()
	requireOutcomes(t, restored, 1, "rolled-back")
	assert.Contains(t, restored.Report.Target("ingestor").Workload("jobs").Message, "1/3")
	w.requireHeld(w.first, w.older)
	w.requireServing()
}

// Q3: what a deployer has set, and has settled, stood before the attempt as well: it is restored, mark and record with
// it, and the next tick finds nothing odd.
func TestQ3WhatADeployerSetIsRestored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		side    string // what the deployer sets the second slot to
		options []workloads.Option
	}{
		"one digest":                       {side: "deployed"},
		"one digest, under Recreate":       {side: "deployed", options: []workloads.Option{workloads.Recreate()}},
		"slots that differ":                {side: "deployed beside"},
		"slots that differ under Recreate": {side: "deployed beside", options: []workloads.Option{workloads.Recreate()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := twinOf(t, "Deployment", true, c.options...)
			api, side := w.Push("ghcr.io/tracebloc/ingestor:deployed", image("deployed")), w.Push("ghcr.io/tracebloc/ingestor:deployed", image(c.side))
			w.Patch(harness.Helm, w.Deployment("jobs"), reverts(api, side))
			w.settle()
			w.crashes("second")
			w.Setenv("ROLLOUT_TIMEOUT", "6s")
			w.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			requireOutcomes(t, w.Tick(), 1, "rolled-back")
			w.requireHeld(api, side)
			w.requireServing()
			requireNothingOdd(t, w.Scenario)
			w.requireHeld(api, side)
			assert.Empty(t, eventsOf(w.Scenario, "RefreshHeld"))
			w.requireMovesOnTogether()
		})
	}
}

// I7: an empty slot is an outage, and is never what is restored: recorded is.
func TestI7AnEmptySlotIsNeverRestoredTo(t *testing.T) {
	t.Parallel()
	for name, empties := range map[string]func(*twin) string{
		"one of two": func(w *twin) string { return reverts(w.first, "") },
		"both":       func(*twin) string { return reverts("", "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := twinOf(t, "Deployment", true)
			w.Patch(harness.Helm, w.Deployment("jobs"), empties(w))
			w.settle()
			w.crashes("second")
			w.Setenv("ROLLOUT_TIMEOUT", "6s")
			w.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			requireOutcomes(t, w.Tick(), 1, "rolled-back")
			w.requireHeld(w.first, w.first)
			w.requireServing()
			requireNothingOdd(t, w.Scenario)
		})
	}
}

// Q2: where nothing was ever recorded, an empty slot that was filled keeps what it was filled with, and a digest that
// crashes is not recorded for it.
func TestQ2AFilledSlotIsNeverEmptiedAgain(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	bad := s.Push(ingestor, image("bad"))
	behave(s, bad, crash())
	s.Deploy(jobs(""))
	s.Configure(ingestorConfig)
	s.Setenv("ROLLOUT_TIMEOUT", "3s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	failed := requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	assert.Contains(t, failed.Message, "no recorded digest to restore")
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	}
	assert.Equal(t, bad, live(s))
	assert.NotContains(t, s.Deployment("jobs").Annotations, recorded)
	good := s.Push(ingestor, image("good"))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, good, s.Deployment("jobs").Annotations[recorded])
}
