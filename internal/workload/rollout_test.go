package workload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// state is what is expected of a workload at one moment.
type state struct {
	rollout  decide.Rollout
	lagging  bool // and so not observed
	unseen   bool // not observed, and not lagging either
	progress string
}

func assertState(t *testing.T, name string, of any, stale time.Time, want state) {
	t.Helper()
	o, err := workload.New(of)
	require.NoError(t, err)
	rollout := o.Rollout(stale)
	if want.rollout.Desired == 0 { // three, in most
		rollout.Desired = 0
	}
	if want.lagging || want.unseen { // what it counts is about the generation before
		want.rollout.Fresh = 0
	}
	assert.Equal(t, want.rollout, rollout, name)
	assert.Equal(t, want.lagging, o.Lagging(), name)
	if want.progress != "" {
		assert.Equal(t, want.progress, o.Progress(), name)
	}
}

func number(n int32) *int32 { return &n }

// deployment is settled, with three replicas.
func deployment(change func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: meta(),
		Spec:       appsv1.DeploymentSpec{Replicas: number(3)},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3, ReadyReplicas: 3,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
			},
		},
	}
	change(d)
	return d
}

func gaveUp(at time.Time) appsv1.DeploymentCondition {
	return appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded",
		Message: "ReplicaSet \"x\" has timed out\nprogressing.", LastUpdateTime: metav1.NewTime(at),
	}
}

func TestRolloutOfADeployment(t *testing.T) {
	t.Parallel()
	patched := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	settled := decide.Rollout{Settled: true, Fresh: 3, Available: 3, Desired: 3}
	for name, c := range map[string]struct {
		change func(*appsv1.Deployment)
		want   state
	}{
		"settled": {func(*appsv1.Deployment) {}, state{rollout: settled, progress: "3 of 3 updated, 3 available"}},
		"lagging after an annotation write": {func(d *appsv1.Deployment) { d.Generation = 4 },
			state{rollout: decide.Rollout{Fresh: 3, Available: 3}, lagging: true}},
		"patched, nothing done yet": {func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 0 },
			state{rollout: decide.Rollout{Available: 3}}},
		"surge": {func(d *appsv1.Deployment) { d.Status.Replicas, d.Status.UpdatedReplicas = 4, 1 },
			state{rollout: decide.Rollout{Available: 3}, progress: "1 of 3 updated, 3 available"}},
		"surge, the new one is available": {
			func(d *appsv1.Deployment) {
				d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = 4, 1, 4
			},
			state{rollout: decide.Rollout{Fresh: 1, Available: 4}}},
		"an old one is left": {func(d *appsv1.Deployment) { d.Status.Replicas, d.Status.AvailableReplicas = 4, 4 },
			state{rollout: decide.Rollout{Fresh: 3, Available: 4}}},
		"not all available": {func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 2 },
			state{rollout: decide.Rollout{Fresh: 2, Available: 2}, progress: "3 of 3 updated, 2 available"}},
		"fewer than wanted": {func(d *appsv1.Deployment) { d.Spec.Replicas = number(5) }, state{rollout: decide.Rollout{Fresh: 3, Available: 3}}},
		"replicas left out": {func(d *appsv1.Deployment) { d.Spec.Replicas = nil }, state{rollout: decide.Rollout{Fresh: 3, Available: 3}}},
		"one, replicas left out": {
			func(d *appsv1.Deployment) {
				d.Spec.Replicas, d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = nil, 1, 1, 1
			},
			state{rollout: decide.Rollout{Settled: true, Fresh: 1, Available: 1}}},
		"scaled to zero": {func(d *appsv1.Deployment) {
			d.Spec.Replicas, d.Status = number(0), appsv1.DeploymentStatus{ObservedGeneration: 3}
		},
			state{rollout: decide.Rollout{Settled: true, NoReplica: true}}},
		"scaled to zero, its controller lags": {func(d *appsv1.Deployment) { d.Spec.Replicas, d.Status = number(0), appsv1.DeploymentStatus{} },
			state{rollout: decide.Rollout{Settled: true, NoReplica: true}, lagging: true}},
		"being scaled to zero": {func(d *appsv1.Deployment) { d.Spec.Replicas = number(0) },
			state{rollout: decide.Rollout{NoReplica: true, Fresh: 3, Available: 3}}},
		"not Available": {
			func(d *appsv1.Deployment) {
				d.Status.AvailableReplicas = 1
				d.Status.Conditions[0].Status = corev1.ConditionFalse
			},
			state{rollout: decide.Rollout{Fresh: 1, Available: 1}}},
		"whether Available is not known": {
			func(d *appsv1.Deployment) {
				d.Status.AvailableReplicas = 1
				d.Status.Conditions[0].Status = corev1.ConditionUnknown
			},
			state{rollout: decide.Rollout{Fresh: 1, Available: 1}}},
		"Recreate is down while it rolls": {
			func(d *appsv1.Deployment) {
				d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
				d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = 0, 0, 0
			},
			state{rollout: decide.Rollout{}}},
		"Recreate, settled": {func(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }, state{rollout: settled}},
		"gave up": {
			func(d *appsv1.Deployment) {
				d.Status.Replicas, d.Status.UpdatedReplicas = 4, 1
				d.Status.Conditions[1] = gaveUp(patched.Add(time.Second))
			},
			state{rollout: decide.Rollout{Available: 3, Failure: `ProgressDeadlineExceeded: ReplicaSet "x" has timed out progressing.`}}},
		"gave up on the rollout before": {
			func(d *appsv1.Deployment) {
				d.Status.Replicas, d.Status.UpdatedReplicas = 4, 1
				d.Status.Conditions[1] = gaveUp(patched)
			},
			state{rollout: decide.Rollout{Available: 3}}},
		"gave up, and has not seen the newest generation": {
			func(d *appsv1.Deployment) {
				d.Generation = 4
				d.Status.Replicas, d.Status.UpdatedReplicas = 4, 1
				d.Status.Conditions[1] = gaveUp(patched.Add(time.Second))
			},
			state{rollout: decide.Rollout{Available: 3}, unseen: true}},
		"a ReplicaSet that cannot be created may still be": {
			func(d *appsv1.Deployment) {
				d.Status.UpdatedReplicas = 0
				d.Status.Conditions[1] = gaveUp(patched.Add(time.Second))
				d.Status.Conditions[1].Reason = "ReplicaSetCreateError"
			},
			state{rollout: decide.Rollout{Available: 3}},
		},
		"paused by its condition is no failure": {
			func(d *appsv1.Deployment) {
				d.Status.UpdatedReplicas = 0
				d.Status.Conditions[1] = appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionUnknown, Reason: "DeploymentPaused"}
			},
			state{rollout: decide.Rollout{Available: 3}}},
	} {
		assertState(t, name, deployment(c.change), patched, c.want)
	}
}

func TestFailedAtTellsAnOldReportFromANewOne(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before, err := workload.New(deployment(func(d *appsv1.Deployment) {
		d.Status.UpdatedReplicas = 1
		d.Status.Conditions[1] = gaveUp(at)
	}))
	require.NoError(t, err)
	assert.NotEmpty(t, before.Rollout(time.Time{}).Failure, "a tick that did not patch believes it at once")
	assert.Empty(t, before.Rollout(before.FailedAt()).Failure)
	healthy, err := workload.New(deployment(func(*appsv1.Deployment) {}))
	require.NoError(t, err)
	assert.Zero(t, healthy.FailedAt())
}

func statefulSet(change func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{
		ObjectMeta: meta(),
		Spec:       appsv1.StatefulSetSpec{Replicas: number(3)},
		Status:     appsv1.StatefulSetStatus{ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3, ReadyReplicas: 3},
	}
	change(s)
	return s
}

func partition(n int32) appsv1.StatefulSetUpdateStrategy {
	return appsv1.StatefulSetUpdateStrategy{
		Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &n},
	}
}

func TestRolloutOfAStatefulSet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*appsv1.StatefulSet)
		want   state
	}{
		"settled": {func(*appsv1.StatefulSet) {}, state{rollout: decide.Rollout{Settled: true, Fresh: 3, Available: 3}}},
		"lagging": {func(s *appsv1.StatefulSet) { s.Generation = 4 }, state{rollout: decide.Rollout{Fresh: 3, Available: 3}, lagging: true}},
		"rolling": {func(s *appsv1.StatefulSet) { s.Status.UpdatedReplicas, s.Status.AvailableReplicas = 1, 2 },
			state{rollout: decide.Rollout{Available: 2}, progress: "1 of 3 updated, 2 available"}},
		"scaled to zero": {func(s *appsv1.StatefulSet) {
			s.Spec.Replicas, s.Status = number(0), appsv1.StatefulSetStatus{ObservedGeneration: 3}
		},
			state{rollout: decide.Rollout{Settled: true, NoReplica: true}}},
		"up to its partition": {func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy, s.Status.UpdatedReplicas = partition(2), 1 },
			state{rollout: decide.Rollout{Settled: true, Fresh: 1, Available: 3}, progress: "1 of 1 updated, 3 available"}},
		"short of its partition": {func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy, s.Status.UpdatedReplicas = partition(1), 1 },
			state{rollout: decide.Rollout{Fresh: 1, Available: 3}, progress: "1 of 2 updated, 3 available"}},
		"a partition above all": {func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy, s.Status.UpdatedReplicas = partition(9), 0 },
			state{rollout: decide.Rollout{Settled: true, NoReplica: true, Available: 3}, progress: "0 of 0 updated, 3 available"}},
		"OnDelete": {
			func(s *appsv1.StatefulSet) {
				s.Spec.UpdateStrategy.Type, s.Status.UpdatedReplicas = appsv1.OnDeleteStatefulSetStrategyType, 1
			},
			state{rollout: decide.Rollout{AwaitsDelete: true, Fresh: 1, Available: 3}}},
		"OnDelete, lagging": {
			func(s *appsv1.StatefulSet) {
				s.Generation = 4
				s.Spec.UpdateStrategy.Type, s.Status.UpdatedReplicas = appsv1.OnDeleteStatefulSetStrategyType, 1
			},
			state{rollout: decide.Rollout{Fresh: 1, Available: 3}, unseen: true}},
		"OnDelete, one deleted and not back": {
			func(s *appsv1.StatefulSet) {
				s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
				s.Status.UpdatedReplicas, s.Status.AvailableReplicas = 1, 2
			},
			state{rollout: decide.Rollout{Available: 2}}},
		"OnDelete, all deleted": {func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType },
			state{rollout: decide.Rollout{Settled: true, Fresh: 3, Available: 3}}},
	} {
		assertState(t, name, statefulSet(c.change), time.Time{}, c.want)
	}
}

// Until the controller has seen the newest generation, what it counts is about the one before: none of it is fresh (I43).
func TestFreshIsAboutTheNewestGeneration_I43(t *testing.T) {
	t.Parallel()
	for generation, want := range map[int64]int{2: 3, 3: 3, 4: 0} {
		o, err := workload.New(statefulSet(func(s *appsv1.StatefulSet) { s.Generation = generation }))
		require.NoError(t, err)
		assert.Equal(t, want, o.Rollout(time.Time{}).Fresh, generation)
	}
}

func daemonSet(change func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{
		ObjectMeta: meta(),
		Status: appsv1.DaemonSetStatus{
			ObservedGeneration: 3, DesiredNumberScheduled: 3, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 3, NumberAvailable: 3,
		},
	}
	change(d)
	return d
}

func TestRolloutOfADaemonSet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*appsv1.DaemonSet)
		want   state
	}{
		"settled": {func(*appsv1.DaemonSet) {}, state{rollout: decide.Rollout{Settled: true, Fresh: 3, Available: 3}}},
		"lagging": {func(d *appsv1.DaemonSet) { d.Generation = 4 }, state{rollout: decide.Rollout{Fresh: 3, Available: 3}, lagging: true}},
		"rolling": {func(d *appsv1.DaemonSet) { d.Status.UpdatedNumberScheduled, d.Status.NumberAvailable = 2, 2 },
			state{rollout: decide.Rollout{Fresh: 1, Available: 2}, progress: "2 of 3 updated, 2 available"}},
		"no node": {func(d *appsv1.DaemonSet) { d.Status = appsv1.DaemonSetStatus{ObservedGeneration: 3} },
			state{rollout: decide.Rollout{Settled: true, NoReplica: true}}},
		"its controller has not counted the nodes": {func(d *appsv1.DaemonSet) { d.Status = appsv1.DaemonSetStatus{} },
			state{rollout: decide.Rollout{NoReplica: true}, lagging: true}},
		"OnDelete": {
			func(d *appsv1.DaemonSet) {
				d.Spec.UpdateStrategy.Type, d.Status.UpdatedNumberScheduled = appsv1.OnDeleteDaemonSetStrategyType, 0
			},
			state{rollout: decide.Rollout{AwaitsDelete: true, Available: 3}}},
	} {
		assertState(t, name, daemonSet(c.change), time.Time{}, c.want)
	}
}

// A CronJob has no rollout: patched is rolled out.
func TestRolloutOfACronJob(t *testing.T) {
	t.Parallel()
	assertState(t, "always", &batchv1.CronJob{ObjectMeta: meta()}, time.Time{}, state{rollout: decide.Rollout{Settled: true}})
}
