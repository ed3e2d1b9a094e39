package workload

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// ScheduleSelector selects the CronJobs that run this program: the chart sets the label, whatever else it is told to call them.
const ScheduleSelector = ComponentLabel + "=" + FieldManager

// Schedule is a CronJob that runs this program, by its label.
type Schedule struct {
	Charts               bool // it is the chart's, by its container too (RunsThisProgram)
	Namespace, Name      string
	Schedule, TimeZone   string // as Kubernetes reads them
	Suspended            bool
	Created              time.Time
	LastRun, LastSuccess time.Time     // when the last Job began, and when the last one that succeeded ended; zero: never
	Deadline             time.Duration // of a Job; 0: none
	RolloutTimeout       string        // as its pods' environment says; empty: the default
	Prefix               string        // of labels and annotations, likewise
}

// NewSchedule takes what the API server returned for such a CronJob.
func NewSchedule(job *batchv1.CronJob) Schedule {
	s := Schedule{
		Namespace: job.Namespace, Name: job.Name, Schedule: job.Spec.Schedule, Created: job.CreationTimestamp.Time,
		Suspended: job.Spec.Suspend != nil && *job.Spec.Suspend, Charts: RunsThisProgram(job.Labels, job.Spec.JobTemplate.Spec.Template.Spec),
	}
	if job.Spec.TimeZone != nil {
		s.TimeZone = *job.Spec.TimeZone
	}
	if at := job.Status.LastScheduleTime; at != nil {
		s.LastRun = at.Time
	}
	if at := job.Status.LastSuccessfulTime; at != nil {
		s.LastSuccess = at.Time
	}
	if seconds := job.Spec.JobTemplate.Spec.ActiveDeadlineSeconds; seconds != nil {
		s.Deadline = time.Duration(*seconds) * time.Second
	}
	for _, container := range job.Spec.JobTemplate.Spec.Template.Spec.Containers {
		for _, variable := range container.Env {
			switch variable.Name {
			case "ROLLOUT_TIMEOUT":
				s.RolloutTimeout = variable.Value
			case "ANNOTATION_PREFIX":
				s.Prefix = variable.Value
			}
		}
	}
	return s
}
