package harness

import (
	"os"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/product"
)

// WithoutPlan has no plan made before the ticks of this scenario, for a test in which a plan changes what the tick meets: a
// pull fewer is left, a digest is older.
func (s *Scenario) WithoutPlan() { s.withoutPlan = true }

// plansFirst tells whether a plan before the tick disturbs nothing: a fault may be meant for a certain request, and a hook has
// happened once it was called.
func (s *Scenario) plansFirst() bool {
	return os.Getenv("PLAN_FIRST") == "1" && !s.withoutPlan &&
		s.API.Faults.Empty() && s.Site.Front.Faults.Empty() && s.Site.Proxy.Faults.Empty()
}

// planFirst makes a plan that leaves no trace in what is recorded.
func (s *Scenario) planFirst() (plan *product.Result) {
	s.t.Helper()
	s.API.Aside(func() {
		s.Site.Front.Aside(func() {
			s.Site.Proxy.Aside(func() { plan = s.Run("plan") })
		})
	})
	return plan
}

// compare asserts that a tick has decided what the plan said: for each target the same digest, cause and count; for each slot
// the same outcome, but for how a rollout ends, which no plan can know.
func (s *Scenario) compare(plan, run *product.Result) {
	s.t.Helper()
	if plan.Report == nil || run.Report == nil {
		assert.Equal(s.t, plan.ExitCode, run.ExitCode, "the plan of this tick")
		return
	}
	for _, planned := range plan.Report.Targets {
		done := run.Report.Target(planned.Name)
		assert.Equal(s.t, planned.Digest, done.Digest, "the plan's digest for %s", planned.Name)
		if !slices.ContainsFunc(done.Workloads, func(w product.Workload) bool { return w.Cause == "api" }) {
			assert.Equal(s.t, planned.Cause, done.Cause, "the plan's cause for %s", planned.Name)
			assert.Equal(s.t, planned.Failures, done.Failures, "the plan's count for %s", planned.Name)
		}
		for i, slot := range planned.Workloads {
			if i < len(done.Workloads) && !predicted(slot, done.Workloads[i]) {
				s.t.Errorf("%s: the plan said %+v, the tick %+v", planned.Name, slot, done.Workloads[i])
			}
		}
	}
}

// ends are the outcomes of what a plan calls pending or waiting: a rollout that is begun, or waited for.
var ends = map[string]string{
	"pending": "refreshed reapplied rolled-back waiting held failed",
	"waiting": "refreshed reapplied rolled-back waiting held failed unchanged",
}

func predicted(planned, done product.Workload) bool {
	if planned.Outcome == done.Outcome && planned.Cause == done.Cause {
		return true
	}
	if !slices.Contains(strings.Fields(ends[planned.Outcome]), done.Outcome) {
		return false
	}
	return done.Outcome != "failed" || slices.Contains([]string{"rollout-failed", "not-settled", "contested", "api"}, done.Cause)
}
