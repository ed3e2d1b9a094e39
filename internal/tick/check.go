package tick

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/preflight"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Check finds out everything that could make a tick fail, before it does. It reads, resolves and decides as a
// tick does, asks besides what a tick finds out only when it acts, and writes nothing.
func (r *Runner) Check(ctx context.Context) result.Report {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	t := r.newTick(true)
	t.checks = true
	facts := preflight.Facts{Source: string(r.Config.ConfigFile), Targets: len(r.Config.Targets), Warnings: r.Config.Warnings()}
	t.layOut()
	var aside sync.WaitGroup
	aside.Go(func() { facts.Rights = t.rights(ctx) })
	aside.Go(func() { facts.Schedules, facts.NoSchedules = t.schedules(ctx) })
	t.read(ctx)
	facts.Warnings = append(facts.Warnings, t.floating()...)
	queries := append(t.queries(), t.unplaced()...)
	answers := t.Registry.Resolve(ctx, queries)
	t.assign(queries, answers)
	facts.Images = t.images(ctx, queries, answers)
	facts.Registries = t.Registry.Report()
	if !t.interrupted(ctx) {
		t.decide(ctx)
		facts.Slots = t.slots()
	}
	aside.Wait()
	facts.Interrupted = t.interrupted(ctx)
	report := result.New(version.Version(), "check", t.Started)
	report.Checks = preflight.Lines(facts)
	if slices.ContainsFunc(report.Checks, func(c result.Check) bool { return c.Status == result.Wrong }) {
		report.ExitCode = result.ExitOperator
	}
	return t.finish(report)
}

// rights asks for every verb that a tick uses, side by side.
func (t *tick) rights(ctx context.Context) []preflight.Right {
	var rights []preflight.Right
	var accesses []cluster.Access
	add := func(what string, without string, access cluster.Access, isWorkload bool) {
		accesses = append(accesses, access)
		rights = append(rights, preflight.Right{What: what, Verb: access.Verb, Access: access.String(), Without: without, Workload: isWorkload})
	}
	var namespaces []string
	for _, j := range t.jobs {
		verbs := []string{"get", "list", "watch", "patch"}
		if j.ref.Kind == config.CronJob { // which has no rollout to follow
			verbs = []string{"get", "patch"}
		}
		for _, verb := range verbs {
			add(j.ref.String(), "", cluster.Access{
				Verb: verb, Group: j.ref.Group(), Resource: j.ref.Resource(), Namespace: j.ref.Namespace, Name: j.ref.Name,
			}, true)
		}
		if !slices.Contains(namespaces, j.ref.Namespace) {
			namespaces = append(namespaces, j.ref.Namespace)
		}
	}
	for _, namespace := range namespaces {
		add("Events in "+namespace, "", cluster.Access{Verb: "create", Group: "events.k8s.io", Resource: "events", Namespace: namespace}, false)
		add("Pods in "+namespace, "the message of a failed rollout lacks the pods' own reasons",
			cluster.Access{Verb: "list", Resource: "pods", Namespace: namespace}, false)
	}
	var all sync.WaitGroup
	for i := range accesses {
		all.Go(func() {
			allowed, err := t.Cluster.May(ctx, accesses[i])
			rights[i].Allowed, rights[i].Failure = allowed, fault.Of(err, fault.API)
		})
	}
	all.Wait()
	return rights
}

// schedules reads the CronJobs that run this program, and what a tick of theirs may take.
func (t *tick) schedules(ctx context.Context) ([]preflight.Schedule, *fault.Error) {
	found, err := t.Cluster.Schedules(ctx)
	if err != nil {
		return nil, fault.Of(err, fault.API)
	}
	var schedules []preflight.Schedule
	for _, one := range found {
		timeout := time.Duration(t.Config.RolloutTimeout)
		if own, err := time.ParseDuration(one.RolloutTimeout); err == nil {
			timeout = own
		}
		schedules = append(schedules, preflight.Schedule{
			Name: one.Name, Suspended: one.Suspended, Deadline: one.Deadline, Longest: 2*timeout + tickMargin,
		})
	}
	return schedules, nil
}

// unplaced are the images of targets none of whose workloads could be worked with: their registries are asked
// all the same.
func (t *tick) unplaced() []resolver.Query {
	var queries []resolver.Query
	for _, own := range t.targets {
		if own.Image == nil || own.asked() {
			continue
		}
		query := resolver.Query{Image: *own.Image}
		for _, name := range own.PullSecrets {
			query.PullSecrets = append(query.PullSecrets, own.home.secret(name))
		}
		queries = append(queries, query)
	}
	return queries
}

// images joins what was asked with what was answered, and asks as pods would where they do not name the pull
// secrets that the target names in their place.
func (t *tick) images(ctx context.Context, queries []resolver.Query, answers []resolver.Answer) []preflight.Image {
	var images []preflight.Image
	for i, query := range queries {
		images = append(images, preflight.Image{Name: query.Image.String(), Answer: answers[i]})
	}
	var asPods []resolver.Query
	var at []int
	var whose []*job
	for _, j := range t.jobs {
		for _, m := range j.members {
			if len(m.target.PullSecrets) == 0 || len(m.queries) == 0 || answers[m.queries[0]].Failure != nil || !m.hasImageSlot() || !t.mounted(j) {
				continue
			}
			query := resolver.Query{Image: queries[m.queries[0]].Image, PullSecrets: j.secretsOfPods()}
			if len(query.PullSecrets) == 0 && slices.ContainsFunc(t.Registry.Report(), usesDockerConfig) {
				continue // pods do not have it, and nothing can be asked without
			}
			asPods, at, whose = append(asPods, query), append(at, m.queries[0]), append(whose, j)
		}
	}
	if len(asPods) == 0 {
		return images
	}
	for i, answer := range t.Registry.Resolve(ctx, asPods) {
		if failure := answer.Failure; failure != nil && refusal(failure.Cause) {
			images[at[i]].Pods, images[at[i]].PodsOf = failure, whose[i].ref.String()
		}
	}
	return images
}

func usesDockerConfig(registry resolver.HostReport) bool {
	return slices.ContainsFunc(registry.Proofs, func(p resolver.Proof) bool { return p.Source.Name == "" })
}

func refusal(cause fault.Cause) bool {
	return slices.Contains([]fault.Cause{fault.Unauthorized, fault.Forbidden, fault.NotFound, fault.CredentialMissing}, cause)
}

func (m *member) hasImageSlot() bool {
	return slices.ContainsFunc(m.entries, func(entry config.Workload) bool { return entry.Env == "" })
}

// slots says what a tick would make of every slot.
func (t *tick) slots() []preflight.Slot {
	var slots []preflight.Slot
	for _, own := range t.targets {
		for _, m := range own.members {
			slot := preflight.Slot{
				Target: own.Name, Workload: m.job.ref.String(), Place: m.place(),
				Outcome: m.decision.Outcome, Failure: m.decision.Failure, Message: m.decision.Message,
			}
			switch {
			case m.job.failure != nil:
				slot.Failure = m.job.failure
			case m.latest.Failure != nil && slot.Failure == m.latest.Failure:
				slot.Undecided = true
			}
			if m.decision.Set != "" && !m.decision.Outcome.Loud() {
				slot.Outcome = decide.Pending
			}
			for at, found := range m.slots {
				if m.problems[at] == nil {
					slot.Conflicts = append(slot.Conflicts, conflicts(m.job.object, found)...)
				}
			}
			slots = append(slots, slot)
		}
	}
	return slots
}

// place names the slots of a member within its workload.
func (m *member) place() string {
	var places []string
	for at, entry := range m.entries {
		container := entry.Container
		if at < len(m.slots) && m.problems[at] == nil {
			container = m.slots[at].Container
		}
		places = append(places, strings.Trim(container+"/"+entry.Env, "/"))
	}
	return strings.Join(places, ", ")
}

func conflicts(object *workload.Object, slot workload.Slot) []preflight.Conflict {
	var found []preflight.Conflict
	for _, taken := range object.TakenFrom(slot) {
		found = append(found, preflight.Conflict{
			Field: slot.Key(), Deployer: fault.Clean(taken.Applier), Owner: fault.Clean(taken.Owner),
		})
	}
	return found
}
