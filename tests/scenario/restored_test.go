package scenario_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// apart makes a Deployment "jobs" whose containers api and side follow one target, and hold what was adopted and what a person has
// set beside it: together they are unpinned.
func apart(t *testing.T) (s *harness.Scenario, requireApart func()) {
	t.Helper()
	s = environment.Scenario(t)
	older, first := s.Push(ingestor, image("older")), s.Push(ingestor, image("first"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", ingestor+"@"+first), workloads.Container("side", ingestor+"@"+first)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api")+entry("Deployment", "jobs", "side")))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Kubectl("set", "image", "deployment/jobs", "side="+ingestor+"@"+older)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcomes(t, s.Tick(), 0, "held")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	s.Settle(workloads.Deployment("jobs"))
	return s, func() {
		t.Helper()
		s.Settle(workloads.Deployment("jobs"))
		d := s.Deployment("jobs")
		require.Equal(t, ingestor+"@"+first, workloads.Image(d, "api"))
		require.Equal(t, ingestor+"@"+older, workloads.Image(d, "side"))
		assert.Equal(t, "unpinned", contentOf(d.Labels[mark]))
		assert.Equal(t, "unpinned", d.Annotations[recorded])
	}
}

// I58, I19: a tick that is killed at any request while it gives up and restores is continued, and each slot holds what it held.
func TestI58ATickKilledWhileItRestoresSlotsThatDiffer(t *testing.T) {
	t.Parallel()
	s, requireApart := apart(t)
	s.Setenv("ROLLOUT_TIMEOUT", "1s")
	var bad []string
	for n := range tooMany {
		bad = append(bad, s.Push(ingestor, image(fmt.Sprint("bad ", n))))
		breaks(s, crash(), bad...)
		if !killAt(t, s, apiproxy.Fault{Skip: n, Times: 1}, before) {
			require.GreaterOrEqual(t, n, 5, "read, patch, pods, restore, Events")
			return
		}
		for outcome, ticks := "", 0; outcome != "rejected"; ticks++ {
			require.Less(t, ticks, 3, "request %d: the last outcome is %s", n+1, outcome)
			result := s.Tick()
			harness.RequireExit(t, 1, result)
			outcome = result.Report.Target("ingestor").Workload("jobs").Outcome
		}
		requireApart()
	}
	t.Fatalf("a tick that restores makes more than %d requests", tooMany)
}

// I58, I28: eight ticks at once on a digest that crashes, where slots differ: one attempt, one restoration.
func TestI28I58EightTicksAtOnceRestoreOnce(t *testing.T) {
	t.Parallel()
	s, requireApart := apart(t)
	second := s.Push(ingestor, image("second"))
	breaks(s, crash(), second)
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	remove := concludeTogether(s, 8, second)
	for _, result := range eightAtOnce(t, s) {
		harness.RequireExit(t, 1, result)
	}
	remove()
	assert.Equal(t, 2, slotPatches(s))
	requireApart()
	assert.Len(t, eventsOf(s, "RolledBack"), 1)
}

// Q7: one tick restores a service that went down, while another one waits for what took it down: one count, one restoration, and
// nothing is put back.
func TestQ7OneTickRestoresWhileAnotherWaits(t *testing.T) {
	t.Parallel()
	s, first := adopted(t, workloads.Recreate())
	second := s.Push(ingestor, image("second"))
	breaks(s, crash(), second)
	s.Settle(jobs(first))
	s.Forget()
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	remove := concludeTogether(s, 2, second)
	one, other := overlapping(t, s)
	for _, run := range []*harness.Run{one, other} {
		requireOutcome(t, run.Finish(), 1, "rolled-back", "rollout-failed")
	}
	remove()
	assert.Equal(t, 2, slotPatches(s), "the attempt and its restoration")
	requireRolled(t, s, "jobs", first, 3)
	assert.Len(t, eventsOf(s, "RolloutFailed"), 1)
	assert.Len(t, eventsOf(s, "RolledBack"), 1)
	s.Forget()
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	assert.Zero(t, slotPatches(s))
}

// I27: what was counted in one counter says nothing of another one: a tick that loses the race for the target's failures counts the
// failed rollout all the same.
func TestI27ACountThatIsLostIsThatCountersAlone(t *testing.T) {
	t.Parallel()
	s, _, latest := moved(t, fakenode.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "8s")
	defer concludeTogether(s, 2, latest)()
	first := s.Start()
	s.Eventually("the first tick waits", func() bool { return len(s.API.Requests(waits)) >= 1 })
	s.Site.Proxy.Refuse("ghcr.io", 403)
	second := s.Start() // it counts a failure to resolve, while the first waits
	for _, run := range []*harness.Run{first, second} {
		assert.Contains(t, requireOutcome(t, run.Finish(), 1, "failed", "rollout-failed").Message, "1/3")
	}
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
	s.Setenv("ROLLOUT_TIMEOUT", "1s")
	assert.Contains(t, requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed").Message, "2/3")
	assert.Equal(t, "2", s.Deployment("jobs").Annotations[failures])
}

// I39, I43: pods come up and go down before the tick first looks, between its two writes. What counts is how many served before the
// patch, and nothing of what it put there ran before: two new pods are progress, and then one fewer serves than did.
func TestI39I43WhatHappensBeforeTheFirstLookCounts(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t, workloads.Replicas(4))
	second := s.Push(ingestor, image("second"))
	two := podRule{digest: second, behaviour: fakenode.Ready(), first: 2, taken: map[string]bool{}}
	fresh := nodes{rules: []podRule{two, {digest: second, behaviour: fakenode.Stuck()}}}
	s.Behave(fresh.behaviour)
	s.Setenv("ROLLOUT_TIMEOUT", "3s")
	s.API.Inject(apiproxy.Fault{Match: isHandBack, Times: 1, Do: faultinject.Before(func() {
		s.Eventually("two new ones and an old one serve", func() bool {
			status := s.Deployment("jobs").Status
			return status.UpdatedReplicas == 4 && status.AvailableReplicas == 3 && status.Replicas == 5
		})
	})})
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
}
