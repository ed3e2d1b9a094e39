// Package check is the command that finds out everything that could make a tick fail, before it does. It reads, resolves
// and decides as a tick does, asks besides what a tick finds out only when it acts, and writes nothing. What it found is
// worded by package preflight.
package check

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/notify"
	"github.com/tracebloc/image-refresh/internal/preflight"
	"github.com/tracebloc/image-refresh/internal/proposal"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Cluster is what a check asks the API server beside what a tick does. The error is that it could not be asked.
type Cluster interface {
	CanI(context.Context, cluster.Permission) (bool, error)
	// WhoAmI is the name by which the API server knows us; empty where it does not say.
	WhoAmI(context.Context) string
	// DryRun returns a workload as it would be after a change, and changes nothing. The error is cluster.ErrNoDryRun where a webhook
	// does not allow it.
	DryRun(context.Context, workload.Ref, workload.Change) (*workload.Object, error)
	Schedules(ctx context.Context, namespace string) ([]workload.Schedule, error)
	List(ctx context.Context, namespace, selector string) ([]*workload.Object, error)
	// AdmissionPolicy says whether the chart's policy is there that confines the service account of a namespace.
	AdmissionPolicy(ctx context.Context, namespace string) (bool, error)
	// NetworkPolicy says whether the chart's policy is there for its pods in a namespace.
	NetworkPolicy(ctx context.Context, namespace string) (bool, error)
}

// Registry is what a check asks beside what a tick does: what each registry made of it.
type Registry interface {
	Resolve(context.Context, []resolver.Query) []resolver.Answer
	Report() []resolver.HostReport
}

// Checker runs a check.
type Checker struct {
	Tick     *tick.Runner
	Cluster  Cluster
	Registry Registry
	Notify   bool           // send a test message
	Sender   *notify.Sender // nil where NOTIFY_URLS names nobody
}

// Run asks everything, side by side where one does not rest on another, and reports a line each.
func (c *Checker) Run(ctx context.Context) result.Report {
	ctx, cancel := context.WithTimeout(ctx, tick.Longest(time.Duration(c.Tick.Config.RolloutTimeout)))
	defer cancel()
	read := c.Tick.Config
	facts := preflight.Facts{Source: string(read.ConfigFile), Targets: len(read.Targets), Warnings: read.Warnings(), Runbook: failure.Runbook(read.Runbook)}
	var aside sync.WaitGroup
	permissions := sync.OnceValue(func() []preflight.Permission { return c.permissions(ctx) })
	aside.Go(func() { facts.Permissions = permissions() })
	aside.Go(func() { facts.User = failure.Clean(c.Cluster.WhoAmI(ctx)) })
	aside.Go(func() {
		if facts.Schedules, facts.NoSchedules = c.schedules(ctx); len(facts.Schedules) > 0 {
			facts.Protections = c.protections(ctx)
		}
	})
	preview := c.Tick.Preview(ctx)
	facts.Warnings = append(facts.Warnings, preview.Warnings...)
	facts.Images = c.images(ctx, preview)
	facts.Registries, facts.Stale = c.Registry.Report(), preview.Stale
	if !preview.Interrupted {
		facts.Slots = slots(preview)
		aside.Go(func() { facts.Unfollowed = c.unfollowed(ctx, preview) })
		aside.Go(func() { facts.DryRuns = c.dryRuns(ctx, preview.Patches, permissions()) })
	}
	for _, one := range preview.Signatures {
		facts.Signatures = append(facts.Signatures, preflight.Signature{
			Image: one.Image.String(), Digest: one.Digest, Latest: one.Latest, Signer: one.Signer, Failure: one.Failure,
		})
	}
	for _, left := range preview.Leftovers {
		facts.Leftovers = append(facts.Leftovers, preflight.Leftover{Workload: left.Ref.String(), Message: left.Message})
	}
	aside.Wait()
	if date := c.Tick.Cluster.Date(); !date.IsZero() {
		facts.ClockAhead = c.Tick.Now().Sub(date)
	}
	facts.Notifies, facts.NotifyAsked = c.Sender != nil, c.Notify
	if c.Notify && c.Sender != nil && ctx.Err() == nil {
		facts.Deliveries = c.Sender.Send(ctx, notify.Test(string(read.ClusterName), c.Tick.Namespace))
	}
	facts.Interrupted = ctx.Err() != nil
	report := result.New(version.Version(), "check", c.Tick.Started)
	report.Checks = preflight.Lines(facts)
	if slices.ContainsFunc(report.Checks, func(line result.Check) bool { return line.Status == result.Wrong }) {
		report.ExitCode = result.ExitOperator
	}
	report.DurationSeconds = c.Tick.Now().Sub(c.Tick.Started).Seconds()
	return report
}

// permissions asks for every verb that a tick uses, side by side.
func (c *Checker) permissions(ctx context.Context) []preflight.Permission {
	var permissions []preflight.Permission
	var asked []cluster.Permission
	add := func(what string, without string, permission cluster.Permission, isWorkload bool) {
		asked = append(asked, permission)
		permissions = append(permissions, preflight.Permission{
			What: what, Verb: permission.Verb, Access: permission.String(), Without: without, Workload: isWorkload,
		})
	}
	var namespaces []string
	for _, ref := range c.Tick.Refs() {
		verbs := []string{"get", "list", "watch", "patch"}
		if ref.Kind == config.CronJob { // which has no rollout to follow
			verbs = []string{"get", "patch"}
		}
		for _, verb := range verbs {
			add(ref.String(), "", cluster.Permission{
				Verb: verb, Group: ref.Group(), Resource: ref.Resource(), Namespace: ref.Namespace, Name: ref.Name,
			}, true)
		}
		if !slices.Contains(namespaces, ref.Namespace) {
			namespaces = append(namespaces, ref.Namespace)
		}
	}
	for _, namespace := range namespaces {
		add("Events in "+namespace, "", cluster.Permission{Verb: "create", Group: "events.k8s.io", Resource: "events", Namespace: namespace}, false)
		add("Pods in "+namespace, "a failed rollout counts against its digest, whatever held it up, and is told without the pods' own reasons, and a bare tag is pinned in the second tick, which restarts its pods",
			cluster.Permission{Verb: "list", Resource: "pods", Namespace: namespace}, false)
	}
	var all sync.WaitGroup
	for i := range asked {
		all.Go(func() {
			allowed, err := c.Cluster.CanI(ctx, asked[i])
			permissions[i].Allowed, permissions[i].Failure = allowed, failure.Of(err, failure.API)
		})
	}
	all.Wait()
	return permissions
}

// dryRuns asks what the API server makes of each patch. Nobody is asked who lacks the right to patch, which has a line of its own.
func (c *Checker) dryRuns(ctx context.Context, patches []tick.Patch, permissions []preflight.Permission) []preflight.DryRun {
	all := make([]preflight.DryRun, len(patches))
	var group sync.WaitGroup
	for i, patch := range patches {
		all[i] = preflight.DryRun{Workload: patch.Ref.String(), Due: patch.Due}
		all[i].Forbidden = slices.ContainsFunc(permissions, func(p preflight.Permission) bool {
			return p.What == all[i].Workload && p.Verb == "patch" && !p.Allowed
		})
		if all[i].Forbidden {
			continue
		}
		group.Go(func() {
			object, err := c.Cluster.DryRun(ctx, patch.Ref, patch.Change)
			if err == nil {
				all[i].Failure = patch.Change.Lost(object)
				return
			}
			all[i].Failure, all[i].Unknown = failure.Of(err, failure.API), errors.Is(err, cluster.ErrNoDryRun)
		})
	}
	group.Wait()
	return all
}

// schedules reads the CronJobs that run this program, and what a tick of theirs may take.
func (c *Checker) schedules(ctx context.Context) ([]preflight.Schedule, *failure.Error) {
	found, err := c.Cluster.Schedules(ctx, c.Tick.Namespace)
	if err != nil {
		return nil, failure.Of(err, failure.API)
	}
	var schedules []preflight.Schedule
	for _, one := range found {
		if !one.Charts {
			continue
		}
		timeout := time.Duration(c.Tick.Config.RolloutTimeout)
		if own, err := time.ParseDuration(one.RolloutTimeout); err == nil {
			timeout = own
		}
		schedules = append(schedules, preflight.Schedule{
			Name: one.Name, Suspended: one.Suspended, Deadline: one.Deadline, Longest: tick.Longest(timeout),
		})
	}
	return schedules, nil
}

// protections are those that the chart can install around the CronJobs that are there.
func (c *Checker) protections(ctx context.Context) []preflight.Protection {
	admission := preflight.Protection{Value: "admissionPolicy", Without: "whoever has the token of the ticks' service account may change everything in the workloads that they patch"}
	network := preflight.Protection{Value: "networkPolicy", Without: "the ticks' pods may connect to anything, and anything to them"}
	admission.On, admission.Failure = c.Cluster.AdmissionPolicy(ctx, c.Tick.Namespace)
	network.On, network.Failure = c.Cluster.NetworkPolicy(ctx, c.Tick.Namespace)
	return []preflight.Protection{admission, network}
}

// unfollowed are the tags that float in the targets' namespaces and that no target follows. Where workloads may not be listed,
// as in the chart's own pods, it is not known.
func (c *Checker) unfollowed(ctx context.Context, preview tick.Preview) []preflight.Unfollowed {
	followed := map[string]bool{}
	namespaces := map[string]bool{}
	for _, binding := range preview.Bindings {
		namespaces[binding.Ref.Namespace] = true
		if !binding.InImageMode() {
			continue
		}
		for _, slot := range binding.Slots {
			followed[binding.Ref.String()+", container "+slot.Container] = true
		}
	}
	all := make([]preflight.Unfollowed, len(namespaces))
	var group sync.WaitGroup
	for i, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		group.Go(func() {
			objects, _ := c.Cluster.List(ctx, namespace, "") // of the kinds that may be listed
			all[i].Namespace = namespace
			for _, object := range objects {
				for container, ref := range proposal.Floating(object, string(c.Tick.Config.AnnotationPrefix)) {
					if name := object.Ref.String() + ", container " + container; !followed[name] {
						all[i].Tags = append(all[i].Tags, name+": "+ref.String())
					}
				}
			}
			slices.Sort(all[i].Tags)
		})
	}
	group.Wait()
	return all
}

// images joins what was asked with what was answered, and asks as pods would where they do not name the pull
// secrets that the target names in their place.
func (c *Checker) images(ctx context.Context, preview tick.Preview) []preflight.Image {
	if len(preview.Answers) == 0 {
		return nil
	}
	var images []preflight.Image
	for i, query := range preview.Queries {
		images = append(images, preflight.Image{Name: query.Image.String(), Answer: preview.Answers[i]})
	}
	var asPods []resolver.Query
	var of []tick.BindingPreview
	for _, binding := range preview.Bindings {
		if len(binding.Target.PullSecrets) == 0 || binding.Query < 0 || preview.Answers[binding.Query].Failure != nil ||
			!binding.InImageMode() || !c.Tick.KnowsSecrets(binding.Ref.Namespace) {
			continue
		}
		if len(binding.AsPods) == 0 && slices.ContainsFunc(c.Registry.Report(), usesDockerConfig) {
			continue // pods do not have it, and nothing can be asked without
		}
		asPods = append(asPods, resolver.Query{Image: preview.Queries[binding.Query].Image, PullSecrets: binding.AsPods})
		of = append(of, binding)
	}
	if len(asPods) == 0 {
		return images
	}
	for i, answer := range c.Registry.Resolve(ctx, asPods) {
		if failed := answer.Failure; failed != nil && isRefusal(failed.Cause) {
			images[of[i].Query].Pods, images[of[i].Query].PodsOf = failed, of[i].Ref.String()
		}
	}
	return images
}

func usesDockerConfig(registry resolver.HostReport) bool {
	return slices.ContainsFunc(registry.Proofs, func(p resolver.Proof) bool { return p.Source.Name == "" })
}

func isRefusal(cause failure.Cause) bool {
	return slices.Contains([]failure.Cause{failure.Unauthorized, failure.Forbidden, failure.NotFound, failure.CredentialMissing}, cause)
}

// slots says what a tick would make of every slot.
func slots(preview tick.Preview) []preflight.Slot {
	var slots []preflight.Slot
	for _, binding := range preview.Bindings {
		slot := preflight.Slot{
			Target: binding.Target.Name, Workload: binding.Ref.String(), Place: binding.Place,
			Undecided: binding.Unsolved, Outcome: binding.Outcome, Failure: binding.Failure, Message: binding.Message, Gone: binding.Gone,
			Doubts: binding.Doubts,
		}
		if binding.Object != nil {
			slot.Controller = binding.Object.Controller()
		}
		for _, found := range binding.Slots {
			slot.Conflicts = append(slot.Conflicts, conflicts(binding.Object, found)...)
		}
		slots = append(slots, slot)
	}
	return slots
}

func conflicts(object *workload.Object, slot workload.Slot) []preflight.Conflict {
	var found []preflight.Conflict
	for _, taken := range object.TakenFrom(slot) {
		found = append(found, preflight.Conflict{
			Field: slot.Key(), Deployer: failure.Clean(taken.Applier), Owner: failure.Clean(taken.Owner),
		})
	}
	return found
}
