package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// query asks about a digest in the image of a container.
func query(digest, container string) workload.PodQuery {
	return workload.PodQuery{Digest: image.Digest(digest), Slots: []workload.Slot{{Container: container}}}
}

// Two targets in one pod: each digest has evidence of its own.
func TestEvidenceIsByBinding(t *testing.T) {
	t.Parallel()
	pod := podOf(serves, sidecar(looping(1, "Error")))
	pod.Spec.Containers[1].Image = "ghcr.io/tracebloc/proxy:1@" + oldDigest
	both := query(newDigest, "istio-proxy")
	both.Slots = append(both.Slots, workload.Slot{Container: "api", Env: "WORKER_DIGEST"})
	queries := []workload.PodQuery{query(newDigest, "api"), query(oldDigest, "istio-proxy"), both}
	got := diagnose(read(t, deployment("1", 1)), queries, []corev1.Pod{pod})
	assert.Equal(t, []bool{false, true, false}, got.Evidence)
	assert.Equal(t, []bool{false, true, false}, got.Crashed)
}

// A StatefulSet's controller does not replace a pod that never became ready: it must be named. Under Parallel it does.
func TestStuckPodsOfAStatefulSetAreNamed(t *testing.T) {
	t.Parallel()
	for policy, want := range map[appsv1.PodManagementPolicyType][]string{
		"": {"api-0"}, appsv1.OrderedReadyPodManagement: {"api-0"}, appsv1.ParallelPodManagement: nil,
	} {
		object := read(t, &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{PodManagementPolicy: policy}})
		got := diagnose(object, []workload.PodQuery{query(newDigest, "api")}, []corev1.Pod{
			podOf(named("api-0"), waits("ErrImagePull", ""), old), podOf(named("api-1"), serves), podOf(named("api-2"), leaving),
			podOf(named("api-3"), ended(corev1.PodFailed, "Evicted", "")), podOf(named("api-4"), alone),
		})
		assert.Equal(t, want, got.NeverReady, policy)
	}
}

// Of many reasons, those that tell most come first, and each is cut. How many are told is decided with the message.
func TestReasonsThatTellMostComeFirst(t *testing.T) {
	t.Parallel()
	pods := one(named("z"), crashes)
	for i := range 90 {
		pods = append(pods, podOf(named(fmt.Sprintf("old-%d", i)), old, loops(int32(i+1), "Error")),
			podOf(named(fmt.Sprintf("new-%02d", i)), waits("ErrImagePull", fmt.Sprintf("%d: %s", i%45, strings.Repeat("word ", 4000)))))
	}
	got := diagnose(read(t, deployment("1", 1)), []workload.PodQuery{query(newDigest, "api")}, pods).Reasons
	require.Len(t, got, 1+45+90, "what pods say alike is one reason")
	assert.Equal(t, "pod z on node-1: api: CrashLoopBackOff: back-off 5m0s, last exit code 1", got[0])
	assert.True(t, strings.HasPrefix(got[1], "pod new-00 on node-1 and 1 more: api: ErrImagePull: 0: word"), got[1])
	for _, reason := range got {
		assert.LessOrEqual(t, len([]rune(reason)), 200)
	}
}
