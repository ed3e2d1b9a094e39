package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// I84: of the pods that a selector matches, a workload's own are those whose controller it is.
func TestAWorkloadOwnsThePodsThatItControls(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	owner := func(kind, name, uid string, controller *bool) metav1.OwnerReference {
		return metav1.OwnerReference{Kind: kind, Name: name, UID: types.UID(uid), Controller: controller}
	}
	for name, c := range map[string]struct {
		kind   config.Kind
		owners []metav1.OwnerReference
		hash   string
		want   bool
	}{
		"of its ReplicaSet":                  {config.Deployment, []metav1.OwnerReference{owner("ReplicaSet", "stg-jobs-manager-5d4c8", "any", &yes)}, "5d4c8", true},
		"of another's, named alike":          {config.Deployment, []metav1.OwnerReference{owner("ReplicaSet", "stg-jobs-manager-canary-5d4c8", "any", &yes)}, "5d4c8", false},
		"of one without a hash":              {config.Deployment, []metav1.OwnerReference{owner("ReplicaSet", "stg-jobs-manager-", "any", &yes)}, "", false},
		"of a Rollout's, not a Deployment's": {config.Deployment, []metav1.OwnerReference{owner("Rollout", "stg-jobs-manager-5d4c8", "any", &yes)}, "5d4c8", false},
		"owned, but not controlled":          {config.Deployment, []metav1.OwnerReference{owner("ReplicaSet", "stg-jobs-manager-5d4c8", "any", &no), owner("ReplicaSet", "stg-jobs-manager-5d4c8", "any", nil)}, "5d4c8", false},
		"nobody's":                           {config.Deployment, nil, "5d4c8", false},
		"of its StatefulSet":                 {config.StatefulSet, []metav1.OwnerReference{owner("StatefulSet", "stg-jobs-manager", "own", &yes)}, "", true},
		"the controller is the second":       {config.StatefulSet, []metav1.OwnerReference{owner("Backup", "x", "x", nil), owner("StatefulSet", "stg-jobs-manager", "own", &yes)}, "", true},
		"of one that was deleted":            {config.StatefulSet, []metav1.OwnerReference{owner("StatefulSet", "stg-jobs-manager", "before", &yes)}, "", false},
		"of its DaemonSet":                   {config.DaemonSet, []metav1.OwnerReference{owner("DaemonSet", "stg-jobs-manager", "own", &yes)}, "", true},
		"of a StatefulSet of the name":       {config.DaemonSet, []metav1.OwnerReference{owner("StatefulSet", "stg-jobs-manager", "own", &yes)}, "", false},
	} {
		built := object(t, c.kind, corev1.PodSpec{})
		built.Meta.UID = types.UID("own")
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: c.owners}}
		if c.hash != "" {
			pod.Labels = map[string]string{"pod-template-hash": c.hash}
		}
		assert.Equal(t, c.want, built.Owns(pod), name)
	}
}

// What is asked about each binding is the digest that all of its slots hold.
func TestPodQueriesAskAboutWhatTheSlotsHold(t *testing.T) {
	t.Parallel()
	slot := func(name string) workload.Place { return workload.Place{Slot: workload.Slot{Container: name}} }
	holding := func(place workload.Place, c string) workload.Place {
		place.Slot.Live = annotate.Of(digest(c))
		return place
	}
	broken := holding(slot("x"), "b")
	broken.Problem = &failure.Error{}
	queries := workload.PodQueries([][]workload.Place{
		{holding(slot("a"), "b"), holding(slot("b"), "b")},
		{holding(slot("a"), "b"), holding(slot("b"), "c")}, // unpinned together
		{slot("a")},
		{broken},
	})
	require.Len(t, queries, 4)
	assert.Equal(t, digest("b"), queries[0].Digest)
	assert.Len(t, queries[0].Slots, 2)
	for _, query := range queries[1:] {
		assert.Equal(t, workload.PodQuery{}, query)
	}
}

func TestWhatAPodHoldsWhereASlotIs(t *testing.T) {
	t.Parallel()
	b, c := string(digest("b")), string(digest("c"))
	spec := &corev1.PodSpec{
		InitContainers: []corev1.Container{container("init", "nginx@"+b)},
		Containers: []corev1.Container{
			container("api", "nginx:1@"+b, variable("PLAIN", b), variable("REFERENCE", "nginx@"+b), variable("TWICE", b), variable("TWICE", c), variable("TAG", "nginx:1")),
			container("tag", "nginx:1"), container("digest", b),
		},
	}
	for want, slots := range map[bool][]workload.Slot{
		true: {{Container: "api"}, {Container: "init", Init: true}, {Container: "api", Env: "PLAIN"}, {Container: "api", Env: "REFERENCE"}},
		false: {
			{Container: "init"}, {Container: "api", Init: true}, {Container: "tag"}, {Container: "digest"}, {Container: "gone"},
			{Container: "api", Env: "TWICE"}, {Container: "api", Env: "TAG"}, {Container: "api", Env: "GONE"},
		},
	} {
		for _, slot := range slots {
			assert.Equal(t, want, slot.HeldIn(spec, digest("b")), slot.Key())
			assert.False(t, slot.HeldIn(spec, ""), "no digest is held nowhere")
		}
	}
}

// I83: pods that are ready and do not count yet.
func TestAwaitsMinReady(t *testing.T) {
	t.Parallel()
	three := int32(3)
	for name, c := range map[string]struct {
		of   any
		want int32
	}{
		"a Deployment": {&appsv1.Deployment{Spec: appsv1.DeploymentSpec{MinReadySeconds: 30}, Status: appsv1.DeploymentStatus{ReadyReplicas: 3, AvailableReplicas: 2}}, 30},
		"none waits":   {&appsv1.Deployment{Spec: appsv1.DeploymentSpec{MinReadySeconds: 30}, Status: appsv1.DeploymentStatus{ReadyReplicas: 2, AvailableReplicas: 2}}, 0},
		"not observed": {&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{MinReadySeconds: 30},
			Status: appsv1.DeploymentStatus{ReadyReplicas: 3, AvailableReplicas: 2}}, 0},
		"a StatefulSet": {&appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &three, MinReadySeconds: 30}, Status: appsv1.StatefulSetStatus{ReadyReplicas: 3, AvailableReplicas: 2}}, 30},
		"a DaemonSet":   {&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{MinReadySeconds: 30}, Status: appsv1.DaemonSetStatus{NumberReady: 3, NumberAvailable: 2}}, 30},
	} {
		built, err := workload.New(c.of)
		require.NoError(t, err)
		assert.Equal(t, c.want, built.AwaitsMinReady(), name)
	}
}

// A condition that holds no longer is no refusal.
func TestRefusalIsADeploymentsReplicaFailure(t *testing.T) {
	t.Parallel()
	for status, want := range map[corev1.ConditionStatus]workload.Refusal{
		corev1.ConditionTrue: {Reason: "FailedCreate", Message: "exceeded quota"}, corev1.ConditionFalse: {},
	} {
		built, err := workload.New(&appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentReplicaFailure, Status: status, Reason: "FailedCreate", Message: "exceeded quota"},
		}}})
		require.NoError(t, err)
		assert.Equal(t, want, built.Refusal())
	}
}
