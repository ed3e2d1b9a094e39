package config_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/config"
)

// valid is a configuration that cases change in one place.
const valid = `registries:
  - host: ghcr.io
    mirrors: [harbor.example.com/ghcr]
    fallback: true
targets:
  - name: api
    image: ghcr.io/example/api:1.2
    workloads:
      - kind: Deployment
        name: stg-api
        container: app
        env: API_DIGEST
`

// instead is the valid configuration with one text replaced.
func instead(t *testing.T, old, with string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(valid, old), "%q must occur once", old)
	return strings.Replace(valid, old, with, 1)
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func read(file string, env map[string]string) (config.Config, error) {
	return config.Read(context.Background(), envconfig.MapLookuper(env), config.Overrides{File: file})
}

// problems are the lines of an invalid configuration, without the file's name in front.
func problems(t *testing.T, file string, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	require.True(t, config.IsInvalid(err))
	invalid, ok := errors.AsType[*config.Invalid](err)
	require.True(t, ok)
	var lines []string
	for _, problem := range invalid.Problems {
		lines = append(lines, strings.TrimPrefix(problem.Error(), file+": "))
		require.ErrorContains(t, err, problem.Error(), "the whole names each")
		require.ErrorIs(t, err, problem)
	}
	return lines
}

func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	file := write(t, text)
	_, err := read(file, nil)
	return problems(t, file, err)
}

// certificate is a file with some certificate authority.
func certificate(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	server.Close()
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	return file
}

func TestReadTakesFlagsBeforeTheEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{"CONFIG_FILE": "elsewhere.yaml", "POD_NAMESPACE": "other"}
	file := write(t, valid)
	got, err := config.Read(context.Background(), envconfig.MapLookuper(env), config.Overrides{File: file, Namespace: "tracebloc"})
	require.NoError(t, err)
	assert.EqualValues(t, file, got.ConfigFile)
	assert.EqualValues(t, "tracebloc", got.Namespace)

	_, err = config.Read(context.Background(), envconfig.MapLookuper(nil), config.Overrides{File: file, Namespace: marker})
	lines := problems(t, file, err)
	require.Len(t, lines, 1)
	assert.Regexp(t, "^--namespace: must be ", lines[0])
	assert.NotContains(t, lines[0], "MARKER")
}

func TestReadNamesTheFileThatIsMissing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "absent.yaml")
	_, err := read(file, nil)
	lines := problems(t, file, err)
	require.Len(t, lines, 1)
	assert.Regexp(t, "^cannot be read: no such file or directory: .*CONFIG_FILE", lines[0])

	_, err = config.Read(context.Background(), envconfig.MapLookuper(map[string]string{"CONFIG_FILE": file}), config.Overrides{})
	assert.ErrorContains(t, err, file)
}

func TestReadRefusesADirectory(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	_, err := read(directory, nil)
	lines := problems(t, directory, err)
	require.Len(t, lines, 1)
	assert.Regexp(t, "^cannot be read: is a directory", lines[0])
}

func TestReadRefusesAFileThatIsTooLarge(t *testing.T) {
	t.Parallel()
	lines := problemsOf(t, valid+"#"+strings.Repeat("x", 10<<20))
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "larger than 4 MiB")
}

func TestReadReportsTheEnvironmentAndTheFileInOneGo(t *testing.T) {
	t.Parallel()
	file := write(t, `registries:
  - {host: "https://ghcr.io", mirrors: [docker.io, a/b/C], fallback: maybe}
targets:
  - name: Api
    image: ghcr.io/example/api@sha256:`+strings.Repeat("a", 64)+`
    mode: Notify
    resolveFailureThreshold: 0
    staleAfter: -720h
    minAge: 1 day
    platforms: [arm64]
    pullSecrets: [A]
    pin: tag
    colour: red
    workloads:
      - {kind: deployment, namespace: A, container: "a b", env: "1=", envValue: tag}
      - {kind: Job, name: x, envValue: digest}
  - {name: Api, workloads: {}}
`)
	env, err := read(file, map[string]string{"LOG_LEVEL": marker, "CONCURRENCY": "0", "RESOLVE_FAILURE_THRESHOLD": marker})
	assert.Equal(t, []string{
		"RESOLVE_FAILURE_THRESHOLD: must be a whole number, at least 1",
		"CONCURRENCY: must be a whole number, at least 1",
		"LOG_LEVEL: must be debug, info, warn or error",
		"registries[0].fallback: must be true or false",
		"targets[0].colour: is not known here: the keys are name, image, mode, resolveFailureThreshold, platforms, staleAfter, minAge, pullSecrets, pin, pinAtOnce, workloads",
		"targets[1].workloads: must be a list",
		"registries[0].host: must be a registry's host as image references name it, as in docker.io or harbor.example.com:8443, without a scheme or a path",
		"registries[0].mirrors[0]: must be host or host/path, as in harbor.example.com/dockerhub, without a scheme",
		"registries[0].mirrors[1]: must be host or host/path, as in harbor.example.com/dockerhub, without a scheme",
		"targets[0].name: must be a DNS label (lowercase letters, digits, dashes) of at most 32 characters",
		"targets[0].image: must not carry a digest: it is the tag that is followed",
		"targets[0].mode: must be apply or notify",
		"targets[0].platforms[0]: a platform is os/architecture or os/architecture/variant, as in linux/arm64",
		"targets[0].pullSecrets[0]: must be the name of a Secret",
		"targets[0].pin: must be tag@digest or digest",
		"targets[0].workloads[0].kind: must be Deployment, StatefulSet, DaemonSet or CronJob",
		"targets[0].workloads[0].name: must be the name of the workload",
		"targets[0].workloads[0].namespace: must be a namespace",
		"targets[0].workloads[0].container: must be the name of a container",
		"targets[0].workloads[0].env: must be the name of an environment variable",
		"targets[0].workloads[0].envValue: must be digest or reference",
		"targets[0].workloads[1].kind: must be Deployment, StatefulSet, DaemonSet or CronJob",
		"targets[0].workloads[1].envValue: means nothing without env",
		"targets[0].resolveFailureThreshold: must be a whole number, at least 1",
		"targets[0].staleAfter: must be a duration, as in 0s, 30m or 24h",
		"targets[0].minAge: must be a duration, as in 0s, 30m or 24h",
		"targets[1].name: must be a DNS label (lowercase letters, digits, dashes) of at most 32 characters",
	}, problems(t, file, err))
	assert.NotContains(t, err.Error(), "MARKER")
	assert.Equal(t, config.LogJSON, env.LogFormat, "how to log is known all the same")
}

func TestIsInvalid(t *testing.T) {
	t.Parallel()
	assert.False(t, config.IsInvalid(nil))
	assert.False(t, config.IsInvalid(errors.New("x")))
	assert.True(t, config.IsInvalid(&config.Invalid{}))
}

// A namespace that only a kubeconfig tells may show two targets on one slot.
func TestIn(t *testing.T) {
	t.Parallel()
	const file = "targets:\n" +
		"  - {name: one, image: 'ghcr.io/x/one:1', workloads: [{kind: Deployment, name: api, env: A}]}\n" +
		"  - {name: two, image: 'ghcr.io/x/two:1', workloads: [{kind: Deployment, name: api, env: A, namespace: here}]}\n"
	got, err := read(write(t, file), nil)
	require.NoError(t, err)
	require.NoError(t, got.In("there"))
	err = got.In("here")
	require.ErrorContains(t, err, "targets[1].workloads[0]: claims the same slot as targets[0].workloads[0]")
	assert.True(t, config.IsInvalid(err))
}
