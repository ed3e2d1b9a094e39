package scenario_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// Bad input is exit code 2 at once: nothing is read or written, and each problem names its key.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	target := func(lines ...string) string {
		return "targets:\n  - name: ingestor\n    image: ghcr.io/tracebloc/ingestor:0.3\n" + strings.Join(lines, "\n") + "\n"
	}
	const workload = "    workloads: [{kind: Deployment, name: jobs, env: X}]"
	for name, c := range map[string]struct {
		config string
		env    map[string]string
		says   []string
	}{
		"empty":        {config: "", says: []string{"targets"}},
		"not YAML":     {config: "{", says: []string{"config.yaml"}},
		"ten megabyte": {config: "# " + strings.Repeat("x", 10<<20), says: []string{"larger"}},
		"no targets":   {config: "targets: []", says: []string{"targets"}},
		"unknown key":  {config: target(workload, "    resolvFailureThreshold: 3"), says: []string{"resolvFailureThreshold"}},
		"wrong kind":   {config: target("    workloads: [{kind: ReplicaSet, name: jobs, env: X}]"), says: []string{"targets[0].workloads[0].kind", "DaemonSet"}},
		"duplicate name": {config: target(workload) + "  - {name: ingestor, image: a:1, workloads: [{kind: Deployment, name: other, env: X}]}",
			says: []string{"targets[1].name"}},
		"one slot twice": {config: target(workload) + "  - {name: other, image: a:1, workloads: [{kind: Deployment, name: jobs, env: X}]}",
			says: []string{"targets[1].workloads[0]"}},
		"a digest": {config: "targets: [{name: a, image: \"a:1@sha256:" + strings.Repeat("a", 64) + "\", workloads: [{kind: Deployment, name: jobs, env: X}]}]",
			says: []string{"targets[0].image", "digest"}},
		"several at once": {
			config: target(workload, "    resolveFailureThreshold: 0", "    mode: maybe"),
			env:    map[string]string{"CONCURRENCY": "hunter2", "ROLLOUT_TIMEOUT": "10", "ANNOTATION_PREFIX": "a/b"},
			says:   []string{"targets[0].resolveFailureThreshold", "targets[0].mode", "CONCURRENCY", "ROLLOUT_TIMEOUT", "ANNOTATION_PREFIX"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.Configure(c.config)
			for key, value := range c.env {
				s.Setenv(key, value)
			}
			s.Forget()
			result := s.Tick()
			harness.RequireExit(t, 2, result)
			for _, text := range c.says {
				assert.Contains(t, result.Stderr, text)
			}
			assert.NotContains(t, result.Stderr, "hunter2", "no value is repeated")
			assert.Empty(t, s.API.Requests(nil))
			assert.Empty(t, s.Site.Proxy.Connects(""))
			for key := range c.env {
				s.Unsetenv(key)
			}
		})
	}
	require.NoError(t, os.Remove(s.ConfigFile))
	result := s.Tick()
	harness.RequireExit(t, 2, result)
	assert.Contains(t, result.Stderr, filepath.Base(s.ConfigFile))
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

// An annotation with garbage is read as absent, with a warning, and nothing is lost.
func TestGarbageInAnnotationsIsAWarning(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Patch("kubectl-annotate", s.Deployment("jobs"), `{"metadata":{"annotations":{"`+state+`":"{\u001b[31m","`+failures+`":"many","`+streak+`":"-3","`+recorded+`":"sha256:zz"}}}`)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	result := s.Tick()
	requireOutcome(t, result, 0, "adopted", "") // what was recorded is gone: a person took it away
	for _, key := range []string{state, failures, streak, recorded} {
		assert.Contains(t, result.Stderr, key+" is read as absent")
	}
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", second, 2)
	assert.NotEqual(t, first, second)
}

// The table is for people; stdout never holds a log line.
func TestTableOutput(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	result := s.Run("run", "-o", "table")
	require.Equal(t, 0, result.ExitCode)
	assert.Regexp(t, `(?m)^TARGET +WORKLOAD +SLOT +LIVE +LATEST +OUTCOME`, result.Stdout)
	assert.Contains(t, result.Stdout, "unchanged")
	assert.NotContains(t, result.Stdout, `"level"`)
}

// plan decides the same and writes nothing, not even what run would count.
func TestPlanWritesNothing(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	second := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	s.Forget()
	planned := requireOutcome(t, s.Run("plan"), 0, "pending", "")
	assert.Contains(t, planned.Message, second[:19])
	assert.Empty(t, s.API.Writes())
	assert.Empty(t, s.Events())
	assert.Equal(t, first, live(s))

	s.Site.Proxy.Refuse("ghcr.io", 403)
	for range 4 {
		result := s.Run("plan")
		requireOutcome(t, result, 0, "skipped", "proxy")
		assert.Equal(t, 1, result.Report.Target("ingestor").Failures)
	}
	assert.Empty(t, s.API.Writes())
}
