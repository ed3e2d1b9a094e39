// Package status says how the workloads of a fleet are, and whether anything keeps them fresh, from what stands on them: labels
// and annotations alone. It is pure: what was read is given to it.
package status

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Facts is what was read.
type Facts struct {
	Keys        annotate.Keys
	Runbook     failure.Runbook
	Now         time.Time
	Namespace   string // that was looked into; empty: all of them
	Selector    string // that chose workloads among those that carry our label; empty: none
	Workloads   []workload.Labelled
	Schedules   []workload.Schedule
	NoSchedules *failure.Error // why CronJobs could not be listed
	// Elsewhere is why CronJobs could not be listed outside of the namespace, where it has none.
	Elsewhere *failure.Error
}

// Report is what a fleet's labels and annotations say.
type Report struct {
	result.Report
	CronJobs  []CronJob  `json:"cronJobs"`
	Workloads []Workload `json:"workloads"`
	Remove    []string   `json:"remove"` // commands that remove all that is ours, where nothing runs this program any more

	label string
	where string
	notes []string
	now   time.Time
}

// Workload is what the labels and annotations of a workload say about a target.
type Workload struct {
	Target    string         `json:"target"`
	Kind      string         `json:"kind"`
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Live      string         `json:"live"`     // what was last put or accepted there, as far as its digits are known
	Build     image.Build    `json:"build"`    // which build live is, as far as that is remembered
	Recorded  string         `json:"recorded"` // the digest last proven rolled out there
	State     string         `json:"state"`    // that of the label, or Orphaned
	Since     string         `json:"since"`    // RFC 3339; empty: fine, or not known
	Cause     failure.Cause  `json:"cause"`
	Message   result.Message `json:"message"`

	condition annotate.Condition // that the label says
	since     time.Time
	shared    bool // the message is the target's
}

// Orphaned is the state of workloads that nothing keeps fresh any more.
const Orphaned = "orphaned"

// needsYou says whether a person must look.
func (w Workload) needsYou() bool {
	switch w.condition {
	case annotate.OK, annotate.Held, annotate.Waiting:
		return false
	case annotate.Failing, annotate.Rejected:
	}
	return true // what is not known is a failure
}

// Of puts together what was read.
func Of(report result.Report, facts Facts) Report {
	r := Report{
		Report: report, CronJobs: []CronJob{}, Workloads: []Workload{}, Remove: []string{},
		label: facts.Keys.Condition(), where: "in namespace " + facts.Namespace, now: facts.Now,
	}
	if facts.Namespace == "" {
		r.where = "in any namespace"
	}
	charts := slices.ContainsFunc(facts.Schedules, func(s workload.Schedule) bool { return s.Charts })
	for _, schedule := range facts.Schedules {
		if charts && !schedule.Charts { // the script that came before has the label too (I36)
			continue
		}
		if prefix := failure.Clean(schedule.Prefix); prefix != "" && prefix+"/" != facts.Keys.Prefix() {
			r.notes = append(r.notes, "CronJob "+schedule.Namespace+"/"+schedule.Name+" remembers under "+prefix+": set ANNOTATION_PREFIX="+prefix+" to see what it looks after")
			continue
		}
		r.CronJobs = append(r.CronJobs, worker(schedule, facts.Now))
	}
	if facts.NoSchedules != nil {
		r.notes = append(r.notes, "whether ticks run is not known: "+facts.NoSchedules.Message)
	}
	homes := homesOf(facts)
	for _, carrier := range facts.Workloads {
		r.Workloads = append(r.Workloads, lines(facts, carrier, homes)...)
	}
	if len(r.CronJobs) == 0 && facts.NoSchedules == nil && len(r.Workloads) > 0 {
		r.orphan(facts)
	}
	slices.SortFunc(r.Workloads, func(a, b Workload) int {
		return cmp.Or(a.severity()-b.severity(), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Kind, b.Kind), strings.Compare(a.Target, b.Target))
	})
	if slices.ContainsFunc(r.Workloads, Workload.needsYou) || slices.ContainsFunc(r.CronJobs, func(c CronJob) bool { return c.overdue }) {
		r.ExitCode = result.ExitOperator
	}
	return r
}

// severity orders workloads, the worst first.
func (w Workload) severity() int {
	order := []annotate.Condition{annotate.OK, annotate.Held, annotate.Waiting, annotate.Rejected, annotate.Failing}
	at := slices.Index(order, w.condition)
	if at < 0 {
		at = len(order)
	}
	return -at
}

// orphan says of all workloads that nothing keeps them fresh, and how to remove what is left.
func (r *Report) orphan(facts Facts) {
	for i := range r.Workloads {
		r.Workloads[i].State = Orphaned
	}
	said := "orphaned: there is no CronJob of image-refresh in any namespace"
	if facts.Elsewhere != nil {
		said = "orphaned: there is no CronJob of image-refresh " + r.where + ", and others could not be looked into: " + facts.Elsewhere.Message
	}
	r.notes = append(r.notes, said+"; what it has left on these workloads goes with")
	selector := facts.Keys.Condition()
	if facts.Selector != "" {
		selector += "," + facts.Selector
	}
	r.Remove = removal(facts.Keys, facts.Workloads, selector)
}
