package tick

import (
	"fmt"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
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
	patched    bool             // this tick has put a digest into its slots
	rewound    bool             // an undo has rewound the annotations: its counters read as absent
	skipped    bool             // this tick has counted towards its skip streak
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

// locate finds the slots of every member in the object as it is now.
func (t *tick) locate(j *job) {
	type place struct {
		m  *member
		at int
	}
	claimed := map[string]place{}
	for _, m := range j.members {
		m.slots, m.problems = nil, nil
		for _, entry := range m.entries {
			slot, problem := j.object.Find(m.target.Target, entry)
			if problem == nil {
				if first, double := claimed[slot.Key()]; double { // neither is more right than the other
					problem = &fault.Error{Cause: fault.SlotInvalid, Message: fmt.Sprintf(
						"%s: target %s and target %s mean the same slot %s: a slot follows one target, once", j.ref, first.m.target.Name, m.target.Name, slot.Key())}
					first.m.problems[first.at] = problem
				} else {
					claimed[slot.Key()] = place{m, len(m.slots)}
				}
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
