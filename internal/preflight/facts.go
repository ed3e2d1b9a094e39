// Package preflight words what the command check found out: everything that could make a tick fail, before it
// does, a line each with the fix. It is pure: package check asks, this package says.
//
// Lines stand in the order in which one thing rests on another: the configuration, the API server, permissions,
// registries, credentials, images, workloads, admission. What rests on something that failed is "could not be checked" and
// points there, so that the cause which is most basic is the one that is read (no "manifest unknown" while the
// name of the registry does not resolve).
package preflight

import (
	"time"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/notify"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// Facts is what was found out.
type Facts struct {
	Source      string   // the configuration file
	Targets     int      // in it
	Warnings    []string // what it says that deserves a second look
	Runbook     failure.Runbook
	Permissions []Permission
	Registries  []resolver.HostReport
	Images      []Image
	Stale       []*failure.Error // of targets whose latest has not changed for too long
	Signatures  []Signature      // of targets that verify
	Slots       []Slot
	DryRuns     []DryRun
	User        string // as whom the API server was asked; cleaned; empty where it does not say
	Leftovers   []Leftover
	Unfollowed  []Unfollowed
	Schedules   []Schedule
	Protections []Protection // of the installation, where one is
	// NoSchedules is why the CronJobs that run this program could not be read.
	NoSchedules *failure.Error
	// ClockAhead is how far the clock here is ahead of the API server's; negative where it is behind.
	ClockAhead  time.Duration
	Notifies    bool              // NOTIFY_URLS names somebody
	NotifyAsked bool              // a test message was asked for
	Deliveries  []notify.Delivery // of the test message
	// Interrupted says that the check was told to end before it was done.
	Interrupted bool
}

// Protection is what the chart installs only where its values say so.
type Protection struct {
	Value   string // that switches it on
	On      bool
	Without string // what is open without it
	Failure error  // that it could not be looked for
}

// Permission is one verb that a tick uses.
type Permission struct {
	What     string // on what, as people name it: Deployment shop/web
	Verb     string
	Access   string // in the API's terms: patch deployments/web in namespace shop
	Without  string // what a tick does without it; empty where it cannot do without
	Allowed  bool
	Failure  *failure.Error // that it could not be asked
	Workload bool           // What is a workload, which is not read without the verb get
}

// Image is one image, as one set of workloads pulls it.
type Image struct {
	Name   string
	Answer resolver.Answer
	// Pods is why pods that name other pull secrets than the target could not pull it; nil where they can.
	Pods *failure.Error
	// PodsOf are those pods' workloads.
	PodsOf string
}

// Signature says whether a digest is signed.
type Signature struct {
	Image   string
	Digest  image.Digest
	Latest  bool           // it is what the tag means; else it is in use
	Signer  string         // the fingerprint of the key
	Failure *failure.Error // why there is no signer
}

// Slot is one target on one workload.
type Slot struct {
	Target, Workload, Place string
	Undecided               bool // its image is unknown, which the image's own line explains
	Outcome                 decide.Outcome
	Failure                 *failure.Error
	Message                 string
	Conflicts               []Conflict
	Gone                    *failure.Error // what the slots hold is no longer in the registry
	Doubts                  []*failure.Error
	Controller              string // what controls the workload, such as an operator's resource; empty for nothing
}

// Conflict is a field that a deployer applied and somebody else owns now: the deployer's next upgrade fails.
type Conflict struct {
	Field, Deployer, Owner string
}

// DryRun is what the API server made of a patch of a workload that it was not to store.
type DryRun struct {
	Workload  string
	Due       bool // the next patch; else one that changes nothing
	Forbidden bool // not asked, for want of the right to patch
	Failure   *failure.Error
	Unknown   bool // the failure is that nobody can say
}

// Leftover is what stands on a workload and nothing reads, with the commands that move or remove it.
type Leftover struct {
	Workload, Message string
}

// Unfollowed is a namespace, and the tags that float there and that no target follows: Deployment shop/web, container api: nginx:1.
type Unfollowed struct {
	Namespace string
	Tags      []string
}

// Schedule is a CronJob that runs this program.
type Schedule struct {
	Name      string
	Suspended bool
	Deadline  time.Duration // 0: none
	Longest   time.Duration // that a tick may take with its settings
}
