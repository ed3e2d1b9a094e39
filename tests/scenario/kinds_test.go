package scenario_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Each kind of workload in each mode, applied by two managers: adopted as it is, refreshed in one patch and one rollout,
// recorded, owned as before, and then left alone. One resolve serves them all.
func TestEveryKindInEveryMode(t *testing.T) {
	t.Parallel()
	other := workloads.Container("other", jobsManager)
	for name, mode := range map[string]struct {
		keys []string
		with func(digest string) []workloads.Option
	}{
		"image": {nil, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.Container("main", ingestor+"@"+digest)}
		}},
		"image of an init container": {nil, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.InitContainer("main", ingestor+"@"+digest), other}
		}},
		"digest in an environment variable": {[]string{"env: " + slot}, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.Container("main", jobsManager), workloads.Env("main", slot, digest)}
		}},
		"reference in an environment variable": {[]string{"env: " + slot, "envValue: reference"}, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.Container("main", jobsManager), workloads.Env("main", slot, "ghcr.io/tracebloc/ingestor@"+digest)}
		}},
		"variable of an init container": {[]string{"env: " + slot}, func(digest string) []workloads.Option {
			return []workloads.Option{workloads.InitContainer("main", jobsManager), workloads.Env("main", slot, digest), other}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			entries := ""
			for _, kind := range kinds {
				for _, manager := range []string{harness.Helm, harness.Argo} {
					require.NoError(t, s.Apply(manager, build(kind, "app", append(mode.with(first), workloads.Replicas(2))...)))
				}
				s.Settle(build(kind, "app"))
				entries += entry(kind, "app", "main", mode.keys...)
			}
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
			fields := everything(t, s, first)
			requireOutcomes(t, s.Tick(), 0, "adopted")
			require.Equal(t, fields, everything(t, s, first))

			before := map[string]int{}
			for _, kind := range kinds {
				before[kind] = rollouts(t, s, kind, "app")
			}
			latest := s.Push(ingestor, image("second"))
			s.Forget()
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			assert.Len(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1, "resolved once")
			assert.Empty(t, s.API.Requests(apiproxy.Verb("watch", "cronjobs")), "a CronJob has no rollout to wait for")
			for _, kind := range kinds {
				o, wanted := look(s, kind, "app"), build(kind, "app", mode.with(latest)...)
				assert.Equal(t, variable(wanted), variable(o), kind)
				assert.Equal(t, workloads.Image(wanted, "main"), workloads.Image(o, "main"), kind)
				assert.Equal(t, latest, o.GetAnnotations()[recorded], kind)
				assert.Equal(t, label(latest), contentOf(o.GetLabels()[mark]), kind)
				assert.Len(t, slotWrites(s, strings.ToLower(kind)+"s", "app"), 1, kind)
				if kind != "CronJob" {
					assert.Equal(t, before[kind]+1, rollouts(t, s, kind, "app"), "%s: one rollout", kind)
				}
			}
			s.Settle(workloads.Deployment("app"))
			require.Equal(t, fields, everything(t, s, first, latest))
			requireQuiet(t, s)
		})
	}
}

func variable(o workloads.Object) string {
	value, _ := workloads.EnvValue(o, "main", slot)
	return value
}

// A workload in another namespace works where the Role there says so; where it does not, the permission and the
// namespace are named, and the other workload goes on.
func TestAWorkloadInAnotherNamespace(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	other, err := s.Cluster.Namespace(t.Context(), "other")
	require.NoError(t, err)
	s.Deploy(workloads.DaemonSet("agent", workloads.InNamespace(other), workloads.Container("main", ingestor+"@"+first)))
	s.Configure(ingestorConfig + targetOf("agent", ingestor, entry("DaemonSet", "agent", "", "namespace: "+other)))
	second := s.Push(ingestor, image("second"))

	result := s.Tick()
	harness.RequireExit(t, 1, result)
	refused := outcomeOf(t, result, "agent", "agent", "failed", "api")
	assert.Contains(t, refused.Message, "daemonsets")
	assert.Contains(t, refused.Message, other)
	outcomeOf(t, result, "ingestor", "jobs", "refreshed", "")

	s.Grant(other, harness.Rules()...)
	s.Eventually("the Role is in force", func() bool {
		return s.Tick().Report.Target("agent").Workload("agent").Outcome == "adopted"
	})
	result = s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Equal(t, other, outcomeOf(t, result, "agent", "agent", "refreshed", "").Namespace)
	agent, err := s.Client.AppsV1().DaemonSets(other).Get(t.Context(), "agent", getOptions)
	require.NoError(t, err)
	assert.Equal(t, ingestor+"@"+second, workloads.Image(agent, "main"))
}

// OnDelete: the new digest is put there once, runs as somebody deletes the old pods, is not counted meanwhile,
// and recorded once every pod runs it.
func TestOnDeleteWaitsUncountedUntilThePodsAreDeleted(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"StatefulSet", "DaemonSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			followed(t, s, ingestor, build(kind, "jobs", workloads.OnDelete(), workloads.Replicas(2), workloads.Container("main", ingestor+"@"+first)))
			second := s.Push(ingestor, image("second"))
			s.Setenv("UNSETTLED_THRESHOLD", "2")
			for range 4 {
				assert.Contains(t, requireOutcome(t, s.Tick(), 0, "waiting", "").Message, "OnDelete")
				o := look(s, kind, "jobs")
				assert.Equal(t, ingestor+"@"+second, workloads.Image(o, "main"))
				assert.Equal(t, first, o.GetAnnotations()[recorded], "no pod runs it yet")
				assert.NotContains(t, o.GetAnnotations(), streak)
				assert.NotContains(t, o.GetAnnotations()[state], `"failed"`)
			}
			assert.Len(t, slotWrites(s, strings.ToLower(kind)+"s", "jobs"), 1)
			s.Kubectl("delete", "pod", "-l", "app.kubernetes.io/name=jobs", "--wait=false")
			s.Eventually("every pod runs the new digest", func() bool {
				if kind == "DaemonSet" {
					return workloads.Settled(s.DaemonSet("jobs"))
				}
				// The revision that an OnDelete StatefulSet calls current never changes.
				status := s.StatefulSet("jobs").Status
				return status.UpdatedReplicas == 2 && status.AvailableReplicas == 2
			})
			harness.RequireExit(t, 0, s.Tick())
			assert.Equal(t, second, look(s, kind, "jobs").GetAnnotations()[recorded])
			requireQuiet(t, s)
		})
	}
}

// A partition keeps pods below it on the old revision; they are not waited for, as long as one replica is above it.
func TestAPartitionIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, partition := range []int32{1, 2} {
		t.Run(fmt.Sprint(partition), func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			followed(t, s, ingestor, partitioned(partition, "jobs", workloads.Replicas(3), workloads.Container("main", ingestor+"@"+first)))
			second := s.Push(ingestor, image("second"))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			for ordinal := range int32(3) {
				pod, err := s.Client.CoreV1().Pods(s.Namespace).Get(t.Context(), fmt.Sprintf("jobs-%d", ordinal), getOptions)
				require.NoError(t, err)
				digest := second
				if ordinal < partition {
					digest = first
				}
				assert.Equal(t, ingestor+"@"+digest, pod.Spec.Containers[0].Image)
			}
			assert.Equal(t, second, s.StatefulSet("jobs").Annotations[recorded])
			requireQuiet(t, s)
		})
	}
}

// A paused Deployment is held, green and listed each tick, and refreshed once it is resumed. What fails to
// resolve meanwhile is counted all the same.
func TestAPausedDeploymentIsHeldUntilItIsResumed(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Kubectl("rollout", "pause", "deployment/jobs")
	second := s.Push(ingestor, image("second"))
	s.Forget()
	for range 2 {
		assert.Contains(t, requireOutcome(t, s.Tick(), 0, "held", "").Message, "paused")
	}
	assert.Equal(t, first, live(s))
	assert.Empty(t, s.API.Writes())
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	result := s.Tick()
	requireOutcome(t, result, 0, "held", "")
	assert.Equal(t, 1, result.Report.Target("ingestor").Failures)
	assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
	unblock()
	s.Kubectl("rollout", "resume", "deployment/jobs")
	s.Settle(jobs(first))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", second, 2)
}

// A container that is left out is the only one that can be meant: the one with the repository, or with the
// variable. Where several can be meant, they are listed, and nothing is touched.
func TestAContainerThatIsLeftOut(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	one, two := workloads.Container("one", jobsManager), workloads.Container("two", ingestor)
	variable := "env: " + slot
	s.Deploy(
		workloads.Deployment("by-repository", one, two),
		workloads.Deployment("by-variable", one, two, workloads.Env("two", slot, first)),
		workloads.Deployment("twice", one, two, workloads.Env("one", slot, first), workloads.Env("two", slot, first)),
		workloads.Deployment("nowhere", one, two),
		workloads.Deployment("same", workloads.Container("one", ingestor), workloads.InitContainer("two", ingestor)),
	)
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "by-repository", "")+entry("Deployment", "by-variable", "", variable)+
		entry("Deployment", "twice", "", variable)+entry("Deployment", "nowhere", "", variable)+entry("Deployment", "same", "")))
	result := s.Tick()
	harness.RequireExit(t, 1, result)
	assert.Equal(t, "two", outcomeOf(t, result, "ingestor", "by-repository", "adopted", "").Container)
	assert.Equal(t, "two", outcomeOf(t, result, "ingestor", "by-variable", "adopted", "").Container)
	for _, name := range []string{"twice", "nowhere", "same"} {
		assert.Contains(t, outcomeOf(t, result, "ingestor", name, "failed", "slot-invalid").Message, "one, two")
		assert.NotContains(t, s.Deployment(name).Labels, mark)
	}
}

// Two targets on one workload change in one patch and one rollout, and so does their record.
func TestTwoTargetsOnOneWorkloadAreOnePatchAndOneRollout(t *testing.T) {
	t.Parallel()
	s := pair(t)
	a, b := s.Push(pairA, image("a2")), s.Push(pairB, image("b2"))
	s.Forget()
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	s.Settle(workloads.Deployment("jobs"))
	d := s.Deployment("jobs")
	assert.Equal(t, pairA+"@"+a, workloads.Image(d, "one"))
	assert.Equal(t, pairB+"@"+b, workloads.Image(d, "two"))
	assert.Equal(t, 2, workloads.Revision(d))
	writes := slotWrites(s, "deployments", "jobs")
	require.Len(t, writes, 1)
	for _, text := range []string{a, b, "tracebloc.io/a-digest", "tracebloc.io/b-digest"} {
		assert.Contains(t, string(writes[0].Body), text)
	}
	requireQuiet(t, s)
}
