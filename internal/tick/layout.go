package tick

import (
	"cmp"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// layout is the configuration by workload: which targets each carries.
type layout struct {
	targets   []config.Target
	rules     []decide.Target // by target, as far as the configuration says
	workloads []boundWorkload // in the configuration's order
	places    [][]place       // by target: its bindings
	slots     [][]slotPlace   // by target and entry
}

// boundWorkload is a workload and what the configuration binds to it.
type boundWorkload struct {
	ref      workload.Ref
	bindings []workload.Binding
	target   []int // by binding: which target it is
}

func newLayout(read config.Config, namespace string) layout {
	l := layout{targets: read.Targets, places: make([][]place, len(read.Targets)), slots: make([][]slotPlace, len(read.Targets))}
	known := map[workload.Ref]int{}
	keys := annotate.NewKeys(string(read.AnnotationPrefix))
	for target, configured := range read.Targets {
		l.rules = append(l.rules, decide.Target{Name: configured.Name, Threshold: configured.ResolveFailureThreshold, Policy: policy(read, configured)})
		for _, entry := range configured.Workloads {
			ref := workload.Ref{Kind: entry.Kind, Namespace: cmp.Or(entry.Namespace, namespace), Name: entry.Name}
			at, seen := known[ref]
			if !seen {
				at = len(l.workloads)
				known[ref] = at
				l.workloads = append(l.workloads, boundWorkload{ref: ref})
			}
			w := &l.workloads[at]
			if last := len(w.target) - 1; last < 0 || w.target[last] != target {
				l.places[target] = append(l.places[target], place{at, len(w.bindings)})
				w.target = append(w.target, target)
				w.bindings = append(w.bindings, workload.Binding{Target: configured, Mark: keys.Mark(configured.Name)})
			}
			binding := &w.bindings[len(w.bindings)-1]
			l.slots[target] = append(l.slots[target], slotPlace{place{at, len(w.bindings) - 1}, len(binding.Entries)})
			binding.Entries = append(binding.Entries, entry)
		}
	}
	return l
}

func policy(read config.Config, configured config.Target) decide.Policy {
	return decide.Policy{
		RolloutFailures: int(read.RolloutFailureThreshold),
		Unsettled:       int(read.UnsettledThreshold),
		Reapplications:  int(read.ContestedThreshold),
		Rollback:        bool(read.Rollback),
		StaleAfter:      configured.StaleAfter,
		MinAge:          configured.MinAge,
		Window:          configured.Window,
		Notify:          configured.Notify,
		PinAtOnce:       configured.PinAtOnce,
		Platforms:       len(configured.Platforms) > 0,
		Verify:          len(configured.Keys) > 0,
	}
}

// place says which binding of which workload.
type place struct{ workload, binding int }

// slotPlace says which slot of a binding.
type slotPlace struct {
	place
	slot int
}

// rolloutTimeout is how long one tick waits for rollouts.
func (r *Runner) rolloutTimeout() time.Duration { return time.Duration(r.Config.RolloutTimeout) }
