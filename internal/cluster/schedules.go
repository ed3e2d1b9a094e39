package cluster

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Schedules lists the CronJobs with the chart's label, in a namespace or, where it is empty, in all.
// The chart grants no right to that: a person has it.
func (c *Client) Schedules(ctx context.Context, namespace string) (schedules []workload.Schedule, err error) {
	ref, empty := workload.Ref{Kind: config.CronJob, Namespace: namespace}, func() list { return &batchv1.CronJobList{} }
	err = c.each(ctx, ref, workload.ScheduleSelector, empty, "", func(item runtime.Object) error {
		schedules = append(schedules, workload.NewSchedule(item.(*batchv1.CronJob))) //nolint:forcetypeassert // of such a list
		return nil
	})
	return schedules, err
}
