//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// A rollout that hangs for a reason that no digest has is loud. Nothing is rejected or rolled back, and it goes on by itself.

// I49: a GPU was taken; the digest, which never ran, was rejected for good.
func TestI49NoNodeTakesTheNewPod(t *testing.T) {
	t.Parallel()
	label := func(value string) {
		_, err := env.client.CoreV1().Nodes().Patch(t.Context(), realnode.Name, types.MergePatchType,
			fmt.Appendf(nil, `{"metadata":{"labels":{"example.com/gpu":%q}}}`, value), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	label("free")
	s, _ := installed(t, "unschedulable", "", workloads.Recreate(), workloads.NodeSelector("example.com/gpu", "free"))
	job, second := s.disturb(func() { label("taken") })
	s.blamesNothing(s.finished(job, 1), "Unschedulable: 0/1 nodes are available")
	label("free")
	s.goesOn(second)
}

// I50: one of 164 nodes was away; the rollout was rejected and rolled back on the others. Here it is the only one. What runs on it
// runs on, the tick among it. No other suite has a node meanwhile.
func TestI50TheNodeGoesAway(t *testing.T) {
	s, _ := installed(t, "away", "", workloads.ProgressDeadline(300))
	job, second := s.disturb(func() { require.NoError(t, s.node.GoAway()) })
	s.eventually("the tick has ended", func() bool { return !s.running() })
	require.NoError(t, s.node.StartKubelet(t.Context()))
	s.blamesNothing(s.finished(job, 1), "its node may be away")
	s.goesOn(second)
}

// disturb moves web's tag on, and has trouble begin while a tick resolves it.
func (s *suite) disturb(trouble func()) (job, second string) {
	release := s.hold(registries.Head)
	second = s.push("web", "serve", "web 2")
	job = s.startResolving()
	trouble()
	release()
	s.eventually("the tick has begun a rollout", func() bool { return s.rollouts("web") == 2 })
	return job, second
}

// blamesNothing says that a tick was loud in these words, and holds nothing against the digest.
func (s *suite) blamesNothing(t tick, words string) {
	workload := t.workload("web")
	require.Equal(s, "not-settled", workload.Cause, workload.Message)
	assert.Contains(s, workload.Message, words)
	for _, blame := range []string{`"rejected"`, `"failed"`} {
		require.NotContains(s, s.deployment("web").Annotations["tracebloc.io/web-refresh-state"], blame)
	}
}

// goesOn says that the rollout ends by itself: nothing was rolled back, and nothing is rolled again.
func (s *suite) goesOn(digest string) {
	s.holds("web", digest, 2, "web 2")
	s.tick(0)
	s.holds("web", digest, 2, "web 2")
}

// The node loses its power in the middle of a rollout, and the tick with it. No other suite has a node meanwhile.
func TestThePowerIsCutInTheMiddleOfATick(t *testing.T) {
	s, _ := installed(t, "power", "", workloads.Replicas(2), workloads.ProgressDeadline(120))
	release := s.hold(registries.Blob)
	second := s.push("web", "serve", "web 2")
	job := s.start()
	s.eventually("the tick has begun a rollout", func() bool { return s.rollouts("web") == 2 })
	require.NoError(t, s.node.Crash(t.Context(), s.box.Cgroup))
	require.NoError(t, s.node.StartRuntime(t.Context()))
	s.eventually("Job "+job+" has failed", func() bool {
		require.False(t, s.jobIs(job, batchv1.JobComplete), "the tick that was killed has not succeeded")
		return s.jobIs(job, batchv1.JobFailed)
	})
	require.NotContains(t, s.events("web"), "DigestRefreshed")
	job = s.startResolving()
	release()
	s.finished(job, 0, "web refreshed")
	s.holds("web", second, 2, "web 2")
	require.Contains(t, s.events("web"), "DigestRefreshed")
}

// running says whether any tick runs on the node.
func (s *suite) running() bool {
	pids, err := realnode.Processes(s.box.Cgroup)
	require.NoError(s, err)
	return slices.ContainsFunc(pids, func(pid int) bool {
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && strings.HasPrefix(string(argv), "/image-refresh\x00") // else it has ended
	})
}
