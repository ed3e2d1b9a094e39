package tick

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// target is a configured target and what this tick learns of it.
type target struct {
	config.Target
	home    *job // the first workload: the target's counters stand there
	members []*member
	policy  decide.Policy

	digest   image.Digest // latest, where all credentials agree
	failure  *fault.Error // why it is not resolved, or why a gate said no
	failures int          // in a row, this tick's counted, as every decision sees it
	written  int          // the same as its first workload was found to hold when it was written
}

// job is one workload and all that this tick does to it.
type job struct {
	ref     workload.Ref
	members []*member
	homes   []*target // targets whose counters stand here

	object     *workload.Object // as last read or written
	account    []string         // the pull secrets of its service account, where they count
	failure    *fault.Error     // why the workload could not be read or written
	stale      time.Time        // the controller's report of failure is about an older rollout up to here
	restrained bool             // MAX_ROLLOUTS leaves it no place
	served     *int             // replicas that were available before this tick's patch; nil where it made none
	skip       int              // the skip streak as read
}

// member is one target on one workload: the unit of decision.
type member struct {
	target  *target
	job     *job
	entries []config.Workload

	slots    []workload.Slot // by entry; meaningless where problem is set
	problems []*fault.Error  // by entry
	queries  []int           // indices of the tick's queries
	first    annotate.Record // as read before the tag was resolved
	latest   decide.Latest
	via      resolver.Query // for Inspect
	input    decide.Input
	decision decide.Decision
}

// layOut groups the configuration by workload.
func (t *tick) layOut() {
	byRef := map[workload.Ref]*job{}
	for _, configured := range t.Config.Targets {
		own := &target{Target: configured, policy: t.policy(configured)}
		t.targets = append(t.targets, own)
		members := map[*job]*member{}
		for _, entry := range configured.Workloads {
			ref := workload.Ref{Kind: entry.Kind, Namespace: entry.Namespace, Name: entry.Name}
			if ref.Namespace == "" {
				ref.Namespace = t.Namespace
			}
			j := byRef[ref]
			if j == nil {
				j = &job{ref: ref}
				byRef[ref] = j
				t.jobs = append(t.jobs, j)
			}
			if own.home == nil {
				own.home = j
				j.homes = append(j.homes, own)
			}
			m := members[j]
			if m == nil {
				m = &member{target: own, job: j}
				members[j] = m
				own.members = append(own.members, m)
				j.members = append(j.members, m)
			}
			m.entries = append(m.entries, entry)
		}
	}
}

func (t *tick) policy(configured config.Target) decide.Policy {
	return decide.Policy{
		ResolveFailures: configured.ResolveFailureThreshold,
		RolloutFailures: int(t.Config.RolloutFailureThreshold),
		Unsettled:       int(t.Config.UnsettledThreshold),
		Reapplications:  int(t.Config.ContestedThreshold),
		Rollback:        bool(t.Config.Rollback),
		MinAge:          configured.MinAge,
		Notify:          configured.Notify,
	}
}

// lagPatience is how long a workload may look unsettled only because its controller has yet to observe an
// annotation write (FACTS.md).
const lagPatience = 4 * time.Second

// read reads every workload once, side by side.
func (t *tick) read(ctx context.Context) {
	var all sync.WaitGroup
	for _, j := range t.jobs {
		all.Go(func() {
			if t.readJob(ctx, j); j.failure == nil {
				t.readAccount(ctx, j)
			}
		})
	}
	all.Wait()
	for _, j := range t.jobs {
		if j.failure == nil {
			t.locate(j)
			t.warnOfGarbage(ctx, j)
			for _, m := range j.members {
				m.first = t.recordOf(m)
			}
		}
	}
}

// warnOfGarbage says, once a tick, which of our labels and annotations do not parse. Each reads as absent.
func (t *tick) warnOfGarbage(ctx context.Context, j *job) {
	var warnings []error
	labels, annotations := j.object.Meta.Labels, j.object.Meta.Annotations
	for _, m := range j.members {
		_, found := t.keys.Read(m.target.Name, labels, annotations)
		warnings = append(warnings, found...)
	}
	for _, own := range j.homes {
		_, found := t.keys.ReadShared(own.Name, annotations)
		warnings = append(warnings, found...)
	}
	if _, err := annotate.ParseCount(annotations[t.keys.SkipStreak()]); err != nil {
		warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", t.keys.SkipStreak(), err))
	}
	for _, warning := range warnings {
		t.Log.WarnContext(ctx, warning.Error(), "workload", j.ref.String())
	}
}

func (t *tick) readJob(ctx context.Context, j *job) {
	object, err := t.newest(ctx, j.ref)
	if err != nil {
		j.failure = fault.Of(err, fault.API)
		return
	}
	j.object, j.failure = object, nil
}

// newest reads a workload, and gives its controller a moment to observe what was written to it last.
func (t *tick) newest(ctx context.Context, ref workload.Ref) (*workload.Object, error) {
	object, err := t.Cluster.Get(ctx, ref)
	if err != nil || !object.Lagging() {
		return object, err
	}
	patience, cancel := context.WithTimeout(ctx, lagPatience)
	defer cancel()
	return t.Cluster.Wait(patience, object, func(o *workload.Object) bool { return !o.Lagging() })
}

// readAccount reads the pull secrets of a workload's service account where they count: its pods name none, a
// target pulls with theirs, and secrets of the namespace are mounted at all, so that a name is of use.
func (t *tick) readAccount(ctx context.Context, j *job) {
	if len(j.object.Secrets()) > 0 || !slices.ContainsFunc(j.members, (*member).pullsAsPods) {
		return
	}
	if !t.mounted(j) {
		return
	}
	names, err := t.Cluster.PullSecrets(ctx, j.ref.Namespace, j.object.ServiceAccount())
	if err != nil {
		t.Log.WarnContext(ctx, "the pull secrets of a service account are unknown", "workload", j.ref.String(), "error", fault.Clean(err.Error()))
		return
	}
	j.account = names
}

// mounted says whether secrets of the workload's namespace are mounted here at all.
func (t *tick) mounted(j *job) bool {
	_, err := os.Stat(filepath.Join(string(t.Config.PullSecretsDir), j.ref.Namespace))
	return err == nil
}

// pullsAsPods says whether the target is resolved with what the workload's pods pull with.
func (m *member) pullsAsPods() bool {
	return len(m.target.PullSecrets) == 0 && slices.ContainsFunc(m.entries, func(entry config.Workload) bool { return entry.Env == "" })
}

// locate finds the slots of every member in the object as it is now.
func (t *tick) locate(j *job) {
	claimed := map[string]string{}
	for _, m := range j.members {
		m.slots, m.problems = nil, nil
		for _, entry := range m.entries {
			slot, problem := j.object.Find(m.target.Target, entry)
			if problem == nil {
				who := "target " + m.target.Name
				if first, double := claimed[slot.Key()]; double {
					problem = &fault.Error{Cause: fault.SlotInvalid, Message: fmt.Sprintf(
						"%s: %s and %s mean the same slot %s: a slot follows one target, once", j.ref, first, who, slot.Key())}
				}
				claimed[slot.Key()] = who
			}
			if problem == nil && len(m.slots) > 0 && m.problems[0] == nil && slot.Follows.String() != m.slots[0].Follows.String() {
				problem = &fault.Error{Cause: fault.SlotMismatch, Message: fmt.Sprintf(
					"%s: target %s follows %s in one container and %s in another: give each a target of its own", j.ref, m.target.Name, m.slots[0].Follows, slot.Follows)}
			}
			m.slots = append(m.slots, slot)
			m.problems = append(m.problems, problem)
		}
	}
}

// secrets are the pull secrets that a slot's pods use: the target's own, or those that the workload names; in
// env mode the target's alone, because the pods of the workload do not pull the image.
func (m *member) secrets(entry config.Workload) []credential.Name {
	if len(m.target.PullSecrets) == 0 && entry.Env == "" {
		return m.job.secretsOfPods()
	}
	var secrets []credential.Name
	for _, name := range m.target.PullSecrets {
		secrets = append(secrets, m.job.secret(name))
	}
	return secrets
}

// secretsOfPods are the pull secrets that the workload names or, where it names none, its service account.
func (j *job) secretsOfPods() []credential.Name {
	names := j.object.Secrets()
	if len(names) == 0 {
		names = j.account
	}
	var secrets []credential.Name
	for _, name := range names {
		secrets = append(secrets, j.secret(name))
	}
	return secrets
}

// secret is a pull secret where the workload's pods would look for it.
func (j *job) secret(name string) credential.Name {
	return credential.Name{Namespace: j.ref.Namespace, Name: name}
}

// resolve asks for every distinct pair of image and credentials once, and gives each member its answer.
func (t *tick) resolve(ctx context.Context) {
	queries := t.queries()
	if len(queries) == 0 || ctx.Err() != nil {
		return
	}
	answers := t.Registry.Resolve(ctx, queries)
	for _, answer := range answers {
		for _, warning := range answer.Warnings {
			t.Log.WarnContext(ctx, warning.Advice(), "cause", string(warning.Cause))
		}
	}
	t.assign(queries, answers)
}

// queries are the distinct pairs of image and credentials, and tell each member which are its own.
func (t *tick) queries() []resolver.Query {
	var queries []resolver.Query
	index := map[string]int{}
	for _, j := range t.jobs {
		for _, m := range j.members {
			for i, entry := range m.entries {
				if j.failure != nil || m.problems[i] != nil {
					continue
				}
				query := resolver.Query{Image: m.slots[i].Follows, PullSecrets: m.secrets(entry)}
				key := fmt.Sprint(query.Image.String(), query.PullSecrets)
				at, known := index[key]
				if !known {
					at = len(queries)
					index[key] = at
					queries = append(queries, query)
				}
				if !slices.Contains(m.queries, at) {
					m.queries = append(m.queries, at)
				}
			}
		}
	}
	return queries
}

// assign gives every target its answers.
func (t *tick) assign(queries []resolver.Query, answers []resolver.Answer) {
	for _, own := range t.targets {
		own.settleOn(queries, answers)
	}
}

// settleOn joins the answers: a target is resolved only when every credential that its workloads use resolves
// it, to one digest (I42); workloads whose own credential works go on all the same.
func (own *target) settleOn(queries []resolver.Query, answers []resolver.Answer) {
	var failures []*fault.Error
	var digests []image.Digest
	for _, m := range own.members {
		var mine []*fault.Error
		var found []image.Digest
		for _, at := range m.queries {
			answer := answers[at]
			m.via = queries[at]
			if answer.Failure != nil {
				mine = append(mine, answer.Failure)
			} else if !slices.Contains(found, answer.Digest) {
				found = append(found, answer.Digest)
			}
		}
		if len(found) > 1 {
			mine = append(mine, disagreement(own.Name, found))
		}
		m.latest.Failure = fault.Worst(mine...)
		if m.latest.Failure == nil && len(found) == 1 {
			m.latest.Digest = found[0]
		}
		failures = append(failures, mine...)
		for _, digest := range found {
			if !slices.Contains(digests, digest) {
				digests = append(digests, digest)
			}
		}
	}
	own.failure = fault.Worst(failures...)
	if own.failure == nil && own.Image != nil && len(digests) > 1 {
		own.failure = disagreement(own.Name, digests)
	}
	if own.failure == nil && len(digests) == 1 {
		own.digest = digests[0]
	}
}

func disagreement(name string, digests []image.Digest) *fault.Error {
	var texts []string
	for _, digest := range digests {
		texts = append(texts, digest.Short())
	}
	return &fault.Error{Cause: fault.BadResponse, Message: fmt.Sprintf(
		"target %s resolves to %v, depending on the credential: one registry or mirror serves another image under the tag", name, texts)}
}

// floating says which containers name a tag that promises nothing, where the target follows the container. Of
// the configuration's own images the configuration warns.
func (t *tick) floating() []string {
	var warnings []string
	for _, j := range t.jobs {
		for _, m := range j.members {
			if m.target.Image == nil && len(m.slots) > 0 && m.problems[0] == nil && m.slots[0].Follows.Floating {
				warnings = append(warnings, fmt.Sprintf("target %s follows %s of %s: the tag latest promises nothing about what it will become; follow a tag of a release line, as in :1.2",
					m.target.Name, m.slots[0].Follows, j.ref))
			}
		}
	}
	return warnings
}

// recordOf reads a member's record from the object as it is now. What does not parse has been warned of.
func (t *tick) recordOf(m *member) annotate.Record {
	record, _ := t.keys.Read(m.target.Name, m.job.object.Meta.Labels, m.job.object.Meta.Annotations)
	return record
}
