package workload

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// status is what the three controllers report, in one shape.
type status struct {
	observed   bool  // the controller has seen the newest generation
	desired    int32 // replicas wanted
	counted    bool  // desired is the controller's count, and as old as what it has observed
	mustUpdate int32 // of these, how many must be of the newest revision
	replicas   int32 // replicas that exist, of any revision
	updated    int32
	available  int32
	onDelete   bool
	parallel   bool      // a StatefulSet that does not wait for one pod before it sees to the next
	ready      int32     // replicas whose pods are Ready, of any revision
	minReady   int32     // seconds that a pod must have been Ready to count as available
	failure    string    // the controller gave up
	failedAt   time.Time // when it did
	refused    Refusal   // what it was answered when it could not create pods
}

func deploymentStatus(d *appsv1.Deployment) status {
	s := status{
		observed: d.Status.ObservedGeneration >= d.Generation, desired: orOne(d.Spec.Replicas), replicas: d.Status.Replicas,
		updated: d.Status.UpdatedReplicas, available: d.Status.AvailableReplicas,
		ready: d.Status.ReadyReplicas, minReady: d.Spec.MinReadySeconds,
	}
	s.mustUpdate = s.desired
	for _, condition := range d.Status.Conditions {
		switch {
		case condition.Type == appsv1.DeploymentProgressing && condition.Status == corev1.ConditionFalse &&
			condition.Reason == "ProgressDeadlineExceeded":
			s.failure = failure.Clean(condition.Reason + ": " + condition.Message)
			s.failedAt = condition.LastUpdateTime.Time
		case condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue:
			s.refused = Refusal{Reason: condition.Reason, Message: condition.Message}
		}
	}
	return s
}

func statefulSetStatus(d *appsv1.StatefulSet) status {
	s := status{
		observed: d.Status.ObservedGeneration >= d.Generation, desired: orOne(d.Spec.Replicas), replicas: d.Status.Replicas,
		updated: d.Status.UpdatedReplicas, available: d.Status.AvailableReplicas,
		ready: d.Status.ReadyReplicas, minReady: d.Spec.MinReadySeconds,
		parallel: d.Spec.PodManagementPolicy == appsv1.ParallelPodManagement,
		onDelete: d.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType,
	}
	s.mustUpdate = s.desired
	if rolling := d.Spec.UpdateStrategy.RollingUpdate; rolling != nil && rolling.Partition != nil {
		s.mustUpdate = max(0, s.desired-*rolling.Partition)
	}
	return s
}

func daemonSetStatus(d *appsv1.DaemonSet) status {
	return status{
		observed: d.Status.ObservedGeneration >= d.Generation, desired: d.Status.DesiredNumberScheduled, counted: true,
		mustUpdate: d.Status.DesiredNumberScheduled, replicas: d.Status.DesiredNumberScheduled,
		updated: d.Status.UpdatedNumberScheduled, available: d.Status.NumberAvailable,
		ready: d.Status.NumberReady, minReady: d.Spec.MinReadySeconds,
		onDelete: d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType,
	}
}

func orOne(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// complete is settled but for the controller's having observed the newest generation. Above a partition
// replicas stay on the old revision, and are not waited for.
func (s status) complete() bool {
	return s.updated >= s.mustUpdate && s.replicas == s.desired && s.available >= s.desired
}

// settled needs no controller where nothing runs and nothing is wanted. A DaemonSet wants nothing as long as its
// controller has not counted the nodes.
func (s status) settled() bool {
	return s.observed && s.complete() || !s.counted && s.desired == 0 && s.replicas == 0
}

// fresh is how many replicas are certainly both updated and available. Until the controller has seen the newest generation,
// its count of updated replicas is still about the one before (I43).
func (s status) fresh() int {
	if !s.observed {
		return 0
	}
	return int(min(s.updated, max(0, s.available-max(0, s.replicas-s.updated))))
}

// Lagging says whether the workload looks unsettled only because its controller has yet to observe the newest
// generation, which an annotation write alone bumps on a Deployment: look again before counting it.
func (o *Object) Lagging() bool { return !o.status.observed && o.status.complete() }

// FailedAt is when the controller reported that it gave up; zero where it did not.
func (o *Object) FailedAt() time.Time { return o.status.failedAt }

// Rollout is how far the controller is. A report of failure that is not newer than stale is ignored: after a
// patch it is about the rollout before, until the controller says more.
func (o *Object) Rollout(stale time.Time) decide.Rollout {
	s := o.status
	rollout := decide.Rollout{
		Settled:      s.settled(),
		NoReplica:    s.mustUpdate == 0 && o.Kind != config.CronJob,
		AwaitsDelete: s.onDelete && s.observed && s.available >= s.desired && s.updated < s.mustUpdate,
		Fresh:        s.fresh(),
		Available:    int(s.available),
		Desired:      int(s.desired),
	}
	if s.observed && s.failure != "" && s.failedAt.After(stale) {
		rollout.Failure = s.failure
	}
	return rollout
}
