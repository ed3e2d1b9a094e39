package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/window"
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

// read reads a file, with an environment, and returns the lines of what is wrong, without the file's name in front.
func read(t *testing.T, file string, env map[string]string) (Config, []string) {
	t.Helper()
	got, err := Read(t.Context(), envconfig.MapLookuper(env), Overrides{File: file})
	return got, lines(t, file, err)
}

func lines(t *testing.T, file string, err error) (all []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*Invalid](err)
	require.True(t, ok)
	require.True(t, IsInvalid(err))
	for _, problem := range invalid.Problems {
		all = append(all, strings.TrimPrefix(problem.Error(), file+": "))
		require.ErrorContains(t, err, problem.Error(), "the whole names each")
		require.ErrorIs(t, err, problem)
	}
	return all
}

// The contract's example is the fixture; only the certificate is where this machine has one.
func TestTheContractsExampleMeansWhatItSays(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/contract.yaml")
	require.NoError(t, err)
	server := httptest.NewTLSServer(nil)
	server.Close()
	ca := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	got, problems := read(t, write(t, strings.Replace(string(text), "/etc/image-refresh/ca/harbor.crt", ca, 1)), nil)
	assert.Empty(t, problems)
	assert.Empty(t, got.Warnings())
	roots := got.Registries[1].Roots
	_, err = server.Certificate().Verify(x509.VerifyOptions{Roots: roots})
	require.NoError(t, err)
	assert.Equal(t, []image.Registry{
		{Host: "docker.io", Mirrors: []string{"harbor.example.com/dockerhub"}, Fallback: true, CloudIdentity: true},
		{Host: "harbor.example.com", Fallback: true, Roots: roots, CloudIdentity: true},
	}, got.Registries)
	reference := func(text string) *image.Reference {
		ref, err := image.ParseReference(text)
		require.NoError(t, err)
		return &ref
	}
	assert.Equal(t, []Target{
		{
			Name: "ingestor", Image: reference("ghcr.io/tracebloc/ingestor:0.3"), ResolveFailureThreshold: 3,
			Platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}},
			Window: &window.Window{
				Days: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday}, From: 22 * time.Hour, To: 5 * time.Hour,
				Zone: got.Targets[0].Window.Zone,
			},
			PullSecrets: []string{"ghcr-pull"},
			Workloads: []Workload{
				{Kind: Deployment, Name: "stg-jobs-manager", Namespace: "tracebloc", Container: "api", Env: "INGESTOR_IMAGE_DIGEST"},
			},
		},
		{
			Name: "jobs-manager", Image: reference("docker.io/tracebloc/jobs-manager:prod"), ResolveFailureThreshold: 3,
			Workloads: []Workload{
				{Kind: Deployment, Name: "stg-jobs-manager", Container: "api"},
				{Kind: Deployment, Name: "stg-requests-proxy", Container: "proxy"},
			},
		},
	}, got.Targets)
}

func TestFlagsGoBeforeTheEnvironment(t *testing.T) {
	t.Parallel()
	env := envconfig.MapLookuper(map[string]string{"CONFIG_FILE": "elsewhere.yaml", "POD_NAMESPACE": "other"})
	file := write(t, valid)
	got, err := Read(t.Context(), env, Overrides{File: file, Namespace: "tracebloc"})
	require.NoError(t, err)
	assert.EqualValues(t, file, got.ConfigFile)
	assert.EqualValues(t, "tracebloc", got.Namespace)
	_, err = Read(t.Context(), env, Overrides{File: file, Namespace: "Tracebloc"})
	require.ErrorContains(t, err, `--namespace: is "Tracebloc", must be `)
	_, err = Read(t.Context(), env, Overrides{})
	assert.ErrorContains(t, err, "elsewhere.yaml: cannot be read")
}

// Of a values file of the chart count the keys that the file has; what only Helm can fill in is refused by its key.
func TestAValuesFileOfTheChart(t *testing.T) {
	t.Parallel()
	env := envconfig.MapLookuper(nil)
	file := write(t, valid+"schedule: '*/15 * * * *'\nimage: {tag: x}\nnameOverride: '{{ .Release.Name }}'\n")
	got, err := Read(t.Context(), env, Overrides{Values: file})
	require.NoError(t, err)
	assert.Len(t, got.Targets, 1)
	for text, says := range map[string]string{
		strings.Replace(valid, "app\n", "app-{{ .Release.Name }}\n", 1): `targets[0].workloads[0].container: is "app-{{ .Release.Name }}", a template, which Helm alone fills in`,
		valid + "registries: [{host: '{{ .Values.global.host }}'}]\n":   `registries[0].host: is "{{ .Values.global.host }}", a template`,
		"image: {tag: x}\n":   "targets: ",
		"- targets":           "must be a mapping",
		"targets: [{nme: x}]": "targets[0]",
	} {
		_, err := Read(t.Context(), env, Overrides{Values: write(t, text)})
		require.ErrorContains(t, err, says)
	}
	_, err = Read(t.Context(), env, Overrides{Values: file, File: file})
	assert.ErrorContains(t, err, "--config and --values: name one of the two")
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		filepath.Join(t.TempDir(), "absent.yaml"): "cannot be read: no such file or directory: .*CONFIG_FILE",
		t.TempDir(): "cannot be read: is a directory",
		write(t, valid+"#"+strings.Repeat("x", 10<<20)):        "larger than 4 MiB",
		write(t, valid+"---\n"+valid):                          "more than one YAML document",
		write(t, valid+"---\n["):                               "more than one YAML document",
		write(t, "targets: ["):                                 "is not YAML",
		write(t, "targets:\n\t- name: x"):                      "is not YAML",
		write(t, "\x00\x01\xff"):                               "is not YAML",
		write(t, "targets: *x"):                                "is not YAML",
		write(t, "hello"):                                      "must be a mapping with keys",
		write(t, "- name: x"):                                  "must be a mapping with keys",
		write(t, strings.Replace(valid, "app\n", "\x1b\n", 1)): "is not YAML",
	} {
		_, problems := read(t, file, nil)
		require.Len(t, problems, 1, want)
		assert.Regexp(t, want, problems[0])
	}
}

// The environment and the file in one go, each with the value that is refused.
func TestEveryProblemIsToldAtOnce(t *testing.T) {
	t.Parallel()
	got, problems := read(t, write(t, `registries: [{host: "https://ghcr.io", fallback: maybe}]
targets:
  - {name: Api, mode: Notify, colour: red, stallAfter: 1d, staleAfter: -720h, workloads: [{kind: Job, name: x, envValue: digest}]}
  - {name: Api, pullSecrets: [{name: x}], workloads: {}}
`), map[string]string{"LOG_LEVEL": "loud", "CONCURRENCY": "0"})
	assert.Equal(t, []string{
		`CONCURRENCY: is "0", must be a whole number, at least 1`,
		`LOG_LEVEL: is "loud", must be debug, info, warn or error`,
		`registries[0].fallback: is the text "maybe", must be true or false`,
		"targets[0].colour: is not known here: the keys are name, image, mode, resolveFailureThreshold, platforms, staleAfter, minAge, " +
			"window, pullSecrets, verify, pin, pinAtOnce, workloads",
		"targets[0].stallAfter: is not known here: did you mean staleAfter?",
		"targets[1].pullSecrets[0]: is a mapping, must be text",
		"targets[1].workloads: is a mapping, must be a list",
		`registries[0].host: is "https://ghcr.io", must be a registry's host as image references name it, as in docker.io or harbor.example.com:8443, ` +
			"without a scheme or a path",
		`targets[0].name: is "Api", must be a DNS label (lowercase letters, digits, dashes) of at most 32 characters`,
		`targets[0].mode: is "Notify", must be apply or notify`,
		`targets[0].workloads[0].kind: is "Job", must be Deployment, StatefulSet, DaemonSet or CronJob`,
		`targets[0].workloads[0].envValue: is "digest", which means nothing without env: name the variable, or leave it out`,
		`targets[0].staleAfter: is "-720h", must be a duration, as in 0s, 30m or 24h`,
		`targets[1].name: is "Api", must be a DNS label (lowercase letters, digits, dashes) of at most 32 characters`,
	}, problems)
	assert.Equal(t, LogJSON, got.LogFormat, "how to log is known all the same")
}

// A namespace that only a kubeconfig tells may show two targets on one slot.
func TestIn(t *testing.T) {
	t.Parallel()
	got, problems := read(t, write(t, `targets:
  - {name: one, image: 'ghcr.io/x/one:1', workloads: [{kind: Deployment, name: api, env: A}]}
  - {name: two, image: 'ghcr.io/x/two:1', workloads: [{kind: Deployment, name: api, env: A, namespace: here}]}
`), nil)
	assert.Empty(t, problems)
	require.NoError(t, got.In("there"))
	assert.False(t, IsInvalid(errors.New("something else")))
	assert.Equal(t, []string{"targets[1].workloads[0]: is Deployment api, variable A, the same slot as targets[0].workloads[0]: a slot follows one target, once"},
		lines(t, "", got.In("here")))
}
