package decide

import (
	"slices"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// conditionOf is what the label of a workload says of an outcome; empty where it stays as it is.
func conditionOf(outcome Outcome) annotate.Condition {
	switch outcome {
	case Unchanged, Adopted, Refreshed, Reapplied:
		return annotate.OK
	case Held:
		return annotate.Held
	case Deferred, Waiting, Pending:
		return annotate.Waiting
	case Rejected, RolledBack:
		return annotate.Rejected
	case Skipped:
		return ""
	case Failed:
		return annotate.Failing
	}
	return annotate.Failing
}

// putCondition puts into a change the label that says how the targets on a workload are: the worst of those that carry a mark
// there. A target that has failed itself is failing on its home. That a workload is fine is no reason to write to one that has
// no such label yet.
func (t *Tick) putCondition(change *Change, w Workload, targets []Target, step Step) {
	if w.Object.Newer != nil {
		return
	}
	var all []annotate.Condition
	for at, d := range step.Decisions {
		condition, target := conditionOf(d.Outcome), w.Bindings[at].Target
		here := slices.ContainsFunc(w.Homes, func(h Home) bool { return h.Target == target })
		if here && condition != annotate.Held && (step.failuresOf(target, targets).Reached() || targets[target].Stale != nil) {
			condition = annotate.Failing
		}
		if d.Record.Mark != annotate.None {
			all = append(all, condition)
		}
	}
	worst, stored := annotate.WorstCondition(all), w.Object.Labels[t.Keys.Condition()]
	if worst == "" || worst == annotate.OK && stored == "" && change.Empty() {
		return
	}
	differ(change.Labels, w.Object.Labels, t.Keys.Condition(), string(worst))
}
