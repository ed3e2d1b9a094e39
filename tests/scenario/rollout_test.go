package scenario_test

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// behave makes the pods that run a digest behave in a way; all others are Ready.
func behave(s *harness.Scenario, digest string, behaviour fakenode.Behaviour) {
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if fakenode.Runs(pod, digest) {
			return behaviour
		}
		return fakenode.Ready()
	})
}

// I3: the change was committed, the wait timed out, and the next tick saw live = latest and stopped looking.
// I4: the record was written before the rollout had succeeded.
func TestI3I4ARolloutThatHangsIsWaitedForCountedAndNeverRecorded(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	behave(s, second, fakenode.Stuck())
	s.Setenv("ROLLOUT_TIMEOUT", "1s")
	s.Setenv("ROLLBACK", "false")
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
		d := s.Deployment("jobs")
		assert.Equal(t, second, live(s))
		assert.Equal(t, first, d.Annotations[recorded], "nothing is recorded that did not roll out")
		assert.Equal(t, 2, workloads.Revision(d), "waited for, not restarted")
	}
	s.Behave(nil)
	s.Settle(workloads.Deployment("jobs"))
	s.Tick()
	requireRolled(t, s, "jobs", second, 2)
	assert.Equal(t, second, s.Deployment("jobs").Annotations[recorded])
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
}

// I13, I14: attempts are counted; at the threshold the digest is rejected and the recorded one restored; that
// stays loud, and a new digest starts from zero by itself.
func TestI13I14ABadDigestIsRolledBackRejectedAndLoud(t *testing.T) {
	t.Parallel()
	s, first := adopted(t, workloads.Replicas(2))
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	behave(s, second, fakenode.Failing("CrashLoopBackOff", "back-off restarting failed container"))
	s.Setenv("ROLLOUT_TIMEOUT", "1s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "2")
	failed := requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
	assert.Contains(t, failed.Message, "CrashLoopBackOff", "the pods' own reasons")
	assert.Contains(t, failed.Message, "1/2")
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	requireRolled(t, s, "jobs", first, 3)
	for range 2 {
		requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
		assert.Equal(t, 3, workloads.Revision(s.Deployment("jobs")), "not tried again")
	}
	assert.Len(t, eventsOf(s, "RolledBack"), 1)

	third := s.Push(ingestor, registries.Index("third", "linux/amd64"))
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", third, 4)
}

// I10, I11: a pod that never becomes Ready for a reason of its own: no new rollout on top, but not for ever.
func TestI10I11AnUnsettledWorkloadIsLeftAloneThenLoud(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Setenv("UNSETTLED_THRESHOLD", "2")
	s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Stuck() })
	s.Eventually("the pod is not ready", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[streak])
	failed := requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	assert.Contains(t, failed.Message, "ingestor", "what is frozen is named")
	requireOutcome(t, s.Tick(), 1, "failed", "not-settled")
	d := s.Deployment("jobs")
	assert.Equal(t, 1, workloads.Revision(d))
	assert.Equal(t, first, live(s))
	assert.Len(t, eventsOf(s, "RefreshFrozen"), 1)
	s.Behave(nil)
	s.Settle(d)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations, streak)
}

// I45: the installed digest crashes on start; the fix is published under the same tag: after the bound it is
// tried once.
func TestI45TheCureIsTriedOnce(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Setenv("UNSETTLED_THRESHOLD", "2")
	behave(s, first, fakenode.Failing("CrashLoopBackOff", "boom"))
	s.Eventually("the pod crashes", func() bool { return s.Deployment("jobs").Status.AvailableReplicas == 0 })
	cure := s.Push(ingestor, registries.Index("cure", "linux/amd64"))
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", cure, 2)
}

// I18: an API call without a timeout hung.
func TestI18ASilentAPIServerIsBounded(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("get", "deployments"), Do: faultinject.Hang()})
	result := s.Tick()
	requireOutcome(t, result, 1, "failed", "api")
	assert.Less(t, result.Duration, time.Minute)
}

// I19: waiting for three workloads in turn used up the deadline; the killed Job had recorded nothing.
func TestI19RolloutsAreWaitedForSideBySideAndAKilledTickIsContinued(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, registries.Index("first", "linux/amd64"))
	names := []string{"one", "two", "three"}
	config := "targets:\n  - name: ingestor\n    image: ghcr.io/tracebloc/ingestor:0.3\n    workloads:\n"
	for _, name := range names {
		s.Deploy(workloads.Deployment(name, workloads.Container("api", "docker.io/tracebloc/x:1"), workloads.Env("api", slot, first)))
		config += "      - {kind: Deployment, name: " + name + ", env: " + slot + "}\n"
	}
	s.Configure(config)
	harness.RequireExit(t, 0, s.Tick())
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	behave(s, second, fakenode.Stuck())

	run := s.Start()
	s.Eventually("every workload is rolling at once", func() bool {
		for _, name := range names {
			if workloads.Revision(s.Deployment(name)) != 2 {
				return false
			}
		}
		return true
	})
	run.Kill()
	s.Behave(nil)
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	for _, name := range names {
		requireRolled(t, s, name, second, 2)
	}
	harness.RequireExit(t, 0, s.Tick())
}

// I35: an updater stored the new digest before the update call, which failed: never retried.
func TestI35IntentAndChangeAreOnePatch(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	remove := s.API.Inject(apiproxy.Fault{
		Match: apiproxy.Write("deployments", "jobs"), Do: apiproxy.Refuse(422, "Invalid", "an admission webhook says no"),
	})
	requireOutcome(t, s.Tick(), 1, "failed", "api")
	d := s.Deployment("jobs")
	assert.Equal(t, first, d.Annotations[recorded])
	assert.NotContains(t, d.Annotations, state)
	remove()
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", second, 2)
	var intents int
	for _, write := range s.API.Writes() {
		if strings.Contains(string(write.Body), second) && strings.Contains(string(write.Body), `"containers"`) {
			intents++
			assert.Contains(t, string(write.Body), state)
			assert.Contains(t, string(write.Body), mark)
		}
	}
	assert.Equal(t, 2, intents, "the refused one and the one that went through")
}

// I12: clearing a bookkeeping annotation failed once and aborted the tick before any work.
func TestI12AFailedClearIsAWarning(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	unblock()
	remove := s.API.Inject(apiproxy.Fault{
		Match: apiproxy.Write("deployments", "jobs"), Do: apiproxy.Refuse(422, "Invalid", "an admission webhook says no"),
	})
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	remove()
	assert.Contains(t, s.Deployment("jobs").Annotations, failures)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
}

// A counter that cannot be written fails the tick.
func TestACounterThatCannotBeWrittenIsLoud(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Site.Proxy.Refuse("ghcr.io", 403)
	s.API.Inject(apiproxy.Fault{
		Match: apiproxy.Write("deployments", "jobs"), Do: apiproxy.Refuse(422, "Invalid", "an admission webhook says no"),
	})
	requireOutcome(t, s.Tick(), 1, "failed", "api")
}

// I16: reading the counter failed and was taken for zero.
func TestI16UnreadableIsNotAbsent(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Push(ingestor, registries.Index("second", "linux/amd64"))
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("get", "deployments"), Do: apiproxy.Refuse(500, "InternalError", "etcd is away")})
	s.Forget()
	requireOutcome(t, s.Tick(), 1, "failed", "api")
	assert.Empty(t, s.API.Writes())
}

// I27, I28: one tick counts once, whatever runs beside it: eight at once make one rollout and one count.
func TestI27I28EightTicksAtOnceAreOneRolloutAndOneCount(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	for _, result := range eightAtOnce(t, s) {
		harness.RequireExit(t, 0, result)
	}
	requireRolled(t, s, "jobs", second, 2)
	assert.Len(t, eventsOf(s, "DigestRefreshed"), 1)

	require.NoError(t, s.Site.Delete(ingestor))
	for count := 1; count <= 3; count++ {
		for _, result := range eightAtOnce(t, s) {
			harness.RequireExit(t, count/3, result)
			assert.Equal(t, count, result.Report.Target("ingestor").Failures)
		}
		assert.Equal(t, strconv.Itoa(count), s.Deployment("jobs").Annotations[failures])
	}
	assert.Len(t, eventsOf(s, "ResolveFailing"), 1)
}

// SIGTERM ends the tick within 5 s, and the next one continues.
func TestSIGTERMEndsTheTickAndTheNextOneContinues(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	behave(s, second, fakenode.Stuck())
	run := s.Start()
	s.Eventually("the rollout has begun", func() bool { return workloads.Revision(s.Deployment("jobs")) == 2 })
	asked := time.Now()
	require.NoError(t, run.Signal(syscall.SIGTERM))
	result := run.Finish()
	assert.Less(t, time.Since(asked), 5*time.Second)
	harness.RequireExit(t, 1, result)
	d := s.Deployment("jobs")
	assert.Equal(t, first, d.Annotations[recorded])
	assert.NotContains(t, d.Annotations[state], `"failed"`, "no attempt is counted")
	s.Behave(nil)
	harness.RequireExit(t, 0, s.Tick())
	requireRolled(t, s, "jobs", second, 2)
}

// Told to end while it asks about one image, a tick says of a workload that it has decided about that this is yet to be
// written.
func TestATickThatIsToldToEndReportsNothingThatItHasNotDone(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	a, b := s.Push("ghcr.io/tracebloc/a:1", image("a1")), s.Push("docker.io/tracebloc/b:1", image("b1"))
	targets := "targets:\n" + targetOf("b", "docker.io/tracebloc/b:1", entry("Deployment", "b", ""))
	s.Deploy(workloads.Deployment("b", workloads.Container("api", "docker.io/tracebloc/b:1@"+b)))
	s.Configure(targets)
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Deploy(workloads.Deployment("a", workloads.Container("api", "ghcr.io/tracebloc/a:1@"+a)))
	s.Configure(targets + targetOf("a", "ghcr.io/tracebloc/a:1", entry("Deployment", "a", "")))
	second := s.Push("docker.io/tracebloc/b:1", image("b2"))
	asked := func(c registries.Call) bool { return c.Reference == second && c.Stage == registries.Get }
	s.Site.Front.Inject(registries.Fault{Match: asked, Do: faultinject.Hang()})
	run := s.Start()
	s.Eventually("the gate has asked", func() bool { return len(s.Site.Front.Calls(asked)) > 0 })
	require.NoError(t, run.Signal(syscall.SIGTERM))
	result := run.Finish()
	harness.RequireExit(t, 1, result)
	outcomeOf(t, result, "a", "a", "waiting", "")
	outcomeOf(t, result, "b", "b", "skipped", "timeout")
	assert.NotContains(t, s.Deployment("a").Labels, "tracebloc.io/a-digest")
}
