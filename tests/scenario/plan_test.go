package scenario_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// plan decides the same as run and writes nothing, not even what a run would count.
func TestPlanWritesNothing(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, image("second"))
	s.Forget()
	assert.Contains(t, requireOutcome(t, s.Run("plan"), 0, "pending", "").Message, second[:19])
	s.Site.Proxy.Refuse("ghcr.io", 403)
	for range 4 {
		result := s.Run("plan")
		requireOutcome(t, result, 0, "skipped", "proxy")
		assert.Equal(t, 1, result.Report.Target("ingestor").Failures)
	}
	assert.Empty(t, s.API.Writes())
	assert.Empty(t, s.Events())
	assert.Equal(t, first, live(s))
}

// In values and patches stands what is known to be good: not what a person has taken out, nor what a gate refuses.
func TestAPlanCommitsNoDigestThatARunWouldNotSet(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Configure(strings.Replace(ingestorConfig, "env: "+slot, "env: "+slot+", helmValue: api.digest", 1))
	requireValues := func(digest string) {
		_, text, _ := strings.Cut(s.Run("plan", "-o", "values").Stdout, "\n")
		assert.Equal(t, "api:\n  digest: "+digest+"\n", text)
	}
	requireValues(first)
	requireValues(s.Push(ingestor, image("second")))
	s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true")
	requireValues(first)
	s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold-")
	s.Push(ingestor, registries.Index("third", "linux/arm64")) // lacks a platform
	requireValues(first)
	s.Site.Proxy.Refuse("ghcr.io", 403)
	requireValues(first)
	s.Kubectl("set", "env", "deployment/jobs", slot+"=")
	s.Kubectl("annotate", "deployment", "jobs", recorded+"-")
	assert.Regexp(t, `\n{}\n$`, s.Run("plan", "-o", "values").Stdout, "nothing is known")

	wrong := s.Run("run", "-o", "values")
	harness.RequireExit(t, 2, wrong)
	assert.Empty(t, wrong.Stdout, "there is nothing to commit in a run")
}

// One value cannot hold two digests: where a person holds one of two workloads, it is left out and said, and so is all
// where nothing could be planned.
func TestAPlanLeavesOutAValueThatWorkloadsDisputeAndPrintsNothingWhereItKnowsNothing(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	container := workloads.Container("api", ingestor+"@"+s.Push(ingestor, image("first")))
	s.Deploy(workloads.Deployment("one", container), workloads.Deployment("two", container))
	entries := entry("Deployment", "one", "", "helmValue: d") + entry("Deployment", "two", "", "helmValue: d")
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
	harness.RequireExit(t, 0, s.Tick())
	s.Push(ingestor, image("second"))
	s.Kubectl("label", "deployment", "two", "tracebloc.io/refresh-hold=true")
	disputed := s.Run("plan", "-o", "values")
	harness.RequireExit(t, 0, disputed)
	assert.NotContains(t, disputed.Stdout, "sha256:")
	assert.Contains(t, disputed.Stderr, "the value d, whose workloads want different digests")
	for _, output := range []string{"values", "patch"} {
		nowhere := s.Run("plan", "-o", output, "--context", "absent")
		harness.RequireExit(t, 1, nowhere)
		assert.Empty(t, nowhere.Stdout)
	}
}

// For what is held or rejected, the message has since when, by whom, and the command that releases it; each command
// does so when it is run as it is printed.
func TestTheCommandThatReleasesIsPrintedAndWorks(t *testing.T) {
	t.Parallel()
	type held = func(t *testing.T) *harness.Scenario
	by := func(command ...string) held {
		return func(t *testing.T) *harness.Scenario {
			t.Helper()
			s, _ := adopted(t)
			s.Push(ingestor, image("second"))
			s.Kubectl(command...)
			return s
		}
	}
	for name, c := range map[string]struct {
		make held
		exit int
		says string
	}{
		"label": {by("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true"), 0, `held: .*by kubectl-label, since 20\d\d-`},
		"pause": {by("rollout", "pause", "deployment", "jobs"), 0, `held: .*by kubectl\S*, since 20\d\d-`},
		"manual change": {func(t *testing.T) *harness.Scenario {
			t.Helper()
			s, first := adopted(t)
			s.Push(ingestor, image("second"))
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			s.Kubectl("set", "env", "deployment/jobs", slot+"="+first)
			s.Settle(workloads.Deployment("jobs"))
			requireOutcome(t, s.Tick(), 0, "held", "")
			return s
		}, 0, `held: .*by a person \(kubectl-set\) at 20\d\d-`},
		"rejection": {func(t *testing.T) *harness.Scenario {
			t.Helper()
			s, _, _ := rejectedOnce(t)
			return s
		}, 1, `rejected: .*rejected at 20\d\d-`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.make(t)
			plan := s.Run("plan")
			harness.RequireExit(t, c.exit, plan)
			found := plan.Report.Target("ingestor").Workload("jobs")
			assert.Regexp(t, c.says, found.Outcome+": "+found.Message)
			_, command, printed := strings.Cut(found.Message, ": kubectl ")
			require.True(t, printed, found.Message)
			command, _, _ = strings.Cut(command, " (see ")
			s.Kubectl(strings.Fields(command)...)
			requireOutcome(t, s.Run("plan"), 0, "pending", "")
		})
	}
}

// requirePace asserts how many rollouts a plan predicts, and how many ticks they take.
func requirePace(t *testing.T, s *harness.Scenario, rollouts, ticks int) {
	t.Helper()
	plan := s.Run("plan")
	assert.Equal(t, []int{rollouts, ticks}, []int{plan.Report.Rollouts, plan.Report.Ticks}, plan.Stdout)
}

// I57: a plan says how many workloads are to be rolled, and how many ticks that takes under MAX_ROLLOUTS.
func TestI57APlanTellsHowManyTicksItsRolloutsTake(t *testing.T) {
	t.Parallel()
	q := queueOf(t, 3)
	requirePace(t, q.Scenario, 0, 0)
	q.move(0)
	requirePace(t, q.Scenario, 3, 1)
	for limit, ticks := range map[string]int{"0": 1, "1": 3, "2": 2, "3": 1} {
		q.Setenv("MAX_ROLLOUTS", limit)
		requirePace(t, q.Scenario, 3, ticks)
	}
	q.Setenv("MAX_ROLLOUTS", "2")
	assert.Regexp(t, `\n3 rollouts, in 2 ticks\n$`, q.Run("plan", "-o", "table").Stdout)
	for left := 3; left > 0; left -= 2 {
		q.tick(min(2, left))
		requirePace(t, q.Scenario, max(0, left-2), left/2)
	}
}

// Of a workload that was never seen, a plan also tells what the tick after the first would do, and counts its rollouts.
func TestAPlanTellsWhatFollowsAFirstObservation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		latest   registries.Content
		says     string
		rollouts int
		outcome  string
	}{
		"a refresh": {image("second"), "the tick after would report refreshed: ", 1, "refreshed"},
		"a gate":    {registries.Index("second", "linux/arm64"), "the tick after would report skipped (platform-missing): ", 0, "skipped"},
		"nothing":   {image("first"), "the tick after would report unchanged", 0, "unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			s.Deploy(jobs(s.Push(ingestor, image("first"))))
			s.Push(ingestor, c.latest)
			s.Configure(ingestorConfig)
			assert.Contains(t, requireOutcome(t, s.Run("plan"), 0, "adopted", "").Message, c.says)
			requirePace(t, s, c.rollouts, 2*c.rollouts)
			assert.Empty(t, s.API.Writes())
			requireOutcome(t, s.Tick(), 0, "adopted", "")
			s.Settle(workloads.Deployment("jobs"))
			assert.Equal(t, c.outcome, s.Tick().Report.Target("ingestor").Workload("jobs").Outcome)
		})
	}
}
