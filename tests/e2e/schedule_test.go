//go:build e2e && linux

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// The chart is installed with Helm. Its schedule fires, a person starts ticks beside it and between, and releases reach pods.
func TestI28Schedule(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "schedule")
	_, err := s.client.CoreV1().Pods(s.namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "as-root"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: pauseImage}}},
	}, metav1.CreateOptions{})
	require.ErrorContains(t, err, `violates PodSecurity "restricted`, "the program's own pods meet the standard that is enforced")
	first := s.push("web", "serve", "web 1")
	s.deploy("web", first, workloads.Replicas(2))
	s.holds("web", first, 1, "web 1")
	s.install("targets:\n" + s.target("web") + "schedule: \"* * * * *\"\n")
	require.Contains(t, s.typed(`helm test image-refresh --namespace "$NAMESPACE" | grep -A 4 SUITE`), "Succeeded")
	s.finished(s.scheduled(""), 0, "web adopted")
	s.holds("web", first, 1, "web 1")

	release, before := s.hold(registries.Blob), s.newest()
	second := s.push("web", "serve", "web 2")
	scheduled := s.scheduled(before)
	s.eventually("the scheduled tick has begun a rollout", func() bool { return s.rollouts("web") == 2 })
	beside := s.startResolving()
	release()
	s.finished(scheduled, 0, "web refreshed")
	s.finished(beside, 0)
	s.holds("web", second, 2, "web 2")
	s.pulled("web", second)
	require.Contains(t, s.events("web"), "DigestRefreshed")

	third := s.push("web", "serve", "web 3")
	s.tick(0, "web refreshed")
	s.holds("web", third, 3, "web 3")
	s.pulled("web", third)

	s.typed(`kubectl patch cronjob image-refresh --namespace "$NAMESPACE" --patch '{"spec": {"suspend": true}}'`)
	s.typed(`helm upgrade image-refresh ./chart --namespace "$NAMESPACE" --reuse-values | sed -n 1,6p`)
	cronJob, err := s.client.BatchV1().CronJobs(s.namespace).Get(t.Context(), "image-refresh", metav1.GetOptions{})
	require.NoError(t, err)
	require.True(t, *cronJob.Spec.Suspend, "an upgrade leaves a suspended schedule alone")
}

// newest is the name of the newest Job that the schedule made.
func (s *suite) newest() string {
	jobs, err := s.client.BatchV1().Jobs(s.namespace).List(s.Context(), metav1.ListOptions{})
	require.NoError(s, err)
	name, latest := "", metav1.Time{}
	for _, job := range jobs.Items {
		if strings.HasPrefix(job.Name, "image-refresh-") && latest.Before(&job.CreationTimestamp) {
			name, latest = job.Name, job.CreationTimestamp
		}
	}
	return name
}

// scheduled waits for a Job that the schedule makes after another.
func (s *suite) scheduled(after string) string {
	s.eventually("the schedule has fired", func() bool { return s.newest() != after })
	return s.newest()
}
