package workload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// deployment is settled, with three replicas, unless changes say otherwise.
func deployment(changes ...func(*appsv1.Deployment)) *appsv1.Deployment {
	three := int32(3)
	d := &appsv1.Deployment{
		ObjectMeta: meta(), Spec: appsv1.DeploymentSpec{Replicas: &three},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
			},
		},
	}
	for _, change := range changes {
		change(d)
	}
	return d
}

// counts are the figures of a status: replicas that are wanted, that exist, that are updated, and that are available.
func counts(wanted, exist, updated, available int32) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Spec.Replicas, d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = &wanted, exist, updated, available
	}
}

func statefulSet(wanted, exist, updated, available int32, changes ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: meta(), Spec: appsv1.StatefulSetSpec{Replicas: &wanted}}
	s.Status = appsv1.StatefulSetStatus{ObservedGeneration: 3, Replicas: exist, UpdatedReplicas: updated, AvailableReplicas: available}
	for _, change := range changes {
		change(s)
	}
	return s
}

func partition(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) {
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &n}
	}
}

func onDelete(s *appsv1.StatefulSet) {
	s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
}

func ahead(s *appsv1.StatefulSet) { s.Generation = 4 }

func daemonSet(wanted, updated, available int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: meta(), Status: appsv1.DaemonSetStatus{
		ObservedGeneration: 3, DesiredNumberScheduled: wanted, UpdatedNumberScheduled: updated, NumberAvailable: available,
	}}
}

// progressing is a Deployment's condition of this kind, in the second of the patch and as much later.
func progressing(status corev1.ConditionStatus, reason string, later int64) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Status.Conditions[1] = appsv1.DeploymentCondition{
			Type: appsv1.DeploymentProgressing, Status: status, Reason: reason, Message: "ReplicaSet \"x\" has timed out\nprogressing.",
			LastUpdateTime: metav1.NewTime(patched.Add(time.Duration(later) * time.Second)),
		}
	}
}

func gaveUp(later int64) func(*appsv1.Deployment) {
	return progressing("False", "ProgressDeadlineExceeded", later)
}

// patched is when a tick has patched the workloads; zero, as a tick that has not.
var patched = time.Unix(1000, 0)

func TestI43TheRolloutOfEachKind(t *testing.T) {
	t.Parallel()
	rolls := func(fresh, available, desired int) decide.Rollout {
		return decide.Rollout{Fresh: fresh, Available: available, Desired: desired}
	}
	settled := func(fresh, available, desired int) decide.Rollout {
		return decide.Rollout{Settled: true, Fresh: fresh, Available: available, Desired: desired}
	}
	none := decide.Rollout{Settled: true, NoReplica: true}
	notCounted := daemonSet(0, 0, 0)
	notCounted.Status.ObservedGeneration = 0
	daemonsOnDelete := daemonSet(3, 0, 3)
	daemonsOnDelete.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	newer := func(d *appsv1.Deployment) { d.Generation = 4 }
	leftOut := func(d *appsv1.Deployment) { d.Spec.Replicas = nil }
	failed := rolls(0, 3, 3)
	failed.Failure = `ProgressDeadlineExceeded: ReplicaSet "x" has timed out progressing.`
	for name, c := range map[string]struct {
		of       any
		want     decide.Rollout
		lagging  bool
		progress string
	}{
		"Deployment: settled":              {deployment(), settled(3, 3, 3), false, "3 of 3 updated, 3 available"},
		"Deployment: lags":                 {deployment(newer), rolls(0, 3, 3), true, ""},
		"Deployment: patched":              {deployment(counts(3, 3, 0, 3)), rolls(0, 3, 3), false, ""},
		"Deployment: surge":                {deployment(counts(3, 4, 1, 3)), rolls(0, 3, 3), false, "1 of 3 updated, 3 available"},
		"Deployment: surge, available":     {deployment(counts(3, 4, 1, 4)), rolls(1, 4, 3), false, ""},
		"Deployment: an old one":           {deployment(counts(3, 4, 3, 4)), rolls(3, 4, 3), false, ""},
		"Deployment: not all available":    {deployment(counts(3, 3, 3, 2)), rolls(2, 2, 3), false, "3 of 3 updated, 2 available"},
		"Deployment: fewer than wanted":    {deployment(counts(5, 3, 3, 3)), rolls(3, 3, 5), false, ""},
		"Deployment: replicas left out":    {deployment(counts(1, 1, 1, 1), leftOut), settled(1, 1, 1), false, ""},
		"Deployment: scaled to zero":       {deployment(counts(0, 0, 0, 0)), none, false, ""},
		"Deployment: zero, and lags":       {deployment(counts(0, 0, 0, 0), newer), none, true, ""},
		"Deployment: to zero":              {deployment(counts(0, 3, 3, 3)), decide.Rollout{NoReplica: true, Fresh: 3, Available: 3}, false, ""},
		"Deployment: Recreate is down":     {deployment(counts(3, 0, 0, 0)), rolls(0, 0, 3), false, ""},
		"Deployment: gave up":              {deployment(counts(3, 4, 1, 3), gaveUp(1)), failed, false, ""},
		"Deployment: gave up before":       {deployment(counts(3, 4, 1, 3), gaveUp(0)), rolls(0, 3, 3), false, ""},
		"Deployment: gave up, unobserved":  {deployment(counts(3, 4, 1, 3), gaveUp(1), newer), rolls(0, 3, 3), false, ""},
		"Deployment: no ReplicaSet":        {deployment(counts(3, 3, 0, 3), progressing("False", "ReplicaSetCreateError", 1)), rolls(0, 3, 3), false, ""},
		"Deployment: paused is no failure": {deployment(counts(3, 3, 0, 3), progressing("Unknown", "DeploymentPaused", 1)), rolls(0, 3, 3), false, ""},

		"StatefulSet: settled":        {statefulSet(3, 3, 3, 3), settled(3, 3, 3), false, ""},
		"StatefulSet: lags":           {statefulSet(3, 3, 3, 3, ahead), rolls(0, 3, 3), true, ""},
		"StatefulSet: rolls":          {statefulSet(3, 3, 1, 2), rolls(0, 2, 3), false, "1 of 3 updated, 2 available"},
		"StatefulSet: scaled to zero": {statefulSet(0, 0, 0, 0), none, false, ""},
		"StatefulSet: partition":      {statefulSet(3, 3, 1, 3, partition(2)), settled(1, 3, 3), false, "1 of 1 updated, 3 available"},
		"StatefulSet: short of it":    {statefulSet(3, 3, 1, 3, partition(1)), rolls(1, 3, 3), false, "1 of 2 updated, 3 available"},
		"StatefulSet: a partition above all": {statefulSet(3, 3, 0, 3, partition(9)),
			decide.Rollout{Settled: true, NoReplica: true, Available: 3, Desired: 3}, false, "0 of 0 updated, 3 available"},
		"StatefulSet: OnDelete":       {statefulSet(3, 3, 1, 3, onDelete), decide.Rollout{AwaitsDelete: true, Fresh: 1, Available: 3, Desired: 3}, false, ""},
		"StatefulSet: OnDelete, lags": {statefulSet(3, 3, 1, 3, onDelete, ahead), rolls(0, 3, 3), false, ""},
		"StatefulSet: OnDelete, down": {statefulSet(3, 3, 1, 2, onDelete), rolls(0, 2, 3), false, ""},

		"DaemonSet: settled":     {daemonSet(3, 3, 3), settled(3, 3, 3), false, ""},
		"DaemonSet: rolls":       {daemonSet(3, 2, 2), rolls(1, 2, 3), false, "2 of 3 updated, 2 available"},
		"DaemonSet: no node":     {daemonSet(0, 0, 0), none, false, ""},
		"DaemonSet: not counted": {notCounted, decide.Rollout{NoReplica: true}, true, ""},
		"DaemonSet: OnDelete":    {daemonsOnDelete, decide.Rollout{AwaitsDelete: true, Available: 3, Desired: 3}, false, ""},

		"CronJob: patched is rolled out": {&batchv1.CronJob{ObjectMeta: meta()}, decide.Rollout{Settled: true}, false, ""},
	} {
		o := made(t, c.of)
		assert.Equal(t, c.want, o.Rollout(patched), name)
		assert.Equal(t, c.lagging, o.Lagging(), name)
		assert.Contains(t, o.Progress(), c.progress, name)
	}
	before := made(t, deployment(counts(3, 4, 1, 3), gaveUp(0)))
	assert.NotEmpty(t, before.Rollout(time.Time{}).Failure, "a tick that did not patch believes it at once")
	assert.Empty(t, before.Rollout(before.FailedAt()).Failure)
	assert.Zero(t, made(t, deployment()).FailedAt())
}
