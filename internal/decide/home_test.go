package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
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
	const why = "dns: the name does not resolve"
	home, left := carrying(input(unknown)), counting(carrying(input(unknown)), 0, 2)
	left.Object.Annotations[keys.LastError("t0")] = why
	home.Homes, left.Homes = []decide.Home{{Target: 0, Moved: annotate.TargetCounters{Failures: 2, LastError: why}}}, nil
	home, left = begun(home), begun(left)
	for _, c := range []struct {
		failure     *failure.Error
		asked       bool
		count, want string
	}{
		{failing, true, "3/3 by us", "failed failures:t0=3 error:t0=proxy event:t0=ResolveFailing"},
		{nil, false, "2/3", "skipped failures:t0=2 error:t0=dns"},
		{nil, true, "0/3", "skipped"},
	} {
		of := targets(1)
		of[0].Failure, of[0].Asked = c.failure, c.asked
		planned, steps := rules.Plan(of, []*decide.Workload{&home, &left})
		assert.Equal(t, c.count, countOf(planned[0]))
		assert.Equal(t, c.want, told(*steps[0]))
		assert.Contains(t, told(*steps[1]), " failures:t0= error:t0=")
	}
}

// Where none of a target's own workloads exists, its counters stand where it has no slot.
func TestCountersStandWhereTheTargetHasNoSlot(t *testing.T) {
	t.Parallel()
	w := counting(carrying(input(unasked, latest(a))), 0, 0, 2)
	w.Homes = append(w.Homes, decide.Home{Target: 1})
	of := targets(2)
	of[0].Digest, of[1].Failure = digestA, failing
	assert.Equal(t, "unchanged failures:t1=3 error:t1=proxy event:t1=ResolveFailing", told(planned(t, begun(w), of)))
}
