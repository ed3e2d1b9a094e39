package decide

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Target is what a tick knows of a target.
type Target struct {
	Name      string
	Policy    Policy
	Threshold int            // of failures in a row, at least 1
	Asked     bool           // its image was asked for; it is not where none of its workloads could be worked with
	Digest    image.Digest   // latest, where all credentials agree
	Failure   *failure.Error // why it is not resolved, or why a gate said no
	Failures  Count          // in a row, with this tick
	Stale     *failure.Error // latest has not changed for longer than the target says
}

// failuresInARow is the target's failures in a row with this tick.
func (t Target) failuresInARow(began, stored int) Count {
	switch {
	case t.Failure != nil:
		return Increment(began, stored, t.Threshold).AtMostThreshold()
	case t.Asked:
		return Count{Of: t.Threshold}
	default: // nothing has shown that the streak is over
		return Count{N: stored, Of: t.Threshold}.AtMostThreshold()
	}
}

// NeedsAttention says whether an operator must look because of a target: one of its workloads says so, or it could not be
// resolved for too long and not every workload is held by a person anyway.
func NeedsAttention(failures Count, outcomes []Outcome) bool {
	return slices.ContainsFunc(outcomes, Outcome.NeedsAttention) ||
		failures.Reached() && slices.ContainsFunc(outcomes, func(o Outcome) bool { return o != Held })
}

// Agree joins what the registries answered for each of a target's workloads, where several credentials or references may
// have been asked with: a target is resolved only when every credential that its workloads use resolves it, to one digest
// (I42). Workloads whose own credential works go on all the same. oneImage says that the target itself names the image, so
// that all workloads must see one digest.
func Agree(target Target, oneImage bool, answers [][]Latest) (Target, []Latest) {
	each := make([]Latest, len(answers))
	var failures []*failure.Error
	var digests []image.Digest
	for at, answered := range answers {
		var own []*failure.Error
		var found []image.Digest
		for _, answer := range answered {
			target.Asked = true
			if answer.Failure != nil {
				own = append(own, answer.Failure)
			} else if !slices.Contains(found, answer.Digest) {
				found = append(found, answer.Digest)
			}
		}
		if len(found) > 1 {
			own = append(own, disagreement(target.Name, found))
		}
		if each[at].Failure = failure.Worst(own...); each[at].Failure == nil && len(found) == 1 {
			each[at].Digest = found[0]
		}
		failures = append(failures, own...)
		for _, digest := range found {
			if !slices.Contains(digests, digest) {
				digests = append(digests, digest)
			}
		}
	}
	target.Failure = failure.Worst(failures...)
	if target.Failure == nil && oneImage && len(digests) > 1 {
		target.Failure = disagreement(target.Name, digests)
	}
	if target.Failure == nil && len(digests) == 1 {
		target.Digest = digests[0]
	}
	return target, each
}

func disagreement(name string, digests []image.Digest) *failure.Error {
	var texts []string
	for _, digest := range digests {
		texts = append(texts, digest.Short())
	}
	return &failure.Error{
		Cause: failure.BadResponse, Message: fmt.Sprintf("target %s resolves to %v, depending on the credential", name, texts),
		Fix: "find out which registry or mirror serves another image under the tag",
	}
}

// Plan decides for all workloads that could be read, and returns the targets with what the gates said, and with their
// failures in a row. A workload that could not be read is nil, and so is its step.
func (t Tick) Plan(targets []Target, workloads []*Workload) ([]Target, []*Step) {
	targets = slices.Clone(targets)
	verdicts := make([]*verdict, len(workloads))
	refused, allowed := map[int]*failure.Error{}, map[int]bool{} // by target
	for at, w := range workloads {
		if w == nil {
			continue
		}
		v := t.decide(*w, targets)
		verdicts[at] = &v
		for i, d := range v.decisions {
			index := w.Bindings[i].Target
			target := &targets[index]
			if d.Gated != nil {
				target.Failure = failure.Worst(target.Failure, d.Gated)
			}
			state := d.Record.State
			if noted := state.Refused; target.Policy.refused(noted, target.Digest) && state.RejectedBy(target.Digest) != annotate.ByPerson {
				refused[index] = refusedBefore(*noted)
			}
			allowed[index] = allowed[index] || d.allowsLatest()
		}
	}
	for at := range targets {
		targets[at].Failures = targets[at].failuresInARow(0, 0) // where the counters could not be read
	}
	for at, w := range workloads {
		if w == nil {
			continue
		}
		for i, home := range w.Homes {
			target := &targets[home.Target]
			if target.Failure == nil && verdicts[at].began.Failures[i] > 0 && !allowed[home.Target] {
				target.Failure = refused[home.Target]
			}
			target.Failures = target.failuresInARow(verdicts[at].began.Failures[i], verdicts[at].now.Failures[i])
		}
	}
	t.findStale(targets, workloads, verdicts)
	turns := t.turns(verdicts)
	steps := make([]*Step, len(workloads))
	for at, w := range workloads {
		if w != nil {
			step := t.step(*w, targets, *verdicts[at], turns[at])
			steps[at] = &step
		}
	}
	return targets, steps
}

// findStale finds the targets whose latest was seen first, on any of their workloads, longer ago than they allow: a mirror or
// a registry that is frozen looks like one where nothing happens.
func (t *Tick) findStale(targets []Target, workloads []*Workload, verdicts []*verdict) {
	for at, w := range workloads {
		if w == nil {
			continue
		}
		for i, binding := range w.Bindings {
			target, seen := &targets[binding.Target], verdicts[at].now.Records[i].State.Seen
			after := target.Policy.StaleAfter
			if after > 0 && seen != nil && seen.Digest == binding.Latest.Digest && t.Now.Sub(seen.Since) > after && target.Stale == nil {
				target.Stale = &failure.Error{
					Cause: failure.Stale, Message: fmt.Sprintf("the tag of target %s has stood for %s since %s, for longer than its staleAfter of %s",
						target.Name, seen.Digest.Short(), seen.Since.UTC().Format(time.RFC3339), after),
					Fix: "find out whether it should have moved; if so, see to the pipeline that publishes it, the registry, and a mirror's sync",
				}
			}
		}
	}
}

// allowsLatest says that latest is fresh here, or that the gates have nothing against it.
func (d Decision) allowsLatest() bool {
	return d.Row == 8 || d.Row == 12 || d.Row == 11 && d.Outcome == Pending || d.Row == 3 && d.Rolls() && d.Gated == nil
}

// turns gives each workload that wants to roll a place among MAX_ROLLOUTS: who has waited longest for a turn goes first,
// whatever digest it waited for, and then the configuration's order counts (I57). One that wants to roll only later,
// because somebody changes it meanwhile, has a place if any is left.
func (t *Tick) turns(verdicts []*verdict) []bool {
	var waiting []int
	turns := make([]bool, len(verdicts))
	for at, v := range verdicts {
		if v != nil && v.rolls() {
			waiting = append(waiting, at)
		}
		turns[at] = true
	}
	if t.MaxRollouts == 0 || len(waiting) < t.MaxRollouts {
		return turns
	}
	slices.SortStableFunc(waiting, func(a, b int) int {
		first, second := verdicts[a].waitsSince(), verdicts[b].waitsSince()
		if first.IsZero() != second.IsZero() { // who has not waited yet comes last
			return cmp.Compare(second.Unix(), first.Unix())
		}
		return first.Compare(second)
	})
	for at := range turns {
		place := slices.Index(waiting, at)
		turns[at] = place >= 0 && place < t.MaxRollouts
	}
	return turns
}

// After is a workload as the tick after a first observation reads it; false where this step observes nothing for the first
// time. A plan tells of that tick too.
func (t Tick) After(w Workload, targets []Target, step Step) (Workload, bool) {
	if !slices.ContainsFunc(step.Decisions, func(d Decision) bool { return d.Outcome == Adopted }) || step.Rolls {
		return Workload{}, false
	}
	w.Object.Labels = overlaid(w.Object.Labels, step.Change.Labels)
	w.Object.Annotations = overlaid(w.Object.Annotations, step.Change.Annotations)
	w.Began = t.Remember(w, targets)
	return w, true
}

// overlaid are values with a change to them: an empty one removes.
func overlaid(values, change map[string]string) map[string]string {
	after := maps.Clone(change)
	for key, value := range values {
		if _, changed := change[key]; !changed {
			after[key] = value
		}
	}
	return after
}

// Pace is how many workloads are to be rolled, and in how many ticks: some now, and some only after the tick in which they are
// observed for the first time.
func (t Tick) Pace(now, later int) (rollouts, ticks int) {
	if now+later == 0 {
		return 0, 0
	}
	most := t.MaxRollouts
	if most == 0 {
		most = now + later
	}
	left := max(0, now-most) + later
	return now + later, 1 + (left+most-1)/most
}

// Again decides for one workload once more, after it has changed since it was read. turn is what it had before.
func (t Tick) Again(targets []Target, w Workload, turn bool) Step {
	return t.step(w, targets, t.decide(w, targets), turn)
}
