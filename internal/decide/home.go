package decide

import (
	"cmp"
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
					if home.Target == target && elsewhere != at {
						home.Moved = mostOf(home.Moved, found)
					}
				}
			}
		}
	}
	return homes
}

// mostOf are the higher one of two counts, the earlier moment since when a target fails, and what was told, by the first.
func mostOf(a, b annotate.TargetCounters) annotate.TargetCounters {
	since, told := a.FailingSince, cmp.Or(a.Told, b.Told)
	if since.IsZero() || !b.FailingSince.IsZero() && b.FailingSince.Before(since) {
		since = b.FailingSince
	}
	if b.Failures > a.Failures {
		a = b
	}
	a.FailingSince, a.Told = since, told
	return a
}

// counting are the targets whose counters a workload carries.
func (t *Tick) counting(targets []Target, annotations map[string]string) []int {
	var found []int
	for key, text := range annotations {
		if !t.Keys.Counts(key, text) {
			continue
		}
		target := slices.IndexFunc(targets, func(target Target) bool {
			return slices.Contains([]string{t.Keys.Failures(target.Name), t.Keys.LastError(target.Name), t.Keys.FailingSince(target.Name), t.Keys.State(target.Name)}, key)
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
			differ(change.Annotations, w.Object.Annotations, t.Keys.FailingSince(targets[target].Name), "")
			if !w.carries(target) {
				record, _ := t.Keys.Read(targets[target].Name, nil, w.Object.Annotations)
				differ(change.Annotations, w.Object.Annotations, t.Keys.State(targets[target].Name), record.State.WithoutTold().String())
			}
		}
	}
}
