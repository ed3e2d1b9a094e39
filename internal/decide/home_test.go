package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
)

// resident is a workload with so many failures of the target t0; a negative number: it does not exist.
func resident(failures int) decide.Resident {
	return decide.Resident{Exists: failures >= 0, Annotations: map[string]string{
		keys.Failures("t0"): annotate.FormatCount(max(failures, 0)), keys.LastError("t0"): "", "other": "x",
	}}
}

// A target's home is the first of its workloads that exists, or else the first workload of all that does. What stands on
// others moves there.
func TestHomes(t *testing.T) {
	t.Parallel()
	undone := resident(3)
	undone.Labels = map[string]string{keys.Mark("t0"): a.Mark()}
	undone.Annotations[keys.Recorded("t0")] = string(digestB)
	leaving := resident(-1)
	leaving.Annotations[keys.Failures("t0")] = "2"
	for name, c := range map[string]struct {
		carried   []int // by t0; t1 is on the last one
		residents []decide.Resident
		home      int // -1: nowhere
		moved     int
	}{
		"the first":                        {[]int{0, 1}, []decide.Resident{resident(2), resident(0)}, 0, 0},
		"the first of the configuration's": {[]int{1, 0}, []decide.Resident{resident(2), resident(0)}, 1, 2},
		"the first is gone":                {[]int{0, 1}, []decide.Resident{resident(-1), resident(2)}, 1, 0},
		"the first is being deleted":       {[]int{0, 1}, []decide.Resident{leaving, resident(0)}, 1, 2},
		"it has come back":                 {[]int{0, 1}, []decide.Resident{resident(0), resident(2)}, 0, 2},
		"counters on both: both are known": {[]int{0, 1}, []decide.Resident{resident(1), resident(2)}, 0, 2},
		"of several, the most":             {[]int{2, 0, 1}, []decide.Resident{resident(1), resident(2), resident(0)}, 2, 2},
		"none of its own exists":           {[]int{0}, []decide.Resident{resident(-1), resident(0)}, 1, 0},
		"where it stood for want of one":   {[]int{0}, []decide.Resident{resident(0), resident(2)}, 0, 2},
		"nothing exists":                   {[]int{0, 1}, []decide.Resident{resident(-1), resident(-1)}, -1, 0},
		"an undo has brought it back, I44": {[]int{0, 1}, []decide.Resident{resident(1), undone}, 0, 0},
		"one that could not be read":       {[]int{0, 1}, []decide.Resident{{Exists: true}, resident(2)}, 0, 2},
	} {
		homes := rules.Homes(targets(2), [][]int{c.carried, {len(c.residents) - 1}}, c.residents)
		for at, here := range homes {
			for _, home := range here {
				if home.Target == 0 {
					assert.Equal(t, c.home, at, name)
					assert.Equal(t, c.moved, home.Moved.Failures, name)
				}
			}
			if at == c.home {
				assert.NotEmpty(t, here, name)
			}
		}
	}
}

// What has moved counts on where it is now, with its last error, and does not stay where it was.
func TestCountersMove(t *testing.T) {
	t.Parallel()
	home, left := carrying(input(unknown)), counting(carrying(input(unknown)), 0, 2)
	left.Object.Annotations[keys.LastError("t0")] = "dns: the name does not resolve"
	home.Homes, left.Homes = []decide.Home{{Target: 0, Moved: annotate.TargetCounters{Failures: 2, LastError: "dns: the name does not resolve"}}}, nil
	plan := func(target decide.Target) (decide.Target, []*decide.Step) {
		home, left := begun(home), begun(left)
		planned, steps := rules.Plan([]decide.Target{target}, []*decide.Workload{&home, &left})
		assert.Equal(t, map[string]string{keys.Failures("t0"): "", keys.LastError("t0"): ""}, steps[1].Change.Annotations)
		return planned[0], steps
	}
	of := targets(1)[0]
	of.Failure = failing
	planned, steps := plan(of)
	assert.Equal(t, 3, planned.Failures.N)
	assert.Equal(t, map[string]string{keys.Failures("t0"): "3", keys.LastError("t0"): "proxy: " + failing.Advice()}, steps[0].Change.Annotations)
	assert.Len(t, steps[0].Events, 1)

	of.Failure, of.Asked = nil, false
	planned, steps = plan(of)
	assert.Equal(t, 2, planned.Failures.N)
	assert.Equal(t, map[string]string{keys.Failures("t0"): "2", keys.LastError("t0"): "dns: the name does not resolve"}, steps[0].Change.Annotations)

	of.Asked = true
	planned, steps = plan(of)
	assert.Zero(t, planned.Failures.N)
	assert.Empty(t, steps[0].Change.Annotations)
}

// Where none of a target's own workloads exists, its counters stand where it has no slot.
func TestCountersStandWhereTheTargetHasNoSlot(t *testing.T) {
	t.Parallel()
	w := begun(counting(carrying(input(unasked, latest(digestA))), 0, 0, 2))
	w.Homes = append(w.Homes, decide.Home{Target: 1})
	w = begun(w)
	of := targets(2)
	of[0].Digest, of[1].Failure = digestA, failing
	step := planned(t, w, of)
	assert.Equal(t, "3", step.Change.Annotations[keys.Failures("t1")])
	assert.Equal(t, 1, step.Events[0].Target)
}
