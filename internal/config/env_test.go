package config_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/config"
)

// marker stands in for a secret that ended up in the wrong variable.
const marker = "hunter2-MARKER"

func defaults() config.Env {
	return config.Env{
		ConfigFile:              "/etc/image-refresh/config.yaml",
		AnnotationPrefix:        "tracebloc.io",
		ResolveFailureThreshold: 3,
		RolloutFailureThreshold: 3,
		UnsettledThreshold:      8,
		ContestedThreshold:      3,
		RolloutTimeout:          config.Duration(10 * time.Minute),
		Rollback:                true,
		MaxRollouts:             10,
		ResolveTimeout:          config.Duration(30 * time.Second),
		Concurrency:             8,
		PullSecretsDir:          "/etc/image-refresh/pull-secrets",
		LogLevel:                config.LogLevel(slog.LevelInfo),
		LogFormat:               config.LogJSON,
	}
}

func TestEnvReadsItsDefaultsFromNothing(t *testing.T) {
	t.Parallel()
	unset := map[string]string{}
	for name, value := range map[string]string{"missing": "unset", "empty": "", "white space": " \t\n"} {
		values := maps.Clone(unset)
		for _, variable := range config.Variables() {
			if value != "unset" {
				values[variable.Name] = value
			}
		}
		env, problems := config.ReadEnv(context.Background(), envconfig.MapLookuper(values))
		assert.Empty(t, problems, name)
		assert.Equal(t, defaults(), env, name)
	}
}

func TestEnvReadsEachVariable(t *testing.T) {
	t.Parallel()
	for variable, values := range map[string]map[string]func(*config.Env){
		"CONFIG_FILE":   {"c.yaml": func(e *config.Env) { e.ConfigFile = "c.yaml" }},
		"POD_NAMESPACE": {"tracebloc": func(e *config.Env) { e.Namespace = "tracebloc" }},
		"ANNOTATION_PREFIX": {
			"example.com": func(e *config.Env) { e.AnnotationPrefix = "example.com" },
			"notk8s.io":   func(e *config.Env) { e.AnnotationPrefix = "notk8s.io" },
		},
		"RESOLVE_FAILURE_THRESHOLD": {
			"1": func(e *config.Env) { e.ResolveFailureThreshold = 1 }, "007": func(e *config.Env) { e.ResolveFailureThreshold = 7 },
		},
		"ROLLOUT_FAILURE_THRESHOLD": {"2": func(e *config.Env) { e.RolloutFailureThreshold = 2 }},
		"UNSETTLED_THRESHOLD":       {"1": func(e *config.Env) { e.UnsettledThreshold = 1 }},
		"CONTESTED_THRESHOLD":       {"9": func(e *config.Env) { e.ContestedThreshold = 9 }},
		"ROLLOUT_TIMEOUT":           {"1h30m": func(e *config.Env) { e.RolloutTimeout = config.Duration(90 * time.Minute) }},
		"ROLLBACK": {
			"false": func(e *config.Env) { e.Rollback = false }, "0": func(e *config.Env) { e.Rollback = false },
			"TRUE": func(*config.Env) {},
		},
		"MAX_ROLLOUTS":     {"0": func(e *config.Env) { e.MaxRollouts = 0 }, "7": func(e *config.Env) { e.MaxRollouts = 7 }},
		"RESOLVE_TIMEOUT":  {"500ms": func(e *config.Env) { e.ResolveTimeout = config.Duration(500 * time.Millisecond) }},
		"CONCURRENCY":      {"1": func(e *config.Env) { e.Concurrency = 1 }},
		"PULL_SECRETS_DIR": {"/s": func(e *config.Env) { e.PullSecretsDir = "/s" }},
		"LOG_LEVEL": {
			"debug":   func(e *config.Env) { e.LogLevel = config.LogLevel(slog.LevelDebug) },
			"INFO":    func(*config.Env) {},
			"Warn":    func(e *config.Env) { e.LogLevel = config.LogLevel(slog.LevelWarn) },
			"warning": func(e *config.Env) { e.LogLevel = config.LogLevel(slog.LevelWarn) },
			"error":   func(e *config.Env) { e.LogLevel = config.LogLevel(slog.LevelError) },
		},
		"LOG_FORMAT": {"text": func(e *config.Env) { e.LogFormat = config.LogText }, "JSON": func(*config.Env) {}},
	} {
		for value, change := range values {
			want := defaults()
			change(&want)
			env, problems := config.ReadEnv(context.Background(), envconfig.MapLookuper(map[string]string{variable: value}))
			assert.Empty(t, problems, "%s=%q", variable, value)
			assert.Equal(t, want, env, "%s=%q", variable, value)
		}
	}
}

// A value is trimmed: files and editors add line ends.
func TestEnvTrimsValues(t *testing.T) {
	t.Parallel()
	env, problems := config.ReadEnv(context.Background(), envconfig.MapLookuper(map[string]string{"CONCURRENCY": " 5\r\n"}))
	assert.Empty(t, problems)
	assert.EqualValues(t, 5, env.Concurrency)
}

// bad are values that no variable of the kind takes. Each holds the marker, or is too short to hide anything.
func bad() map[string][]string {
	whole := []string{"0", "-1", "1.5", "1e3", "x", "٣", "99999999999999999999", marker, "3 " + marker}
	duration := []string{"0", "0s", "-1s", "10", "ten", "10 minutes", "9999999999h", marker}
	return map[string][]string{
		"POD_NAMESPACE":             {"Upper", "a.b", "-a", "a_b", strings.Repeat("a", 64), marker},
		"ANNOTATION_PREFIX":         {"a/b", "Example.com", "-a.io", "kubernetes.io", "k8s.io", "apps.kubernetes.io", "x.k8s.io", strings.Repeat("a", 254), marker},
		"RESOLVE_FAILURE_THRESHOLD": whole,
		"ROLLOUT_FAILURE_THRESHOLD": whole,
		"UNSETTLED_THRESHOLD":       whole,
		"CONTESTED_THRESHOLD":       whole,
		"CONCURRENCY":               whole,
		"MAX_ROLLOUTS":              whole[1:],
		"ROLLOUT_TIMEOUT":           duration,
		"RESOLVE_TIMEOUT":           duration,
		"ROLLBACK":                  {"yes", "2", marker},
		"LOG_LEVEL":                 {"trace", "4", marker},
		"LOG_FORMAT":                {"xml", marker},
	}
}

func TestEnvRefusesWhatDoesNotParse(t *testing.T) {
	t.Parallel()
	for variable, values := range bad() {
		for _, value := range values {
			env, problems := config.ReadEnv(context.Background(), envconfig.MapLookuper(map[string]string{variable: value}))
			require.Len(t, problems, 1, "%s=%q", variable, value)
			text := problems[0].Error()
			assert.True(t, strings.HasPrefix(text, variable+": must be "), "%s says which variable, and what would be right", text)
			assert.NotContains(t, text, "MARKER")
			env.LogLevel, env.LogFormat = defaults().LogLevel, defaults().LogFormat
			assert.Equal(t, defaults().RolloutTimeout != env.RolloutTimeout, variable == "ROLLOUT_TIMEOUT", "the others are read all the same")
		}
	}
}

func TestEnvReportsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	values := map[string]string{}
	for variable := range bad() {
		values[variable] = marker
	}
	_, problems := config.ReadEnv(context.Background(), envconfig.MapLookuper(values))
	var named []string
	for _, problem := range problems {
		name, _, _ := strings.Cut(problem.Error(), ":")
		named = append(named, name)
		assert.NotContains(t, problem.Error(), "MARKER")
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(bad())), named)
}

// A variable is documented, with a key that somebody can set, or the help text is wrong about it.
func TestVariablesDescribeAll(t *testing.T) {
	t.Parallel()
	var names []string
	for _, variable := range config.Variables() {
		names = append(names, variable.Name)
		assert.Regexp(t, `^[A-Z_]+$`, variable.Name)
		assert.NotEmpty(t, variable.Help, variable.Name)
		if variable.Default != "" {
			env, problems := config.ReadEnv(context.Background(), envconfig.MapLookuper(map[string]string{variable.Name: variable.Default}))
			assert.Empty(t, problems, variable.Name)
			assert.Equal(t, defaults(), env, variable.Name)
		}
	}
	assert.Equal(t, []string{
		"CONFIG_FILE", "POD_NAMESPACE", "ANNOTATION_PREFIX", "RESOLVE_FAILURE_THRESHOLD", "ROLLOUT_FAILURE_THRESHOLD",
		"UNSETTLED_THRESHOLD", "CONTESTED_THRESHOLD", "ROLLOUT_TIMEOUT", "ROLLBACK", "MAX_ROLLOUTS", "RESOLVE_TIMEOUT",
		"CONCURRENCY", "PULL_SECRETS_DIR", "LOG_LEVEL", "LOG_FORMAT",
	}, names, "the contract's variables")
}
