package scenario_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// relabel writes the mark as a controller does that has the live object in git.
func relabel(s *harness.Scenario, to string, alsoSlot ...string) {
	labels := fmt.Sprintf(`"metadata":{"labels":{%q:%q}}`, mark, to)
	if len(alsoSlot) == 0 {
		s.Patch(harness.Argo, s.Deployment("jobs"), "{"+labels+"}")
		return
	}
	s.Patch(harness.Argo, s.Deployment("jobs"), "{"+labels+","+set(alsoSlot[0])[1:])
}

// strip takes all annotations of ours out, as an operator does that sets all annotations of its Deployment.
func strip(s *harness.Scenario) {
	s.Patch("operator", s.Deployment("jobs"), fmt.Sprintf(`{"metadata":{"annotations":{%q:null,%q:null,%q:null,%q:null,%q:null,"operator":%q}}}`,
		recorded, state, failures, lastError, streak, time.Now().String()))
}

// requireContested asserts that a tick is loud about its records, and names who changed them.
func requireContested(t *testing.T, s *harness.Scenario, who string) {
	t.Helper()
	s.Settle(workloads.Deployment("jobs"))
	loud := requireOutcome(t, s.Tick(), 1, "failed", "contested")
	assert.Contains(t, loud.Message, who)
}

// I54: the live object was exported to git with the mark in it, and a controller applied it for ever: each tick found the
// slot reverted, or a person's choice, and was green. With the slot, and with the record, it is the same.
func TestI54AMarkThatOthersWriteIsContested(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reverts   func(s *harness.Scenario, exported, first string)
		says      string
		rollouts  int // at the most, beside the first
		everyTick bool
	}{
		"alone":         {func(s *harness.Scenario, exported, _ string) { relabel(s, exported) }, harness.Argo, 0, true},
		"with the slot": {func(s *harness.Scenario, exported, first string) { relabel(s, exported, first) }, harness.Argo, 4, false},
		"with slot and record": {func(s *harness.Scenario, exported, first string) {
			relabel(s, exported, first)
			s.Patch(harness.Argo, s.Deployment("jobs"), fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, recorded, first))
		}, harness.Argo, 6, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first := adopted(t)
			exported := s.Deployment("jobs").Labels[mark]
			second := s.Push(ingestor, image("second"))
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			c.reverts(s, exported, first)
			requireContested(t, s, c.says)
			assert.Len(t, eventsOf(s, "RefreshContested"), 1)
			for range 3 { // a fight
				s.Settle(workloads.Deployment("jobs"))
				if !c.everyTick { // in the tick between, the slot is put back
					harness.RequireExit(t, 0, s.Tick())
					assert.Equal(t, second, live(s))
				}
				c.reverts(s, exported, first)
				requireContested(t, s, c.says)
			}
			s.Settle(workloads.Deployment("jobs"))
			assert.LessOrEqual(t, workloads.Revision(s.Deployment("jobs")), 2+2*(c.rollouts+1))
		})
	}
}

// I54, once: it is loud once, and all is well again.
func TestI54AMarkThatWasWrittenOnceIsLoudOnce(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	exported := s.Deployment("jobs").Labels[mark]
	second := s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	relabel(s, exported)
	requireContested(t, s, harness.Argo)
	requireRolled(t, s, "jobs", second, 2)
	s.Settle(workloads.Deployment("jobs"))
	requireQuietEnv(t, s)
	third := s.Push(ingestor, image("third"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", third, 3)
}

// requireQuietEnv asserts that a tick finds everything fresh, and that the one after it writes nothing.
func requireQuietEnv(t *testing.T, s *harness.Scenario) {
	t.Helper()
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	s.Settle(workloads.Deployment("jobs"))
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Empty(t, s.API.Writes(), "an unchanged tick writes nothing")
}

// I55: an operator set all annotations of its Deployment, and no failure ever added up.
func TestI55AnnotationsThatAnOperatorDropsAreContested(t *testing.T) {
	t.Parallel()
	t.Run("with a registry that is blocked", func(t *testing.T) {
		t.Parallel()
		s, first := adopted(t)
		unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
		for range 4 {
			strip(s)
			requireContested(t, s, recorded)
			assert.Equal(t, first, live(s))
		}
		unblock()
		s.Settle(workloads.Deployment("jobs"))
		requireQuietEnv(t, s)
	})
	t.Run("with a crashing digest", func(t *testing.T) {
		t.Parallel()
		s, first := adopted(t, workloads.Recreate())
		second := s.Push(ingestor, image("second"))
		behave(s, second, fakenode.Failing("CrashLoopBackOff", "back-off restarting failed container"))
		s.Setenv("ROLLOUT_TIMEOUT", "4s")
		requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
		for range 2 {
			s.Settle(workloads.Deployment("jobs"))
			strip(s)
			requireContested(t, s, recorded)
			assert.Equal(t, first, live(s), "nothing is rolled out in such a tick")
		}
	})
}

// Q6: the mark is reset, or all annotations are dropped, while a tick waits. What the tick remembers is written anew: a
// failure counts, the service is restored, and the tick is loud.
func TestQ6RecordsThatChangeWhileATickWaits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *harness.Scenario, exported string){
		"the mark":        func(s *harness.Scenario, exported string) { relabel(s, exported) },
		"the annotations": func(s *harness.Scenario, _ string) { strip(s) },
	} {
		t.Run(name+", and all goes well", func(t *testing.T) {
			t.Parallel()
			s, exported, second := inMidWait(t)
			run := s.Start()
			s.Eventually("the rollout has begun", func() bool { return workloads.Revision(s.Deployment("jobs")) == 2 })
			change(s, exported)
			s.Behave(nil)
			requireOutcome(t, run.Finish(), 1, "failed", "contested")
			requireRolled(t, s, "jobs", second, 2)
			assert.Equal(t, labelFor(second, "api/"+slot), s.Deployment("jobs").Labels[mark])
			requireQuietEnv(t, s)
		})
		t.Run(name+", and it crashes", func(t *testing.T) {
			t.Parallel()
			s, exported, second := inMidWait(t, workloads.Recreate())
			s.Setenv("ROLLOUT_TIMEOUT", "8s")
			behave(s, second, fakenode.Failing("CrashLoopBackOff", "back-off restarting failed container"))
			run := s.Start()
			s.Eventually("the rollout has begun", func() bool { return workloads.Revision(s.Deployment("jobs")) == 2 })
			change(s, exported)
			requireOutcome(t, run.Finish(), 1, "rolled-back", "rollout-failed")
			requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
			assert.NotEqual(t, second, live(s), "the service is restored")
		})
	}
}

// inMidWait makes a scenario whose next tick refreshes and waits: pods are not ready as long as nothing else is said.
func inMidWait(t *testing.T, options ...workloads.Option) (s *harness.Scenario, exported, second string) {
	t.Helper()
	s, _ = adopted(t, options...)
	s.WithoutPlan()
	exported = s.Deployment("jobs").Labels[mark]
	second = s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Stuck())
	return s, exported, second
}

// A whole object is put there while a tick waits, as Argo CD does with Replace=true: slot, mark and annotations are gone.
func TestAWholeObjectThatIsPutThereWhileATickWaitsIsLoud(t *testing.T) {
	t.Parallel()
	s, exported, second := inMidWait(t)
	whole := s.Deployment("jobs")
	time.Sleep(1100 * time.Millisecond) // claims have whole seconds
	run := s.Start()
	s.Eventually("the rollout has begun", func() bool { return workloads.Revision(s.Deployment("jobs")) == 2 })
	whole.ResourceVersion, whole.ManagedFields = "", nil
	delete(whole.Labels, mark)
	whole.Annotations = nil
	_, err := s.Client.AppsV1().Deployments(s.Namespace).Update(t.Context(), whole, metav1.UpdateOptions{FieldManager: harness.Argo})
	require.NoError(t, err)
	s.Behave(nil)
	loud := requireOutcome(t, run.Finish(), 1, "failed", "contested")
	assert.Contains(t, loud.Message, harness.Argo)
	assert.NotEmpty(t, exported)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	assert.Equal(t, second, live(s))
}

// I69: a person's undo to a revision from before the install, which held the same digest, takes all annotations: nobody is
// alarmed, and all is recorded anew. So does a person who writes the mark.
func TestI69APersonMayChangeTheRecords(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Deploy(jobs(first, workloads.Env("api", "OTHER", "1")))
	s.Kubectl("set", "env", "deployment/jobs", "OTHER=2")
	s.Settle(workloads.Deployment("jobs"))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	time.Sleep(1100 * time.Millisecond) // claims have whole seconds
	s.Kubectl("rollout", "undo", "deployment/jobs")
	s.Settle(workloads.Deployment("jobs"))
	assert.NotContains(t, s.Deployment("jobs").Annotations, recorded)
	anew := requireOutcome(t, s.Tick(), 0, "adopted", "")
	assert.Contains(t, anew.Message, "person")
	assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded])
	s.Settle(workloads.Deployment("jobs"))
	requireQuietEnv(t, s)
	time.Sleep(1100 * time.Millisecond) // what is written from here on is later than the undo
	s.Kubectl("label", "deployment/jobs", "--overwrite", mark+"=unpinned")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	assert.Equal(t, labelFor(first, "api/"+slot), s.Deployment("jobs").Labels[mark])
	assert.Empty(t, eventsOf(s, "RefreshContested"))
	strip(s) // an operator: whoever wrote the pod template last did so before we wrote
	requireContested(t, s, recorded)
}

// A state that a person removes re-arms, in mid-rollout too: what was put there is still ours to see through.
func TestAStateThatAPersonRemovesReArms(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	behave(s, second, fakenode.Failing("CrashLoopBackOff", "back-off restarting failed container"))
	s.Setenv("ROLLOUT_TIMEOUT", "4s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
	requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	s.Kubectl("annotate", "deployment/jobs", state+"-")
	requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	assert.Equal(t, first, live(s), "what was recorded is restored")
}
