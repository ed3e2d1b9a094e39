//go:build e2e && linux

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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

// I49: a quota. The tick's own pod has its last place, and the new pod comes once that is over.
func TestI49AQuotaHasNoPlaceForAPodMore(t *testing.T) {
	t.Parallel()
	s, _ := installed(t, "quota", "")
	job, second := s.disturb(func() {
		quotas := s.client.CoreV1().ResourceQuotas(s.namespace)
		_, err := quotas.Create(t.Context(), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "pods"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2")}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		s.eventually("the quota is in force", func() bool {
			quota, err := quotas.Get(t.Context(), "pods", metav1.GetOptions{})
			return err == nil && quota.Status.Used.Pods().Value() == 2
		})
	})
	s.blamesNothing(s.finished(job, 1), "exceeded quota")
	s.goesOn(second)
}

// I50: one of 164 nodes was away; the rollout was rejected and rolled back on the others. Here it is the only one. What runs on it
// runs on, the tick among it. No other suite has a node meanwhile.
func TestI50TheNodeGoesAway(t *testing.T) {
	s, _ := installed(t, "away", "rolloutTimeout: 75s\n", workloads.ProgressDeadline(300))
	job, second := s.disturb(func() { require.NoError(t, s.node.GoAway()) })
	s.eventually("the tick has ended", func() bool { return len(s.running(job)) == 0 })
	require.NoError(t, s.node.ComeBack(t.Context()))
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

// I10: a pod was Pending on a volume, and every tick restarted it. I11: a pod was Running and never ready; refresh froze for all
// that it used, in green.
func TestI10I11AVolumeIsMissingAndAPodIsNeverReady(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "stuck")
	s.deploy("web", s.push("web", "unready", "web 1"), workloads.Env("api", "CACHE_DIGEST", s.push("cache", "serve", "cache 1")))
	s.deploy("database", s.push("database", "serve", "database 1"), workloads.Pod(func(template *corev1.PodTemplateSpec) {
		template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}}
	}))
	s.install("targets:\n" + s.target("web") + s.target("database") + "  - name: cache\n    image: " + s.image("cache") + `
    workloads:
      - {kind: Deployment, name: web, container: api, env: CACHE_DIGEST}
unsettledThreshold: 3
rolloutFailureThreshold: 1
` + byHand)
	s.tick(0, "database adopted")
	s.push("database", "serve", "database 2")
	for range 2 {
		s.tick(0, "web waiting", "cache waiting", "database waiting")
	}
	require.Equal(t, 1, s.rollouts("database"), "no rollout makes a stuck pod start anew (I10)")

	// The third tick in a row is enough (I11). A digest that was never tried may be the fix: it is tried, once.
	frozen := s.tick(1).workload("web")
	require.Equal(t, "not-settled", frozen.Cause)
	assert.Contains(t, frozen.Message, "cache")
	assert.Contains(t, frozen.Message, "web")
	require.Contains(t, s.events("web"), "RefreshFrozen")
	require.Equal(t, 1, s.rollouts("web"))
	tried := s.rollouts("database")
	require.LessOrEqual(t, tried, 3, "tried once, and taken back")
	s.tick(1)
	require.Equal(t, tried, s.rollouts("database"), "and never again")

	second := s.push("web", "serve", "web 2")
	s.tick(1, "web refreshed")
	s.holds("web", second, 2, "web 2")
	s.makeVolume("data")
	s.eventually("the database is settled", func() bool { return workloads.Settled(s.deployment("database")) })
	third := s.push("database", "serve", "database 3")
	s.tick(0, "database refreshed")
	s.holds("database", third, tried+1, "database 3")
	for _, name := range []string{"web", "database"} {
		require.NotContains(t, s.deployment(name).Annotations, "tracebloc.io/refresh-skip-streak")
	}
}

// makeVolume makes a volume and a claim to it.
func (s *suite) makeVolume(name string) {
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	meta := metav1.ObjectMeta{Name: name}
	_, err := s.client.CoreV1().PersistentVolumes().Create(s.Context(), &corev1.PersistentVolume{
		ObjectMeta: meta, Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes,
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(s, err)
	_, err = s.client.CoreV1().PersistentVolumeClaims(s.namespace).Create(s.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, StorageClassName: new(string), Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}, metav1.CreateOptions{})
	require.NoError(s, err)
}
