package scenario_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
)

// Bad input is exit code 2 at once: nothing is read or written, and each problem names its key.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	requireInvalid := func(says ...string) {
		t.Helper()
		s.Forget()
		result := s.Tick()
		harness.RequireExit(t, 2, result)
		for _, text := range says {
			assert.Contains(t, result.Stderr, text)
		}
		assert.NotContains(t, result.Stderr, "hunter2", "no value is repeated")
		assert.Empty(t, s.API.Requests(nil))
		assert.Empty(t, s.Site.Proxy.Connects(""))
	}
	requireInvalid(filepath.Base(s.ConfigFile)) // which is missing
	for config, says := range map[string]string{
		"":                                 "targets",
		"{":                                "config.yaml",
		"# " + strings.Repeat("x", 10<<20): "larger",
		strings.Replace(ingestorConfig, "Deployment", "ReplicaSet", 1):      "targets[0].workloads[0].kind",
		ingestorConfig + "    resolvFailureThreshold: 3\n":                  "resolvFailureThreshold",
		ingestorConfig + strings.TrimPrefix(ingestorConfig, "\ntargets:\n"): "targets[1].name",
	} {
		s.Configure(config)
		requireInvalid(says)
	}
	s.Configure(ingestorConfig + "    resolveFailureThreshold: 0\n    mode: maybe\n")
	s.Setenv("CONCURRENCY", "hunter2")
	s.Setenv("ROLLOUT_TIMEOUT", "10")
	requireInvalid("targets[0].resolveFailureThreshold", "targets[0].mode", "CONCURRENCY", "ROLLOUT_TIMEOUT")
}

// An empty variable means its default: a hand-edited CronJob must run.
func TestEmptyVariablesMeanTheirDefaults(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	for _, key := range []string{
		"POD_NAMESPACE", "ANNOTATION_PREFIX", "RESOLVE_FAILURE_THRESHOLD", "ROLLOUT_FAILURE_THRESHOLD", "UNSETTLED_THRESHOLD",
		"CONTESTED_THRESHOLD", "ROLLOUT_TIMEOUT", "ROLLBACK", "MAX_ROLLOUTS", "RESOLVE_TIMEOUT", "CONCURRENCY", "PULL_SECRETS_DIR",
		"LOG_LEVEL", "LOG_FORMAT",
	} {
		s.Setenv(key, "")
	}
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
}

// The table is for people; stdout never holds a log line.
func TestTableOutput(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	result := s.Run("run", "-o", "table")
	harness.RequireExit(t, 0, result)
	assert.Regexp(t, `(?m)^TARGET +WORKLOAD +SLOT +LIVE +LATEST +OUTCOME`, result.Stdout)
	assert.Contains(t, result.Stdout, "unchanged")
	assert.NotContains(t, result.Stdout, `"level"`)
}

// An annotation with garbage is read as absent, with a warning, and nothing is lost.
func TestGarbageInAnnotationsIsAWarning(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Patch("kubectl-annotate", s.Deployment("jobs"),
		`{"metadata":{"annotations":{"`+state+`":"{\u001b[31m","`+failures+`":"many","`+streak+`":"-3","`+recorded+`":"sha256:zz"}}}`)
	second := s.Push(ingestor, image("second"))
	result := s.Tick()
	requireOutcome(t, result, 0, "adopted", "") // what was recorded is gone: a person took it away
	for _, key := range []string{state, failures, streak, recorded} {
		assert.Contains(t, result.Stderr, key+" is read as absent")
	}
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", second, 2)
}
