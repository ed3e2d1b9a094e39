package scenario_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// renamedConfig has the target "ingestor" under another name.
var renamedConfig = strings.ReplaceAll(ingestorConfig, "name: ingestor", "name: renamed")

// warnedOf is the only warning of a run about a workload that says so.
func warnedOf(t *testing.T, result *product.Result, part string) string {
	t.Helper()
	var found []string
	for text := range strings.Lines(result.Stderr) {
		var line struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(text), &line); err == nil && line.Level == "WARN" && strings.Contains(line.Msg, part) {
			found = append(found, line.Msg)
		}
	}
	require.Len(t, found, 1, "once a tick: %s", result.Stderr)
	return found[0]
}

// follow runs the commands that a message names.
func follow(s *harness.Scenario, message string) {
	for _, line := range command.FindAllString(message, -1) {
		for _, one := range strings.Split(line, " && ") {
			s.Kubectl(strings.Fields(strings.TrimPrefix(one, "kubectl "))...)
		}
	}
}

const notRead = "is not read; to remove it"

// A target that was renamed or taken away, or another prefix, leaves marks and records that nothing reads any more: a tick and
// a check name them with the commands that remove them, and say nothing once these were followed.
func TestWhatAnotherNameOrPrefixHasLeftIsSaid(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *harness.Scenario){
		"the target is renamed": func(s *harness.Scenario) { s.Configure(renamedConfig) },
		"the prefix is another": func(s *harness.Scenario) { s.Setenv("ANNOTATION_PREFIX", "images.example.com") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := adopted(t)
			require.NoError(t, s.Site.Delete(ingestor))
			requireOutcome(t, s.Tick(), 0, "skipped", "not-found") // which leaves a counter
			change(s)
			said := requireCheck(t, check(t, s, 1), "workload", "warning", "jobs")
			for range 2 {
				message := warnedOf(t, s.Tick(), notRead)
				for _, key := range []string{mark, recorded, failures} {
					assert.Contains(t, message, " "+key+"-")
				}
				assert.Equal(t, message, said.Message)
			}
			follow(s, said.Message)
			d := s.Deployment("jobs")
			assert.NotContains(t, d.Labels, mark)
			for _, key := range []string{recorded, failures} {
				assert.NotContains(t, d.Annotations, key)
			}
			assert.NotContains(t, s.Tick().Stderr, notRead)
		})
	}
}

// A hold under another prefix holds nothing, and is said like the rest. The command moves it.
func TestAHoldUnderAnotherPrefixIsSaidAndMoved(t *testing.T) {
	t.Parallel()
	s, first := adopted(t, workloads.Label("other.example.com/refresh-hold", "true"))
	s.Push(ingestor, image("second"))
	assert.Contains(t, s.Run("plan").Stderr, "the label other.example.com/refresh-hold holds nothing")
	said := requireCheck(t, check(t, s, 0), "workload", "warning", "jobs")
	follow(s, said.Message)
	s.Settle(workloads.Deployment("jobs"))
	result := s.Tick()
	requireOutcome(t, result, 0, "held", "")
	assert.NotContains(t, result.Stderr, "holds nothing")
	assert.Equal(t, first, live(s))
	assert.NotContains(t, s.Deployment("jobs").Labels, "other.example.com/refresh-hold")
}

// What a person chose is held by the state of the target. Under another name it is held no longer, which is said, with the
// command that holds it.
func TestAChoiceUnderAnotherNameIsSaidAndHeld(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	s.Kubectl("set", "env", "deployment/jobs", slot+"="+first)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "held", "")
	s.Configure(renamedConfig)
	result := s.Tick()
	assert.Equal(t, "adopted", result.Report.Target("renamed").Workload("jobs").Outcome)
	message := warnedOf(t, result, "what a person has chosen is held no longer")
	assert.Contains(t, message, state)
	follow(s, message)
	s.Settle(workloads.Deployment("jobs"))
	result = s.Tick()
	assert.Equal(t, "held", result.Report.Target("renamed").Workload("jobs").Outcome)
	assert.Equal(t, first, live(s))
	assert.NotContains(t, result.Stderr, "held no longer")
}

// A label of somebody else's that only looks like a mark is nobody's business.
func TestALabelOfSomebodyElsesIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t, workloads.Label("example.com/base-digest", strings.Repeat("a", 40)), workloads.Label("example.com/refresh-hold", "false"))
	assert.NotContains(t, s.Tick().Stderr, `"level":"WARN"`)
}
