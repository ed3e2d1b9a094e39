package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// A workload's label says how its targets are, by the worst, in the patch that is made anyway or, where it is no longer true, in
// one of its own.
func TestTheLabelSaysHowTheTargetsAre(t *testing.T) {
	t.Parallel()
	fresh := input(latest(a))
	broken, notOurs := input(slots(problem(failure.SlotInvalid))), input(slots(problem(failure.SlotInvalid)), noRecord)
	elsewhere := func(w decide.Workload) decide.Workload { w.Homes = nil; return w }
	for name, c := range map[string]struct {
		w            decide.Workload
		stored, want string
		failures     int // of t0, before this tick
	}{
		"fine, and not yet said":                   {carrying(fresh), "", "", 0},
		"fine, with the first mark":                {carrying(input(noRecord)), "", "ok", 0},
		"fine again":                               {carrying(fresh), "failing", "ok", 0},
		"refreshed: said after the wait":           {carrying(input()), "failing", "failing", 0},
		"waits for another's rollout":              {carrying(input(unsettled, latest(a))), "", "waiting", 0},
		"held":                                     {carrying(input(held)), "ok", "held", 0},
		"rejected":                                 {carrying(input(failedB)), "ok", "rejected", 0},
		"failed":                                   {carrying(broken), "ok", "failing", 0},
		"failed, and carries no mark":              {carrying(notOurs), "", "", 0},
		"the worst counts":                         {carrying(fresh, input(failedB), input(unsettled)), "ok", "rejected", 0},
		"skipped: as it is":                        {carrying(input(unknown)), "waiting", "waiting", 0},
		"skipped, and another one fails":           {carrying(input(unknown), broken), "ok", "failing", 0},
		"skipped, and another is fine":             {carrying(input(unknown), fresh), "failing", "ok", 0},
		"the threshold is reached":                 {carrying(input(unknown)), "ok", "failing", 2},
		"reached, in another row":                  {carrying(input(unknown, ours(0), noReplica)), "ok", "failing", 2},
		"reached, in another row, not on its home": {elsewhere(carrying(input(unknown, ours(0), noReplica))), "ok", "waiting", 2},
		"reached, and held":                        {carrying(input(unknown, held)), "ok", "held", 2},
		"a newer release's state":                  {newer(carrying(broken)), "ok", "ok", 0},
	} {
		w := counting(c.w, 0, c.failures)
		w.Object.Labels[keys.Condition()] = c.stored
		of := targets(len(w.Bindings))
		for i, binding := range w.Bindings {
			of[i].Failure = binding.Latest.Failure
		}
		step := planned(t, begun(w), of)
		assert.Equal(t, c.want, written(w, step.Change).Object.Labels[keys.Condition()], name)
	}
}
