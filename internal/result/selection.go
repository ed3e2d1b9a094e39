package result

import (
	"slices"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// KeepTargets leaves the targets of these names, and the exit code that is theirs. The numbers of rollouts and ticks stay
// those of all targets.
func (r *Report) KeepTargets(names []string) {
	other := func(t Target) bool { return !slices.Contains(names, t.Name) }
	interrupted := r.ExitCode != ExitFine && !slices.ContainsFunc(r.Targets, Target.failsTick)
	r.Targets = slices.DeleteFunc(r.Targets, other)
	if r.ExitCode == ExitOperator && !interrupted && !slices.ContainsFunc(r.Targets, Target.failsTick) {
		r.ExitCode = ExitFine
	}
}

// failsTick says whether an operator must look because of the target or of one of its workloads.
func (t Target) failsTick() bool {
	return t.Cause != failure.None && t.NeedsAttention() ||
		slices.ContainsFunc(t.Workloads, func(w Workload) bool { return w.Outcome.NeedsAttention() })
}

// Pending says whether the next ticks would change what a slot holds.
func (r Report) Pending() bool {
	if r.Rollouts != nil && *r.Rollouts > 0 {
		return true
	}
	return slices.ContainsFunc(r.Targets, func(t Target) bool {
		return slices.ContainsFunc(t.Workloads, func(w Workload) bool { return w.Outcome == decide.Pending })
	})
}

// KeepChanged leaves what the next tick would change, and what has failed. The summary stays that of all.
func (r *Report) KeepChanged() {
	r.summary = r.outcomeCounts()
	for i := range r.Targets {
		r.Targets[i].Workloads = slices.DeleteFunc(r.Targets[i].Workloads, func(w Workload) bool {
			return w.Cause == failure.None && !w.Outcome.NeedsAttention() && w.Outcome != decide.Pending && w.Outcome != decide.Adopted
		})
	}
	r.Targets = slices.DeleteFunc(r.Targets, func(t Target) bool { return t.Cause == failure.None && len(t.Workloads) == 0 })
}
