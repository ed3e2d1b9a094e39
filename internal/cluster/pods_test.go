package cluster

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "api", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func podWith(name string, statuses ...corev1.ContainerStatus) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{ContainerStatuses: statuses}}
}

func TestPodProblemsAreThePodsOwnWords(t *testing.T) {
	t.Parallel()
	pull := waiting("ImagePullBackOff", "Back-off pulling image\n\x1b[31m")
	long := waiting("ErrImagePull", `failed to pull and unpack image "docker.io/tracebloc/api@sha256:`+strings.Repeat("a", 64)+`": `+strings.Repeat("failed to copy: ", 9)+"not found")
	crash := waiting("CrashLoopBackOff", "back-off 5m0s")
	crash.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137}
	ready := podWith("ready", waiting("ImagePullBackOff", "of before"))
	ready.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	leaving := podWith("leaving", pull)
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	pending := corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"},
	}}}
	ended := podWith("x", corev1.ContainerStatus{Name: "api", State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 2},
	}})
	done := podWith("x", corev1.ContainerStatus{Name: "init", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}})
	unready := podWith("x", corev1.ContainerStatus{Name: "api", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
	initial := podWith("x")
	initial.Status.InitContainerStatuses = []corev1.ContainerStatus{waiting("ErrImagePull", "manifest unknown")}
	for name, c := range map[string]struct {
		pods []corev1.Pod
		want decide.PodProblems
	}{
		"no pods":        {nil, decide.PodProblems{}},
		"ready":          {[]corev1.Pod{ready}, decide.PodProblems{}},
		"on its way out": {[]corev1.Pod{leaving}, decide.PodProblems{}},
		"being made":     {[]corev1.Pod{podWith("x", waiting("ContainerCreating", "")), podWith("y", waiting("PodInitializing", ""))}, decide.PodProblems{}},
		"a pull, twice":  {[]corev1.Pod{podWith("x", pull), podWith("y", pull)}, decide.PodProblems{Reasons: []string{"api: ImagePullBackOff: Back-off pulling image"}, PullFailed: true}},
		"a pull, wordy": {[]corev1.Pod{podWith("x", long)}, decide.PodProblems{Reasons: []string{
			`api: ErrImagePull: failed to pull and unpack image "docker.io/tracebloc/api@sha256:aaaaaaaaaaaaaaaaaaaaa…d to copy: failed to copy: failed to copy: failed to copy: failed to copy: failed to copy: not found`,
		}, PullFailed: true}},
		"a pull of an init":   {[]corev1.Pod{initial}, decide.PodProblems{Reasons: []string{"api: ErrImagePull: manifest unknown"}, PullFailed: true}},
		"a crash":             {[]corev1.Pod{podWith("x", crash)}, decide.PodProblems{Reasons: []string{"api: CrashLoopBackOff: back-off 5m0s, last exit code 137"}}},
		"a pull and a crash":  {[]corev1.Pod{podWith("x", pull), podWith("y", crash)}, decide.PodProblems{Reasons: []string{"api: CrashLoopBackOff: back-off 5m0s, last exit code 137", "api: ImagePullBackOff: Back-off pulling image"}}},
		"a pull and no place": {[]corev1.Pod{podWith("x", pull), pending}, decide.PodProblems{Reasons: []string{"Unschedulable: 0/3 nodes are available", "api: ImagePullBackOff: Back-off pulling image"}}},
		"an exit":             {[]corev1.Pod{ended, done}, decide.PodProblems{Reasons: []string{"api: Error, exit code 2"}}},
		"not ready":           {[]corev1.Pod{unready}, decide.PodProblems{Reasons: []string{"api: running, not ready"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
				answer(w, http.StatusOK, corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: c.pods})
			}, func(t *testing.T, s *standIn) {
				assert.Equal(t, c.want, s.client.PodProblems(context.Background(), read(t, "1", 0)))
				assert.Equal(t, []string{"GET /api/v1/namespaces/tracebloc/pods?labelSelector=app%3Dapi&limit=100"}, s.called())
			})
		})
	}
}

// A StatefulSet's controller does not replace a pod that never became ready: it must be named.
func TestPodProblemsNameTheStuckPodsOfAStatefulSet(t *testing.T) {
	t.Parallel()
	stateful, err := workload.New(&appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tracebloc", Name: "db"},
		Spec:       appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}},
	})
	require.NoError(t, err)
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, corev1.PodList{
			TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{podWith("db-0", waiting("ErrImagePull", ""))},
		})
	}, func(t *testing.T, s *standIn) {
		assert.Equal(t, []string{"db-0"}, s.client.PodProblems(context.Background(), stateful).NeverReady)
	})
}

func TestPodProblemsSayWhyThereAreNone(t *testing.T) {
	t.Parallel()
	for code, says := range map[int]string{403: "grant list on pods", 500: "could not be read"} {
		inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if code == 403 {
				refuse(w, 403, metav1.StatusReasonForbidden, "pods is forbidden")
				return
			}
			status(code)(w, r)
		}, func(t *testing.T, s *standIn) {
			problems := s.client.PodProblems(context.Background(), read(t, "1", 0))
			require.Len(t, problems.Reasons, 1)
			assert.Contains(t, problems.Reasons[0], says)
			assert.False(t, problems.PullFailed, "an unknown reason is no failed pull")
			assert.NotContains(t, problems.Reasons[0], "MARKER")
		})
	}
}
