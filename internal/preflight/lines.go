package preflight

import (
	"fmt"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
)

// The names of the checks: a closed set, which readers of the JSON may rely on.
const (
	checkConfiguration = "configuration"
	checkServer        = "api-server"
	checkPermission    = "permission"
	checkRegistry      = "registry"
	checkCredential    = "credential"
	checkImage         = "image"
	checkSignature     = "signature"
	checkWorkload      = "workload"
	checkAdmission     = "admission"
	checkOwnership     = "ownership"
	checkSchedule      = "schedule"
	checkProtection    = "protection"
	checkNotification  = "notification"
	checkNodes         = "nodes"
)

// Lines says what the facts come to, the most basic first.
func Lines(f Facts) []result.Check {
	lines := list{runbook: f.Runbook}
	lines.configuration(f)
	server := lines.server(f)
	unreadable := lines.permissions(f, server)
	down := lines.registries(f)
	lines.credentials(f, down)
	lines.images(f, down)
	for _, stale := range f.Stale {
		lines.wrong(checkImage, "", stale)
	}
	for _, one := range f.Signatures {
		lines.signature(one)
	}
	for _, slot := range f.Slots {
		lines.slot(slot, server, unreadable)
	}
	for _, one := range f.DryRuns {
		lines.dryRun(one, f.User)
	}
	for _, left := range f.Leftovers {
		lines.add(checkWorkload, left.Workload, result.Warning, left.Message)
	}
	lines.unfollowed(f)
	lines.schedules(f, server)
	lines.protections(f)
	lines.notifications(f)
	lines.add(checkNodes, "", result.Unchecked, "whether nodes can pull the images: the kubelet asks over the nodes' own network, proxy and certificates; a rollout tells")
	return lines.checks
}

// signature says whether what is latest, or in use, is signed. What is in use runs already; only what is latest is kept out.
func (l *list) signature(one Signature) {
	switch what := map[bool]string{true: "latest", false: "in use"}[one.Latest]; {
	case one.Failure == nil:
		l.add(checkSignature, one.Image, result.OK, fmt.Sprintf("%s, %s, is signed by the key %s", one.Digest.Short(), what, one.Signer))
	case one.Latest:
		l.wrong(checkSignature, one.Image, one.Failure)
	default:
		l.warn(checkSignature, one.Image, &failure.Error{Cause: one.Failure.Cause, Message: "in use: " + one.Failure.Message, Fix: one.Failure.Fix})
	}
}

// maxUnfollowed is how many tags that no target follows are named.
const maxUnfollowed = 5

// unfollowed says which tags float beside those that targets follow.
func (l *list) unfollowed(f Facts) {
	for _, one := range f.Unfollowed {
		named := one.Tags[:min(len(one.Tags), maxUnfollowed)]
		if len(named) == 0 {
			continue
		}
		text := "no target follows " + strings.Join(named, "; ")
		if more := len(one.Tags) - len(named); more > 0 {
			text += fmt.Sprintf("; and %d more", more)
		}
		l.warn(checkWorkload, "namespace "+one.Namespace, &failure.Error{Message: text, Fix: "where they should be followed: image-refresh init -n " + one.Namespace + " writes targets"})
	}
}

// Invalid says why nothing could be checked at all: a line each.
func Invalid(problems []string, configuration bool, runbook failure.Runbook) []result.Check {
	lines := list{runbook: runbook}
	for _, problem := range problems {
		if configuration {
			lines.add(checkConfiguration, "", result.Wrong, problem)
		} else {
			lines.wrong(checkServer, "", &failure.Error{Cause: failure.API, Message: problem})
		}
	}
	return lines.checks
}

type list struct {
	checks  []result.Check
	runbook failure.Runbook
}

func (l *list) add(name, subject string, status result.Status, message string) {
	l.checks = append(l.checks, result.Check{Name: name, Subject: subject, Status: status, Message: result.Message{Text: message}})
}

func (l *list) wrong(name, subject string, failed *failure.Error) {
	l.checks = append(l.checks, result.Check{Name: name, Subject: subject, Status: result.Wrong, Cause: failed.Cause, Message: result.Said(failed, l.runbook)})
}

func (l *list) warn(name, subject string, failed *failure.Error) {
	l.checks = append(l.checks, result.Check{Name: name, Subject: subject, Status: result.Warning, Cause: failed.Cause, Message: result.Said(failed, l.runbook)})
}

func (l *list) configuration(f Facts) {
	l.add(checkConfiguration, "", result.OK, fmt.Sprintf("%s is valid, with %s", f.Source, count(f.Targets, "target")))
	for _, warning := range f.Warnings {
		l.add(checkConfiguration, "", result.Warning, warning)
	}
	if f.Interrupted {
		l.add(checkConfiguration, "", result.Wrong, "the check was told to end before it was done: run it again")
	}
}

// server says whether the API server answers, and returns why not.
func (l *list) server(f Facts) *failure.Error {
	var failed *failure.Error
	for _, permission := range f.Permissions {
		if permission.Failure == nil {
			l.add(checkServer, "", result.OK, "answers")
			l.clock(f.ClockAhead)
			return nil
		}
		failed = permission.Failure
	}
	if failed == nil { // nothing was asked: told to end
		return &failure.Error{Cause: failure.API, Message: "not asked"}
	}
	l.wrong(checkServer, "", failed)
	return failed
}

// clockTolerance is how far two clocks may be apart without a word.
const clockTolerance = time.Minute

// clock says how far the clock here is off.
func (l *list) clock(ahead time.Duration) {
	where := "ahead of"
	if ahead < 0 {
		where, ahead = "behind", -ahead
	}
	if ahead > clockTolerance {
		l.warn(checkServer, "", &failure.Error{
			Message: fmt.Sprintf("the clock here is %s %s the API server's, by which ticks go", ahead.Round(time.Second), where), Fix: "have this machine's clock set (NTP)",
		})
	}
}

// permissions says what is not allowed, and returns the workloads that cannot be read for it.
func (l *list) permissions(f Facts, server *failure.Error) map[string]bool {
	unreadable := map[string]bool{}
	if server != nil {
		l.add(checkPermission, "", result.Unchecked, "the API server did not say")
		return unreadable
	}
	var order []string
	of := map[string][]Permission{}
	for _, permission := range f.Permissions {
		if of[permission.What] == nil {
			order = append(order, permission.What)
		}
		of[permission.What] = append(of[permission.What], permission)
	}
	for _, what := range order {
		var allowed, missing []string
		for _, permission := range of[what] {
			switch {
			case permission.Failure != nil:
				l.add(checkPermission, what, result.Unchecked, l.runbook.Advice(permission.Failure))
			case permission.Allowed:
				allowed = append(allowed, permission.Verb)
			case permission.Without != "":
				l.add(checkPermission, what, result.OK, "may not "+permission.Access+", and need not: "+permission.Without)
			default:
				missing = append(missing, permission.Access)
				unreadable[what] = unreadable[what] || permission.Workload && permission.Verb == "get"
			}
		}
		if len(missing) > 0 {
			l.wrong(checkPermission, what, &failure.Error{
				Cause: failure.API, Message: "may not " + strings.Join(missing, ", nor "), Fix: "grant that in a Role of the namespace, as the chart does with rbac.create",
			})
		}
		if len(allowed) > 0 {
			l.add(checkPermission, what, result.OK, "may "+strings.Join(allowed, ", "))
		}
	}
	return unreadable
}

// slot says what a tick would make of one target on one workload.
func (l *list) slot(s Slot, server *failure.Error, unreadable map[string]bool) {
	subject := s.Target + " on " + s.Workload
	if s.Place != "" {
		subject += " " + s.Place
	}
	switch {
	case server != nil:
		l.add(checkWorkload, subject, result.Unchecked, "not read: the API server does not answer")
		return
	case unreadable[s.Workload]:
		l.add(checkWorkload, subject, result.Unchecked, "not read: the permission is missing")
		return
	case s.Undecided:
		l.add(checkWorkload, subject, result.Unchecked, "the workload and its slot are fine; what a tick would do depends on the image, which is unknown")
	case s.Failure != nil:
		l.wrong(checkWorkload, subject, s.Failure)
	case s.Outcome == decide.Waiting:
		l.add(checkWorkload, subject, result.Warning, s.Message)
	default:
		message := "a tick would report " + string(s.Outcome)
		if s.Message != "" {
			message += ": " + s.Message
		}
		l.add(checkWorkload, subject, result.OK, message)
	}
	if s.Gone != nil {
		l.wrong(checkImage, subject, s.Gone)
	}
	for _, doubt := range s.Doubts {
		l.warn(checkWorkload, subject, doubt)
	}
	if s.Controller != "" {
		l.warn(checkOwnership, subject, &failure.Error{
			Message: s.Controller + " controls this workload, and an operator that renders it puts back what it rendered",
			Fix:     "have the operator leave the slot alone, or set the digest in that resource instead",
		})
	}
	for _, conflict := range s.Conflicts {
		l.warn(checkOwnership, subject, &failure.Error{
			Message: fmt.Sprintf("%s applied this workload and %s has taken %s from it: the next upgrade fails with a conflict where it sets another value",
				conflict.Deployer, conflict.Owner, conflict.Field),
			Fix: "put the value into the chart and upgrade once with --force-conflicts",
		})
	}
}

// dryRun says what admission policies and webhooks make of a patch.
func (l *list) dryRun(one DryRun, user string) {
	what := "a dry run of a patch that changes nothing, since none is due"
	if one.Due {
		what = "a dry run of the next patch"
	}
	if user != "" {
		what += ", as " + user
	}
	told := func(failed *failure.Error) *failure.Error {
		return &failure.Error{Cause: failed.Cause, Message: what + ": " + failed.Message, Fix: failed.Fix}
	}
	switch {
	case one.Forbidden:
		l.add(checkAdmission, one.Workload, result.Unchecked, "not asked: the permission to patch is missing")
	case one.Failure == nil:
		l.add(checkAdmission, one.Workload, result.OK, what+": accepted")
	case one.Unknown:
		l.warn(checkAdmission, one.Workload, told(one.Failure))
	default:
		l.wrong(checkAdmission, one.Workload, told(one.Failure))
	}
}

// schedules says whether the CronJobs leave a tick the time that it may take.
func (l *list) schedules(f Facts, server *failure.Error) {
	switch {
	case server != nil:
		return
	case f.NoSchedules != nil:
		l.add(checkSchedule, "", result.Unchecked, "whether the CronJob's deadline leaves a tick its time, and whether it is suspended: it may not be read from here; a person's kubeconfig can")
	case len(f.Schedules) == 0:
		l.warn(checkSchedule, "", &failure.Error{
			Message: "no CronJob with the label app.kubernetes.io/component=image-refresh is in this namespace: nothing runs a tick here", Fix: "install the chart, or name its namespace",
		})
	}
	for _, s := range f.Schedules {
		switch {
		case s.Deadline > 0 && s.Deadline < s.Longest:
			l.add(checkSchedule, s.Name, result.Wrong, fmt.Sprintf(
				"its Jobs are killed after %s, and a tick may take %s (twice ROLLOUT_TIMEOUT and 5 minutes): raise activeDeadlineSeconds or lower ROLLOUT_TIMEOUT", s.Deadline, s.Longest))
		case s.Suspended:
			l.warn(checkSchedule, s.Name, &failure.Error{Message: "is suspended: no tick runs", Fix: "set suspend to false"})
		default:
			l.add(checkSchedule, s.Name, result.OK, "leaves a tick its time")
		}
	}
}

// protections says what is open, and the value that closes it.
func (l *list) protections(f Facts) {
	for _, p := range f.Protections {
		switch {
		case p.Failure != nil:
			l.add(checkProtection, p.Value, result.Unchecked, "whether it is on may not be read from here; a person's kubeconfig can")
		case p.On:
			l.add(checkProtection, p.Value, result.OK, "is on")
		default:
			l.warn(checkProtection, p.Value, &failure.Error{Message: "is off: " + p.Without, Fix: "to close it: " + p.Value + ".enabled=true in the chart's values"})
		}
	}
}

// notifications says whom a test message has reached.
func (l *list) notifications(f Facts) {
	switch {
	case f.Notifies && !f.NotifyAsked:
		l.add(checkNotification, "", result.Unchecked, "whether messages arrive: nothing was sent; check --notify sends a test message to each URL of NOTIFY_URLS")
	case f.NotifyAsked && !f.Notifies:
		l.wrong(checkNotification, "", &failure.Error{Message: "NOTIFY_URLS names nobody who could be told", Fix: "set it, with the chart from a Secret by notify.secretName"})
	}
	for _, one := range f.Deliveries {
		switch {
		case one.Taken && one.Failure == "":
			l.add(checkNotification, one.URL, result.OK, "has taken a test message")
		case one.Taken:
			l.add(checkNotification, one.URL, result.Warning, "has taken a test message, though not for everybody: "+one.Failure)
		default:
			l.add(checkNotification, one.URL, result.Wrong, "has not taken a test message: "+one.Failure)
		}
	}
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
