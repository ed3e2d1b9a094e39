package decide

import (
	"slices"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// Resident is a workload of the configuration, as far as the counters of targets are concerned.
type Resident struct {
	Exists              bool // also where it could not be read: what stands there is unknown then, and not absent (I16)
	Labels, Annotations map[string]string
}

// Home is where the counters of a target stand, and what they say where they stood elsewhere so far.
type Home struct {
	Target int
	Moved  annotate.TargetCounters
}

// Homes finds, for each workload, the targets whose counters stand there: a target's home is the first of its workloads that
// exists, or else the first workload of all that does. The order of the configuration may change, a workload may be added in
// front, and the home may vanish: the counters move. carried are each target's workloads, in the configuration's order.
func (t Tick) Homes(targets []Target, carried [][]int, residents []Resident) [][]Home {
	exists := func(at int) bool { return residents[at].Exists }
	anywhere := slices.IndexFunc(residents, func(r Resident) bool { return r.Exists })
	homes := make([][]Home, len(residents))
	for target := range targets {
		home := anywhere
		if own := slices.IndexFunc(carried[target], exists); own >= 0 {
			home = carried[target][own]
		}
		if home >= 0 {
			homes[home] = append(homes[home], Home{Target: target})
		}
	}
	for at, r := range residents {
		for _, target := range t.counting(targets, r.Annotations) {
			record, _ := t.Keys.Read(targets[target].Name, r.Labels, r.Annotations)
			if record.Torn() { // an undo has brought back what has moved long ago (I44)
				continue
			}
			found, _ := t.Keys.ReadCounters(targets[target].Name, r.Annotations)
			for elsewhere := range homes {
				for i := range homes[elsewhere] {
					home := &homes[elsewhere][i]
					if home.Target == target && elsewhere != at && found.Failures > home.Moved.Failures {
						home.Moved = found
					}
				}
			}
		}
	}
	return homes
}

// counting are the targets whose counters a workload carries.
func (t *Tick) counting(targets []Target, annotations map[string]string) []int {
	var found []int
	for key := range annotations {
		if !t.Keys.Counts(key) {
			continue
		}
		target := slices.IndexFunc(targets, func(target Target) bool {
			return key == t.Keys.Failures(target.Name) || key == t.Keys.LastError(target.Name)
		})
		if target >= 0 && !slices.Contains(found, target) {
			found = append(found, target)
		}
	}
	return found
}

// leaveHome takes away the counters of targets whose home is another workload.
func (t *Tick) leaveHome(change *Change, w Workload, targets []Target) {
	for _, target := range t.counting(targets, w.Object.Annotations) {
		if !slices.ContainsFunc(w.Homes, func(h Home) bool { return h.Target == target }) {
			differ(change.Annotations, w.Object.Annotations, t.Keys.Failures(targets[target].Name), "")
			differ(change.Annotations, w.Object.Annotations, t.Keys.LastError(targets[target].Name), "")
		}
	}
}
