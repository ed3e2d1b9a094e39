package status

import (
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// CronJob is a CronJob that runs this program.
type CronJob struct {
	Namespace   string         `json:"namespace"`
	Name        string         `json:"name"`
	Schedule    string         `json:"schedule"`
	TimeZone    string         `json:"timeZone"`
	Suspended   bool           `json:"suspended"`
	LastRun     string         `json:"lastRun"`     // RFC 3339; empty: never
	LastSuccess string         `json:"lastSuccess"` // likewise
	State       WorkerState    `json:"state"`
	Message     result.Message `json:"message"`

	run, success time.Time
	overdue      bool // a person must look
}

// WorkerState is whether ticks run.
type WorkerState string

// The states.
const (
	WorkerOK        WorkerState = "ok"
	WorkerSuspended WorkerState = "suspended"
	WorkerFailing   WorkerState = "failing" // ticks run, and none has succeeded since the third last time of the schedule
	WorkerLate      WorkerState = "late"    // no tick has run since then
	WorkerUnknown   WorkerState = "unknown" // the schedule could not be read
)

// intervals is how many times of the schedule may pass without a tick that succeeds. The alert waits as long.
const intervals = 3

// worker says whether a CronJob is awake.
func worker(s workload.Schedule, now time.Time) CronJob {
	c := CronJob{
		Namespace: s.Namespace, Name: s.Name, Schedule: failure.Clean(s.Schedule), TimeZone: s.TimeZone, Suspended: s.Suspended,
		LastRun: annotate.FormatTime(s.LastRun), LastSuccess: annotate.FormatTime(s.LastSuccess), State: WorkerOK,
		run: s.LastRun, success: s.LastSuccess,
	}
	on := fmt.Sprintf("-n %s cronjob %s", s.Namespace, s.Name)
	since := "ever since it was created"
	if !s.LastSuccess.IsZero() {
		since = "since " + c.LastSuccess
	}
	due, err := thirdLast(s.Schedule, s.TimeZone, now)
	if err == nil {
		isNew := !s.Suspended && s.LastRun.IsZero() && s.LastSuccess.IsZero() && s.Created.After(due)
		c.overdue = s.LastSuccess.Before(due) && !isNew
	}
	switch {
	case s.Suspended:
		c.State = WorkerSuspended
		c.Message = result.Message{Text: "it is suspended, and no tick has succeeded " + since, Fix: "to let it run again: kubectl patch " + on + ` --patch '{"spec":{"suspend":false}}'`}
	case err != nil:
		c.State = WorkerUnknown
		c.Message.Text = "whether it is late is not known: " + failure.Clean(err.Error())
	case c.overdue && s.LastRun.Before(due):
		c.State = WorkerLate
		c.Message = result.Message{Text: "no tick has succeeded " + since + ", and none has begun in the last three times of the schedule", Fix: "to see why: kubectl describe " + on}
	case c.overdue:
		c.State = WorkerFailing
		c.Message = result.Message{Text: "ticks run, and none has succeeded " + since, Fix: "to see why: kubectl describe pods -n " + s.Namespace + " -l " + workload.ScheduleSelector}
	}
	return c
}

// thirdLast is the third last time of a schedule, read as Kubernetes does
// (https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax). A schedule without a time zone is in that
// of the controllers, which is taken to be UTC.
func thirdLast(schedule, zone string, now time.Time) (time.Time, error) {
	if zone != "" {
		schedule = "TZ=" + zone + " " + schedule
	}
	parsed, err := cron.ParseStandard(schedule)
	if err != nil {
		return time.Time{}, err
	}
	const longest = 40 * 365 * 24 * time.Hour // room for three leap days
	for back := time.Hour; back < longest; back *= 4 {
		var times []time.Time
		for at := parsed.Next(now.UTC().Add(-back)); !at.IsZero() && !at.After(now); at = parsed.Next(at) {
			times = append(times, at)
		}
		if len(times) >= intervals {
			return times[len(times)-intervals], nil
		}
	}
	return time.Time{}, errors.New("the schedule names no time")
}
