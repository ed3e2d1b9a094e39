package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Of the pods that a selector matches, a workload's own are those whose controller it is.
func TestI84AWorkloadOwnsThePodsThatItControls(t *testing.T) {
	t.Parallel()
	type owners = []metav1.OwnerReference
	by := func(controls bool, kind, name, uid string) metav1.OwnerReference {
		return metav1.OwnerReference{Kind: kind, Name: name, UID: types.UID(uid), Controller: &controls}
	}
	uncontrolled := metav1.OwnerReference{Kind: "ReplicaSet", Name: "stg-jobs-manager-5d4c8"}
	for name, c := range map[string]struct {
		kind   config.Kind
		owners owners
		hash   string
		want   bool
	}{
		"of its ReplicaSet":            {config.Deployment, owners{by(true, "ReplicaSet", "stg-jobs-manager-5d4c8", "")}, "5d4c8", true},
		"of another's, named alike":    {config.Deployment, owners{by(true, "ReplicaSet", "stg-jobs-manager-canary-5d4c8", "")}, "5d4c8", false},
		"of one without a hash":        {config.Deployment, owners{by(true, "ReplicaSet", "stg-jobs-manager-", "")}, "", false},
		"of a Rollout's":               {config.Deployment, owners{by(true, "Rollout", "stg-jobs-manager-5d4c8", "")}, "5d4c8", false},
		"owned, but not controlled":    {config.Deployment, owners{by(false, "ReplicaSet", "stg-jobs-manager-5d4c8", ""), uncontrolled}, "5d4c8", false},
		"nobody's":                     {config.Deployment, nil, "5d4c8", false},
		"of its StatefulSet":           {config.StatefulSet, owners{by(true, "StatefulSet", "stg-jobs-manager", "own")}, "", true},
		"the controller is the second": {config.StatefulSet, owners{uncontrolled, by(true, "StatefulSet", "stg-jobs-manager", "own")}, "", true},
		"of one that was deleted":      {config.StatefulSet, owners{by(true, "StatefulSet", "stg-jobs-manager", "before")}, "", false},
		"of its DaemonSet":             {config.DaemonSet, owners{by(true, "DaemonSet", "stg-jobs-manager", "own")}, "", true},
		"of a StatefulSet of the name": {config.DaemonSet, owners{by(true, "StatefulSet", "stg-jobs-manager", "own")}, "", false},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: c.owners, Labels: map[string]string{"pod-template-hash": c.hash}}}
		assert.Equal(t, c.want, object(t, c.kind, corev1.PodSpec{}).Owns(pod), name)
	}
}

// Pods that are ready and do not count yet.
func TestI83SecondsThatPodsMustBeReady(t *testing.T) {
	t.Parallel()
	waits := appsv1.DeploymentStatus{ReadyReplicas: 3, AvailableReplicas: 2}
	spec := appsv1.DeploymentSpec{MinReadySeconds: 30}
	for name, c := range map[string]struct {
		of   any
		want int32
	}{
		"not observed":  {&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: spec, Status: waits}, 0},
		"a StatefulSet": {&appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{MinReadySeconds: 30}, Status: appsv1.StatefulSetStatus{ReadyReplicas: 3}}, 30},
		"a DaemonSet":   {&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{MinReadySeconds: 30}, Status: appsv1.DaemonSetStatus{NumberReady: 3}}, 30},
	} {
		assert.Equal(t, c.want, made(t, c.of).AwaitsMinReady(), name)
	}
}

// A condition that holds no longer is no refusal.
func TestARefusalIsADeploymentsReplicaFailure(t *testing.T) {
	t.Parallel()
	for status, want := range map[corev1.ConditionStatus]workload.Refusal{"True": {Reason: "FailedCreate", Message: "exceeded quota"}, "False": {}} {
		assert.Equal(t, want, made(t, &appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentReplicaFailure, Status: status, Reason: "FailedCreate", Message: "exceeded quota"},
		}}}).Refusal())
	}
}
