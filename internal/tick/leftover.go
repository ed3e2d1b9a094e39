package tick

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Leftover says what stands on a workload and is not read, with the commands that move or remove it.
type Leftover struct {
	Ref     workload.Ref
	Message string
}

// maxLeftovers is how many keys one command names: whoever may write to the workload decides how many there are.
const maxLeftovers = 20

// leftovers are those of all workloads, a message each: the prefix has changed, or a target was renamed, or taken away.
func (t *tick) leftovers(readings []reading) []Leftover {
	configured := func(name string) bool {
		return slices.ContainsFunc(t.targets, func(target config.Target) bool { return target.Name == name })
	}
	var all []Leftover
	for at, w := range t.workloads {
		if readings[at].object == nil {
			continue
		}
		carries := func(name string) bool {
			return slices.ContainsFunc(w.bindings, func(binding workload.Binding) bool { return binding.Target.Name == name })
		}
		if left := readings[at].object.Leftovers(t.keys, carries, configured); !left.Empty() {
			all = append(all, Leftover{Ref: w.ref, Message: t.moves(w.ref, left)})
		}
	}
	return all
}

// moves names what is left, with the commands that move or remove it.
func (t *tick) moves(ref workload.Ref, left annotate.Leftovers) string {
	on := ref.Kubectl()
	hold := fmt.Sprintf("kubectl label --overwrite %s %s=true", on, t.keys.Hold())
	removed := func(keys []string) string {
		return strings.Join(keys[:min(len(keys), maxLeftovers)], "- ") + "-"
	}
	var told []string
	if len(left.Holds) > 0 {
		told = append(told, fmt.Sprintf("the label %s holds nothing, since the prefix is another one: to move it: %s %s", left.Holds[0], hold, removed(left.Holds)))
	}
	if len(left.ByHand) > 0 {
		told = append(told, fmt.Sprintf("what a person has chosen is held no longer, since %s is not read: to hold it, until the label is removed: %s", left.ByHand[0], hold))
	}
	var commands []string
	if len(left.Labels) > 0 {
		commands = append(commands, fmt.Sprintf("kubectl label %s %s", on, removed(left.Labels)))
	}
	if len(left.Annotations) > 0 {
		commands = append(commands, fmt.Sprintf("kubectl annotate %s %s", on, removed(left.Annotations)))
	}
	if len(commands) > 0 {
		told = append(told, "what another prefix has left, or a target that is not configured here, is not read; to remove it, unless another installation reads it: "+
			strings.Join(commands, " && "))
	}
	return strings.Join(told, "; ")
}
