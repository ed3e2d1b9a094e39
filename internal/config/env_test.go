package config

import (
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func defaults() Env {
	return Env{
		ConfigFile: "/etc/image-refresh/config.yaml", AnnotationPrefix: "tracebloc.io", PullSecretsDir: "/etc/image-refresh/pull-secrets",
		ResolveFailureThreshold: 3, RolloutFailureThreshold: 3, UnsettledThreshold: 8, ContestedThreshold: 3,
		RolloutTimeout: Duration(10 * time.Minute), ResolveTimeout: Duration(30 * time.Second),
		Rollback: true, MaxRollouts: 10, Concurrency: 8,
		LogLevel: LogLevel(slog.LevelInfo), LogFormat: LogJSON, NotifyOn: NotifyProblems,
		Runbook: "https://github.com/tracebloc/image-refresh/blob/main/docs/runbook.md",
	}
}

func readEnv(t *testing.T, values map[string]string) (Env, []error) {
	t.Helper()
	return ReadEnv(t.Context(), envconfig.MapLookuper(values))
}

func TestAVariable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		variable, value string
		change          func(*Env)
	}{
		{"CONFIG_FILE", "c.yaml", func(e *Env) { e.ConfigFile = "c.yaml" }},
		{"POD_NAMESPACE", "tracebloc", func(e *Env) { e.Namespace = "tracebloc" }},
		{"ANNOTATION_PREFIX", "example.com", func(e *Env) { e.AnnotationPrefix = "example.com" }},
		{"ANNOTATION_PREFIX", "notk8s.io", func(e *Env) { e.AnnotationPrefix = "notk8s.io" }},
		{"RESOLVE_FAILURE_THRESHOLD", "1", func(e *Env) { e.ResolveFailureThreshold = 1 }},
		{"RESOLVE_FAILURE_THRESHOLD", "007", func(e *Env) { e.ResolveFailureThreshold = 7 }},
		{"ROLLOUT_FAILURE_THRESHOLD", "2", func(e *Env) { e.RolloutFailureThreshold = 2 }},
		{"UNSETTLED_THRESHOLD", "1", func(e *Env) { e.UnsettledThreshold = 1 }},
		{"CONTESTED_THRESHOLD", "9", func(e *Env) { e.ContestedThreshold = 9 }},
		{"ROLLOUT_TIMEOUT", "1h30m", func(e *Env) { e.RolloutTimeout = Duration(90 * time.Minute) }},
		{"ROLLBACK", "false", func(e *Env) { e.Rollback = false }},
		{"ROLLBACK", "0", func(e *Env) { e.Rollback = false }},
		{"ROLLBACK", "TRUE", func(*Env) {}},
		{"MAX_ROLLOUTS", "0", func(e *Env) { e.MaxRollouts = 0 }},
		{"MAX_ROLLOUTS", "7", func(e *Env) { e.MaxRollouts = 7 }},
		{"RESOLVE_TIMEOUT", "500ms", func(e *Env) { e.ResolveTimeout = Duration(500 * time.Millisecond) }},
		{"CONCURRENCY", " 5\r\n", func(e *Env) { e.Concurrency = 5 }}, // files and editors add line ends
		{"PULL_SECRETS_DIR", "/s", func(e *Env) { e.PullSecretsDir = "/s" }},
		{"NOTIFY_URLS", "slack://a\n smtp://b\n", func(e *Env) { e.NotifyURLs = "slack://a\n smtp://b" }},
		{"NOTIFY_ON", "Changes", func(e *Env) { e.NotifyOn = NotifyChanges }},
		{"HEARTBEAT_URL", "https://hc-ping.com/x\n", func(e *Env) { e.HeartbeatURL = "https://hc-ping.com/x" }},
		{"CLUSTER_NAME", "prod eu", func(e *Env) { e.ClusterName = "prod eu" }},
		{"RUNBOOK_URL", "http://wiki.example.com/x?page=1", func(e *Env) { e.Runbook = "http://wiki.example.com/x?page=1" }},
		{"LOG_LEVEL", "debug", func(e *Env) { e.LogLevel = LogLevel(slog.LevelDebug) }},
		{"LOG_LEVEL", "INFO", func(*Env) {}},
		{"LOG_LEVEL", "Warn", func(e *Env) { e.LogLevel = LogLevel(slog.LevelWarn) }},
		{"LOG_LEVEL", "warning", func(e *Env) { e.LogLevel = LogLevel(slog.LevelWarn) }},
		{"LOG_LEVEL", "error", func(e *Env) { e.LogLevel = LogLevel(slog.LevelError) }},
		{"LOG_FORMAT", "text", func(e *Env) { e.LogFormat = LogText }},
		{"LOG_FORMAT", "JSON", func(*Env) {}},
	} {
		want := defaults()
		c.change(&want)
		env, problems := readEnv(t, map[string]string{c.variable: c.value})
		assert.Empty(t, problems, "%s=%q", c.variable, c.value)
		assert.Equal(t, want, env, "%s=%q", c.variable, c.value)
	}
}

// Which variable, what it holds, and what would be right.
func TestAVariableThatDoesNotParse(t *testing.T) {
	t.Parallel()
	whole := []string{"0", "-1", "1.5", "1e3", "x", "٣", "99999999999999999999", "3 ticks"}
	duration := []string{"0", "0s", "-1s", "10", "ten", "10 minutes", "9999999999h"}
	bad := map[string][]string{
		"POD_NAMESPACE":             {"Upper", "a.b", "-a", "a_b", strings.Repeat("a", 64)},
		"ANNOTATION_PREFIX":         {"a/b", "Example.com", "-a.io", "kubernetes.io", "k8s.io", "x.k8s.io", strings.Repeat("a", 254)},
		"RESOLVE_FAILURE_THRESHOLD": whole, "ROLLOUT_FAILURE_THRESHOLD": whole, "UNSETTLED_THRESHOLD": whole,
		"CONTESTED_THRESHOLD": whole, "CONCURRENCY": whole, "MAX_ROLLOUTS": whole[1:],
		"ROLLOUT_TIMEOUT": duration, "RESOLVE_TIMEOUT": duration,
		"ROLLBACK":   {"yes", "2"},
		"LOG_LEVEL":  {"trace", "4"},
		"LOG_FORMAT": {"xml"},
		"NOTIFY_ON":  {"all"},
		"RUNBOOK_URL": {
			"wiki", "ftp://example.com/x", "https:///x", "https://example.com/x#y", "https://example.com/a b", "https://example.com/" + strings.Repeat("a", 181),
		},
	}
	all := map[string]string{}
	for variable, values := range bad {
		all[variable] = values[0]
		for _, value := range values {
			env, problems := readEnv(t, map[string]string{variable: value})
			require.Len(t, problems, 1, "%s=%q", variable, value)
			assert.Regexp(t, "^"+variable+`: is "`+regexp.QuoteMeta(value[:min(len(value), 64)])+`.*, must be `, problems[0].Error())
			assert.Equal(t, variable != "ROLLOUT_TIMEOUT", defaults().RolloutTimeout == env.RolloutTimeout, "the others are read all the same")
		}
	}
	_, problems := readEnv(t, all)
	assert.Len(t, problems, len(bad), "all at once")
}

// A variable is documented, and means its default where it is missing, empty or blank.
func TestVariablesDescribeAll(t *testing.T) {
	t.Parallel()
	preset, blank := map[string]string{}, map[string]string{}
	for _, variable := range Variables() {
		assert.NotEmpty(t, variable.Help, variable.Name)
		preset[variable.Name], blank[variable.Name] = variable.Default, " \t\n"
	}
	for _, values := range []map[string]string{nil, preset, blank} {
		env, problems := readEnv(t, values)
		assert.Empty(t, problems)
		assert.Equal(t, defaults(), env)
	}
	assert.Equal(t, []string{
		"ANNOTATION_PREFIX", "CLUSTER_NAME", "CONCURRENCY", "CONFIG_FILE", "CONTESTED_THRESHOLD", "HEARTBEAT_URL", "LOG_FORMAT", "LOG_LEVEL",
		"MAX_ROLLOUTS", "NOTIFY_ON", "NOTIFY_URLS", "POD_NAMESPACE", "PULL_SECRETS_DIR", "RESOLVE_FAILURE_THRESHOLD", "RESOLVE_TIMEOUT", "ROLLBACK", "ROLLOUT_FAILURE_THRESHOLD",
		"ROLLOUT_TIMEOUT", "RUNBOOK_URL", "UNSETTLED_THRESHOLD",
	}, slices.Sorted(maps.Keys(preset)), "the contract's variables")
}
