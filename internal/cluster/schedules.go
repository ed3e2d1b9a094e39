package cluster

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/workload"
)

// Schedule is a CronJob that runs this program.
type Schedule struct {
	Name           string
	Suspended      bool
	Deadline       time.Duration // of a Job; 0: none
	RolloutTimeout string        // as its pods' environment says; empty: the default
}

// Schedules lists the CronJobs of the chart in the namespace where this program is installed. The chart grants no right to
// that: a person has it.
func (c *Client) Schedules(ctx context.Context) ([]Schedule, error) {
	list := &batchv1.CronJobList{}
	err := c.do(ctx, func(ctx context.Context) error {
		return c.groups[batchv1.GroupName].Get().Namespace(c.namespace).Resource("cronjobs").VersionedParams(
			&metav1.ListOptions{LabelSelector: workload.ComponentLabel + "=" + workload.FieldManager}, c.parameters).Do(ctx).Into(list)
	})
	if err != nil {
		return nil, notAnswered("asked to list cronjobs in namespace "+c.namespace, err)
	}
	var schedules []Schedule
	for _, job := range list.Items {
		if workload.RunsThisProgram(job.Labels, job.Spec.JobTemplate.Spec.Template.Spec) {
			schedules = append(schedules, schedule(job))
		}
	}
	return schedules, nil
}

func schedule(job batchv1.CronJob) Schedule {
	out := Schedule{Name: job.Name, Suspended: job.Spec.Suspend != nil && *job.Spec.Suspend}
	if seconds := job.Spec.JobTemplate.Spec.ActiveDeadlineSeconds; seconds != nil {
		out.Deadline = time.Duration(*seconds) * time.Second
	}
	for _, container := range job.Spec.JobTemplate.Spec.Template.Spec.Containers {
		out.RolloutTimeout = valueOf(container, "ROLLOUT_TIMEOUT", out.RolloutTimeout)
	}
	return out
}

func valueOf(container corev1.Container, name, otherwise string) string {
	for _, variable := range container.Env {
		if variable.Name == name {
			return variable.Value
		}
	}
	return otherwise
}
