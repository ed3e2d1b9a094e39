package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/result"
)

const (
	validFile = "targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api}]}]\n"
	wrongFile = "targets: [{name: Api, image: 'a b', workloads: [{kind: Job, name: api}]}]\nextra: 1\n"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// logLines are what stderr holds: nothing but lines of JSON.
func logLines(t *testing.T, stderr string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(stderr) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		lines = append(lines, fields)
	}
	return lines
}

func TestAnInvalidConfigurationIsToldOnBothStreams(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"run", "plan"} {
		file := configFile(t, wrongFile)
		began := time.Now()
		got := runMain(map[string]string{"CONFIG_FILE": file, "CONCURRENCY": "many", "LOG_LEVEL": "loud"}, command)
		assert.Equal(t, 2, got.code)

		var report result.Report
		decoder := json.NewDecoder(strings.NewReader(got.stdout))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&report))
		assert.False(t, decoder.More(), "one object")
		assert.Equal(t, 2, report.ExitCode)
		assert.Equal(t, command, report.Command)
		assert.Equal(t, 1, report.SchemaVersion)
		assert.Equal(t, []result.Target{}, report.Targets)
		assert.WithinRange(t, report.StartedAt, began.Add(-time.Second), time.Now())
		assert.Positive(t, report.DurationSeconds)

		var told []string
		lines := logLines(t, got.stderr)
		require.NotEmpty(t, lines)
		summary := lines[len(lines)-1]
		assert.Equal(t, "tick done", summary["msg"], "the last line, also where nothing was done")
		assert.EqualValues(t, 2, summary["exitCode"])
		for _, line := range lines[:len(lines)-1] {
			assert.Equal(t, "ERROR", line["level"])
			text, ok := line["msg"].(string)
			require.True(t, ok)
			text, _, _ = strings.Cut(strings.TrimPrefix(text, file+": "), ": ")
			told = append(told, text)
		}
		assert.Equal(t, []string{
			"CONCURRENCY", "LOG_LEVEL", "extra", "targets[0].name", "targets[0].image", "targets[0].workloads[0].kind",
		}, told, "each problem in a line of its own")
	}
}

func TestHowToLogIsKnownThoughTheRestIsInvalid(t *testing.T) {
	t.Parallel()
	got := runMain(map[string]string{"LOG_FORMAT": "text", "CONCURRENCY": "0"}, "-f", configFile(t, validFile), "-o", "table")
	assert.Equal(t, 2, got.code)
	assert.Regexp(t, `^time=\S+ level=ERROR msg="CONCURRENCY: is .+, must be`, got.stderr)
	assert.Equal(t, 1, strings.Count(got.stdout, "\n"), "a table without a line")
}

// Without a way to the API server nothing can be done, and an operator must look. The environment decides where
// it would be, so this test has it to itself.
func TestNoWayToTheAPIServerIsForAnOperator(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", configFile(t, "apiVersion: v1\nkind: Config\n"))
	for _, command := range []string{"run", "plan"} {
		got := runMain(map[string]string{"LOG_LEVEL": "warn"}, command, "-f", configFile(t, validFile), "--context", "absent")
		assert.Equal(t, 1, got.code)
		var report result.Report
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &report))
		assert.Equal(t, 1, report.ExitCode)
		assert.Equal(t, command, report.Command)
		lines := logLines(t, got.stderr)
		require.Len(t, lines, 3)
		assert.Equal(t, "WARN", lines[0]["level"], "a missing tag is accepted with a warning")
		assert.Contains(t, lines[0]["msg"], "latest")
		assert.Contains(t, lines[1]["msg"], "no way to the API server")
		assert.Equal(t, "tick done", lines[2]["msg"])
	}
}

func TestProblemsAreALineEach(t *testing.T) {
	t.Parallel()
	joined := errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c")))
	assert.Equal(t, []string{"a", "b", "c"}, problems(&config.Invalid{Problems: []error{joined}}))
	assert.Equal(t, []string{"a"}, problems(errors.New("a")))
}

// What a library writes to Go's own log is a line of ours, on debug, and cleaned.
func TestWhatALibraryLogsIsALineOfOurs(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{"debug": `"level":"DEBUG","msg":"GOAWAY https://redacted@a/"}`, "info": ""} {
		var out strings.Builder
		env, problems := config.ReadEnv(t.Context(), envconfig.MapLookuper(map[string]string{"LOG_LEVEL": level}))
		require.Empty(t, problems)
		_, err := foreign{newLogger(env, &out)}.Write([]byte("GOAWAY\n https://user:secret@a/\n"))
		require.NoError(t, err)
		assert.Contains(t, out.String(), want)
		assert.Equal(t, want == "", out.Len() == 0)
	}
}
