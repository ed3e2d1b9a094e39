package scenario_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// undo runs the real kubectl rollout undo on the Deployment "jobs" and waits until it has settled.
func undo(s *harness.Scenario, flags ...string) {
	s.Kubectl(append([]string{"rollout", "undo", "deployment/jobs"}, flags...)...)
	s.Settle(workloads.Deployment("jobs"))
}

// refreshedOnce makes a scenario in which a tick has refreshed the Deployment "jobs" from first to second.
func refreshedOnce(t *testing.T, options ...workloads.Option) (s *harness.Scenario, first, second string) {
	t.Helper()
	s, first = adopted(t, options...)
	second = s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	return s, first, second
}

// requireHeld asserts that ticks hold what a person chose: green, listed, and not one rollout.
func requireHeld(t *testing.T, s *harness.Scenario, chosen string) {
	t.Helper()
	s.Settle(workloads.Deployment("jobs"))
	revision := workloads.Revision(s.Deployment("jobs"))
	for range 3 {
		held := requireOutcome(t, s.Tick(), 0, "held", "")
		assert.Contains(t, held.Message, "person")
		assert.Equal(t, chosen, live(s))
	}
	s.Settle(workloads.Deployment("jobs"))
	d := s.Deployment("jobs")
	assert.Equal(t, revision, workloads.Revision(d), "nothing is rolled")
	assert.Equal(t, label(chosen), contentOf(d.Labels[mark]))
	assert.Equal(t, chosen, d.Annotations[recorded])
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "held", "")
	assert.Empty(t, s.API.Writes(), "a hand counts once")
	assert.Len(t, eventsOf(s, "RefreshHeld"), 1, "one Event a hand")
}

// requireMovesOn asserts that a hold ends when the tag moves, and that later digests are not held for ever.
func requireMovesOn(t *testing.T, s *harness.Scenario) {
	t.Helper()
	for _, version := range []string{"fixed", "fixed again"} {
		digest := s.Push(ingestor, image(version))
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
		s.Settle(workloads.Deployment("jobs"))
		assert.Equal(t, digest, live(s))
		assert.Equal(t, digest, s.Deployment("jobs").Annotations[recorded])
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
	}
}

// I9: a person rolled back a bad release by hand; the updater put it back within minutes, again and again. The
// undo also rewinds our annotations: the mark, a label, tells.
func TestI9AnUndoIsHeldUntilTheTagMoves(t *testing.T) {
	t.Parallel()
	s, first, _ := refreshedOnce(t)
	undo(s)
	assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded], "rewound")
	requireHeld(t, s, first)
	requireMovesOn(t, s)
}

// I9, where the tag has moved on from what the person took out before a tick has seen their hand.
func TestI9AnUndoOfWhatIsNoLongerLatestIsNotHeld(t *testing.T) {
	t.Parallel()
	s, _, _ := refreshedOnce(t)
	undo(s)
	third := s.Push(ingestor, image("third"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", third, 4)
}

// I44: an undo in mid-rollout, while a tick waits for it.
func TestI44AnUndoInMidRollout(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Stuck())
	run := s.Start()
	s.Eventually("the rollout has begun", func() bool { return workloads.Revision(s.Deployment("jobs")) == 2 })
	undo(s)
	result := run.Finish()
	requireOutcome(t, result, 0, "held", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations[state], `"failed"`)
	requireHeld(t, s, first)
	s.Behave(nil)
	requireMovesOn(t, s)
}

// I44: an undo between two ticks, while the rollout has not settled.
func TestI44AnUndoOfAnUnfinishedRolloutBetweenTicks(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	undo(s)
	requireHeld(t, s, first)
	s.Behave(nil)
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireMovesOn(t, s)
}

// I44: undo twice, with no tick in between: back at the digest that is latest, and nothing has happened.
func TestI44AnUndoOfAnUndo(t *testing.T) {
	t.Parallel()
	s, _, second := refreshedOnce(t)
	undo(s)
	undo(s)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	s.Settle(workloads.Deployment("jobs"))
	assert.Equal(t, second, live(s))
	assert.Empty(t, eventsOf(s, "RefreshHeld"))
	requireMovesOn(t, s)
}

// I44: undo after undo, with ticks in between: old counters and holds come back from a ReplicaSet's snapshot.
func TestI44UndoAfterUndoWithTicksInBetween(t *testing.T) {
	t.Parallel()
	s, first, second := refreshedOnce(t)
	undo(s)
	requireHeld(t, s, first)
	undo(s)
	harness.RequireExit(t, 0, s.Tick())
	for range 2 {
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
		assert.Equal(t, second, live(s), "a person wants it back")
	}
	undo(s)
	s.Tick()
	for range 2 {
		requireOutcome(t, s.Tick(), 0, "held", "")
		assert.Equal(t, first, live(s))
	}
	requireMovesOn(t, s)
}

// I44: an undo to before our time: that ReplicaSet has no annotation of ours.
func TestI44AnUndoToBeforeOurTime(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	ancient := s.Push(ingestor, image("ancient"))
	first := s.Push(ingestor, image("first"))
	s.Deploy(jobs(ancient))
	s.Patch(harness.Helm, s.Deployment("jobs"), set(first))
	s.Settle(workloads.Deployment("jobs"))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	undo(s, "--to-revision=1")
	d := s.Deployment("jobs")
	assert.NotContains(t, d.Annotations, recorded)
	assert.Contains(t, d.Labels, mark, "labels survive")
	requireHeld(t, s, ancient)
	requireMovesOn(t, s)
}

// I44: an undo after a rejection puts the rejected digest back by hand. Where it works by now, that is that.
func TestI44AnUndoToARejectedDigestThatWorksByNow(t *testing.T) {
	t.Parallel()
	s, _, second := rejectedOnce(t)
	s.Behave(nil)
	undo(s)
	assert.Equal(t, second, live(s))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	harness.RequireExit(t, 0, s.Tick())
	for range 2 {
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
		assert.Equal(t, second, live(s))
	}
	requireMovesOn(t, s)
}

// I44: where it still fails, it is the person's choice all the same: nothing is rolled back over their head. It is
// loud once it has been unsettled for too long, and a new digest leads out.
func TestI44AnUndoToARejectedDigestThatStillFails(t *testing.T) {
	t.Parallel()
	s, _, second := rejectedOnce(t)
	s.Setenv("UNSETTLED_THRESHOLD", "2")
	s.Kubectl("rollout", "undo", "deployment/jobs")
	s.Eventually("the pod is not ready", func() bool { return s.Deployment("jobs").Status.UnavailableReplicas > 0 })
	requireOutcome(t, s.Tick(), 0, "held", "")
	revision := workloads.Revision(s.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	}
	assert.Equal(t, second, live(s))
	assert.Equal(t, revision, workloads.Revision(s.Deployment("jobs")))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireMovesOn(t, s)
}

// I44: an undo after a rejection, to the digest before: a new good digest still leads out.
func TestI44AnUndoAfterARejectionToTheDigestBefore(t *testing.T) {
	t.Parallel()
	s, first, _ := rejectedOnce(t)
	s.Kubectl("set", "env", "deployment/jobs", "OTHER=1")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	undo(s) // of the other variable: the slot is what it was
	assert.Equal(t, first, live(s))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	s.Behave(nil)
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireMovesOn(t, s)
}

// rejectedOnce makes a scenario in which second was tried, rejected and rolled back to first.
func rejectedOnce(t *testing.T) (s *harness.Scenario, first, second string) {
	t.Helper()
	s, first = adopted(t)
	second = s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	return s, first, second
}

// I9 on a StatefulSet and a DaemonSet: an undo there leaves annotations as they are.
func TestI9AnUndoOnTheOtherKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"StatefulSet", "DaemonSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Deploy(build(kind, "jobs", workloads.Container("api", ingestor+"@"+first)))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(kind, "jobs", "")))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			s.Push(ingestor, image("second"))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			s.Kubectl("rollout", "undo", kind+"/jobs")
			s.Settle(look(s, kind, "jobs"))
			for range 2 {
				requireOutcomes(t, s.Tick(), 0, "held")
				assert.Equal(t, ingestor+"@"+first, workloads.Image(look(s, kind, "jobs"), "api"))
			}
			third := s.Push(ingestor, image("third"))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			assert.Equal(t, ingestor+"@"+third, workloads.Image(look(s, kind, "jobs"), "api"))
		})
	}
}

// An undo takes the slots of every target back at once: each is held, until its own tag moves.
func TestI9AnUndoOfTwoTargetsHoldsEachUntilItsOwnTagMoves(t *testing.T) {
	t.Parallel()
	s := pair(t)
	s.Push(pairA, image("a2"))
	s.Push(pairB, image("b2"))
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	undo(s)
	for range 2 {
		requireOutcomes(t, s.Tick(), 0, "held")
	}
	s.Push(pairA, image("a3"))
	s.Settle(workloads.Deployment("jobs"))
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	outcomeOf(t, result, "a", "jobs", "refreshed", "")
	outcomeOf(t, result, "b", "jobs", "held", "")
}

// I44: an undo brings back the annotations of its revision, and with them counters that were over: they count for nothing.
func TestI44AnUndoBringsNoOldCountersBack(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	for range 2 {
		requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	}
	s.Eventually("the revision has the counter", func() bool {
		return strings.Contains(s.Kubectl("get", "replicasets", "-o", "jsonpath={.items[*].metadata.annotations}"), failures+`":"2"`)
	})
	unblock()
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	undo(s)
	require.Equal(t, "2", s.Deployment("jobs").Annotations[failures], "kubectl has brought it back")
	s.Site.Proxy.Refuse("ghcr.io", 403)
	for count, outcome := range []string{"held", "skipped"} {
		result := s.Tick()
		requireOutcomes(t, result, 0, outcome)
		assert.Equal(t, count+1, result.Report.Target("ingestor").Failures)
		assert.NotContains(t, s.Deployment("jobs").Annotations, lastError)
	}
	requireOutcome(t, s.Tick(), 1, "failed", "proxy")
}

// I9: what a person pins in place of a bare tag is theirs until the tag moves on.
func TestI9APinInPlaceOfATagIsHeld(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	old := s.Push(ingestor, image("old"))
	s.Push(ingestor, image("bad"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", ingestor)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Kubectl("set", "image", "deployment/jobs", "api="+ingestor+"@"+old)
	s.Settle(workloads.Deployment("jobs"))
	for range 3 {
		requireOutcomes(t, s.Tick(), 0, "held")
		assert.Equal(t, ingestor+"@"+old, workloads.Image(s.Deployment("jobs"), "api"))
	}
	assert.Len(t, eventsOf(s, "RefreshHeld"), 1)
	good := s.Push(ingestor, image("good"))
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	assert.Equal(t, ingestor+"@"+good, workloads.Image(s.Deployment("jobs"), "api"))
}

// A person who puts there what is latest has changed nothing that anybody waits for.
func TestAHandThatPutsLatestThereIsNoEvent(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	second := s.Push(ingestor, image("second"))
	s.Kubectl("set", "env", "deployment/jobs", slot+"="+second)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Empty(t, s.Events())
}
