package tick

import (
	"time"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// layout is the configuration by workload: which targets each carries.
type layout struct {
	targets   []config.Target
	rules     []decide.Target // by target, as far as the configuration says
	workloads []boundWorkload // in the configuration's order
}

// boundWorkload is a workload and what the configuration binds to it.
type boundWorkload struct {
	ref      workload.Ref
	bindings []workload.Binding
	target   []int // by binding: which target it is
	homes    []int // targets whose counters stand here: this is their first workload
}

func newLayout(read config.Config, namespace string) layout {
	l := layout{targets: read.Targets}
	known := map[workload.Ref]int{}
	for target, configured := range read.Targets {
		l.rules = append(l.rules, decide.Target{Name: configured.Name, Threshold: configured.ResolveFailureThreshold, Policy: policy(read, configured)})
		for i, entry := range configured.Workloads {
			ref := refOf(entry, namespace)
			at, seen := known[ref]
			if !seen {
				at = len(l.workloads)
				known[ref] = at
				l.workloads = append(l.workloads, boundWorkload{ref: ref})
			}
			w := &l.workloads[at]
			if i == 0 {
				w.homes = append(w.homes, target)
			}
			if last := len(w.target) - 1; last < 0 || w.target[last] != target {
				w.target = append(w.target, target)
				w.bindings = append(w.bindings, workload.Binding{Target: configured})
			}
			binding := &w.bindings[len(w.bindings)-1]
			binding.Entries = append(binding.Entries, entry)
		}
	}
	return l
}

func refOf(entry config.Workload, namespace string) workload.Ref {
	ref := workload.Ref{Kind: entry.Kind, Namespace: entry.Namespace, Name: entry.Name}
	if ref.Namespace == "" {
		ref.Namespace = namespace
	}
	return ref
}

func policy(read config.Config, configured config.Target) decide.Policy {
	return decide.Policy{
		RolloutFailures: int(read.RolloutFailureThreshold),
		Unsettled:       int(read.UnsettledThreshold),
		Reapplications:  int(read.ContestedThreshold),
		Rollback:        bool(read.Rollback),
		MinAge:          configured.MinAge,
		Notify:          configured.Notify,
	}
}

// bindingsOf are the places of a target's bindings: workload and binding, in the configuration's order.
func (l layout) bindingsOf(target int) []place {
	var places []place
	for at, w := range l.workloads {
		for i, own := range w.target {
			if own == target {
				places = append(places, place{at, i})
			}
		}
	}
	return places
}

// place says which binding of which workload.
type place struct{ workload, binding int }

// rolloutTimeout is how long one tick waits for rollouts.
func (r *Runner) rolloutTimeout() time.Duration { return time.Duration(r.Config.RolloutTimeout) }
