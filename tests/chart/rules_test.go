package chart

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// rules are configurations, and whether they are valid. The chart and the program must agree on each.
var rules = []struct {
	name  string
	text  string // values, on top of one valid target
	valid bool
}{
	{"the least", ``, true},
	{"no such value", `resolveFailureTreshold: 3`, false},

	{"threshold 1", `resolveFailureThreshold: 1`, true},
	{"threshold null", `resolveFailureThreshold: null`, true},
	{"threshold 0", `resolveFailureThreshold: 0`, false},
	{"threshold -1", `resolveFailureThreshold: -1`, false},
	{"threshold 1.5", `resolveFailureThreshold: 1.5`, false},
	{"threshold text", `resolveFailureThreshold: x`, false},
	{"rollout threshold 0", `rolloutFailureThreshold: 0`, false},
	{"rollout threshold 7", `rolloutFailureThreshold: 7`, true},
	{"unsettled threshold 0", `unsettledThreshold: 0`, false},
	{"unsettled threshold in the millions", `unsettledThreshold: 3000000`, true},
	{"contested threshold 0", `contestedThreshold: 0`, false},
	{"no limit of rollouts", `maxRollouts: 0`, true},
	{"rollouts below none", `maxRollouts: -1`, false},
	{"one request at a time", `concurrency: 1`, true},
	{"no request at a time", `concurrency: 0`, false},
	{"no rollback", `rollback: false`, true},
	{"rollback perhaps", `rollback: perhaps`, false},
	{"prefix", `annotationPrefix: refresh.example.com`, true},
	{"prefix empty", `annotationPrefix: ""`, true},
	{"prefix with a slash", `annotationPrefix: example.com/x`, false},
	{"prefix in capitals", `annotationPrefix: Example.com`, false},
	{"prefix of Kubernetes", `annotationPrefix: kubernetes.io`, false},
	{"prefix below Kubernetes", `annotationPrefix: apps.k8s.io`, false},
	{"prefix that only looks like it", `annotationPrefix: notk8s.io`, true},
	{"durations", `{rolloutTimeout: 1h2m3.5s, resolveTimeout: 1500ms}`, true},
	{"rollout timeout without a unit", `rolloutTimeout: "10"`, false},
	{"rollout timeout 0", `rolloutTimeout: 0s`, false},
	{"rollout timeout negative", `rolloutTimeout: -5m`, false},
	{"rollout timeout in days", `rolloutTimeout: 1d`, false},
	{"resolve timeout 0", `resolveTimeout: 0m0s`, false},
	{"log level", `logLevel: warn`, true},
	{"no such log level", `logLevel: loud`, false},
	{"log format", `logFormat: text`, true},
	{"no such log format", `logFormat: xml`, false},

	{"target's name of 32", `targets: [{name: a2345678901234567890123456789012, workloads: [{kind: Deployment, name: api}]}]`, true},
	{"target's name of 33", `targets: [{name: a23456789012345678901234567890123, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target's name with a dot", `targets: [{name: a.b, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target's name in capitals", `targets: [{name: Api, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target's name ends in a dash", `targets: [{name: api-, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target's name empty", `targets: [{name: "", workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target without a name", `targets: [{workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target's name twice", `targets: [{name: api, workloads: [{kind: Deployment, name: a}]}, {name: api, workloads: [{kind: Deployment, name: b}]}]`, false},
	{"target with no such key", `targets: [{name: api, threshold: 3, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"pin digest without an image", `targets: [{name: api, pin: digest, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"pin digest with an image", `targets: [{name: api, image: "ghcr.io/x/api:1", pin: digest, workloads: [{kind: Deployment, name: api}]}]`, true},
	{"image that is a digest", `targets: [{name: api, image: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", workloads: [{kind: Deployment, name: api}]}]`, false},
	{"container and variable of one name", `targets: [{name: a, workloads: [{kind: Deployment, name: api, container: api}]}, {name: b, image: "ghcr.io/x/b:1", workloads: [{kind: Deployment, name: api, env: api}]}]`, true},
	{"helmValue of two targets", `targets: [{name: a, workloads: [{kind: Deployment, name: a, helmValue: image.digest}]}, {name: b, workloads: [{kind: Deployment, name: b, helmValue: image.digest}]}]`, false},
	{"helmValue twice for one digest", `targets: [{name: a, workloads: [{kind: Deployment, name: a, helmValue: image.digest}, {kind: Deployment, name: b, helmValue: image.digest}]}]`, true},
	{"helmValue within another", `targets: [{name: a, workloads: [{kind: Deployment, name: a, helmValue: image}, {kind: Deployment, name: b, helmValue: image.digest}]}]`, false},
	{"target with nulls", `targets: [{name: api, image: null, mode: null, resolveFailureThreshold: null, platforms: null, staleAfter: null, minAge: null, pullSecrets: null, pin: null, pinAtOnce: null, workloads: [{kind: Deployment, name: api, namespace: null, container: null, env: null, envValue: null, whenEmpty: null}]}]`, true},
	{"target with everything", `targets: [{name: api, image: "localhost:5000/x/y-z_a:V1.2", mode: notify, resolveFailureThreshold: 9, platforms: [linux/amd64, linux/arm/v7], staleAfter: 720h, minAge: 24h, pullSecrets: [a.b], pin: digest, pinAtOnce: true, workloads: [{kind: DaemonSet, name: a.b, namespace: other, container: c, env: A_B, envValue: reference, whenEmpty: leave}]}]`, true},
	{"target with an empty key for each default", `targets: [{name: api, image: "", mode: "", staleAfter: "", minAge: "", pin: "", workloads: [{kind: Deployment, name: api, namespace: "", container: "", env: "", envValue: "", whenEmpty: ""}]}]`, true},

	{"short image", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api}]}]`, true},
	{"image on an IPv6 host", `targets: [{name: api, image: "[fd00::1]:5000/x:1", workloads: [{kind: Deployment, name: api}]}]`, true},
	{"image with a digest", `targets: [{name: api, image: "ghcr.io/x/y:1@sha256:` + zeros + `", workloads: [{kind: Deployment, name: api}]}]`, false},
	{"image with a scheme", `targets: [{name: api, image: "https://ghcr.io/x/y:1", workloads: [{kind: Deployment, name: api}]}]`, false},
	{"image in capitals", `targets: [{name: api, image: "ghcr.io/X/y:1", workloads: [{kind: Deployment, name: api}]}]`, false},
	{"image with an empty tag", `targets: [{name: api, image: "ghcr.io/x/y:", workloads: [{kind: Deployment, name: api}]}]`, false},
	{"image with a space", `targets: [{name: api, image: "ghcr.io/x/y:1 ", workloads: [{kind: Deployment, name: api}]}]`, false},
	{"no such mode", `targets: [{name: api, mode: warn, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"no such pin", `targets: [{name: api, pin: tag, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target's threshold 0", `targets: [{name: api, resolveFailureThreshold: 0, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"target's threshold text", `targets: [{name: api, resolveFailureThreshold: x, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"platform without an architecture", `targets: [{name: api, platforms: [linux], workloads: [{kind: Deployment, name: api}]}]`, false},
	{"platform in capitals", `targets: [{name: api, platforms: [Linux/amd64], workloads: [{kind: Deployment, name: api}]}]`, false},
	{"platform with four parts", `targets: [{name: api, platforms: [linux/arm/v7/x], workloads: [{kind: Deployment, name: api}]}]`, false},
	{"pin at once, in words", `targets: [{name: api, pinAtOnce: often, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"minimum age 0", `targets: [{name: api, minAge: 0, workloads: [{kind: Deployment, name: api}]}]`, true},
	{"minimum age 0s", `targets: [{name: api, minAge: 0s, workloads: [{kind: Deployment, name: api}]}]`, true},
	{"minimum age negative", `targets: [{name: api, minAge: -1h, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"stale after a negative time", `targets: [{name: api, staleAfter: -1h, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"stale after days", `targets: [{name: api, staleAfter: 30d, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"minimum age without a unit", `targets: [{name: api, minAge: 5, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"pull secret's name", `targets: [{name: api, pullSecrets: [A], workloads: [{kind: Deployment, name: api}]}]`, false},

	{"no workload", `targets: [{name: api, workloads: []}]`, false},
	{"workloads missing", `targets: [{name: api}]`, false},
	{"no such kind", `targets: [{name: api, workloads: [{kind: ReplicaSet, name: api}]}]`, false},
	{"kind in lower case", `targets: [{name: api, workloads: [{kind: deployment, name: api}]}]`, false},
	{"workload without a kind", `targets: [{name: api, workloads: [{name: api}]}]`, false},
	{"workload without a name", `targets: [{name: api, workloads: [{kind: Deployment}]}]`, false},
	{"workload's name in capitals", `targets: [{name: api, workloads: [{kind: Deployment, name: Api}]}]`, false},
	{"workload's namespace with a dot", `targets: [{name: api, workloads: [{kind: Deployment, name: api, namespace: a.b}]}]`, false},
	{"container's name with a dot", `targets: [{name: api, workloads: [{kind: Deployment, name: api, container: a.b}]}]`, false},
	{"workload with no such key", `targets: [{name: api, workloads: [{kind: Deployment, name: api, containers: [a]}]}]`, false},
	{"variable", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, env: A.b-c_1}]}]`, true},
	{"variable that starts with a digit", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, env: 1A}]}]`, false},
	{"variable with a space", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, env: A B}]}]`, false},
	{"variable without an image", `targets: [{name: api, workloads: [{kind: Deployment, name: api, env: A}]}]`, false},
	{"a value of the application's chart", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, helmValue: api.image.digest}]}]`, true},
	{"no value's path", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, helmValue: "a[0]"}]}]`, false},
	{"no such envValue", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, env: A, envValue: tag}]}]`, false},
	{"a variable left empty", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, env: A, whenEmpty: leave}]}]`, true},
	{"no such whenEmpty", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, env: A, whenEmpty: never}]}]`, false},
	{"whenEmpty without env", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, whenEmpty: leave}]}]`, false},
	{"envValue without env", `targets: [{name: api, image: nginx, workloads: [{kind: Deployment, name: api, envValue: digest}]}]`, false},
	{"slot twice", `targets: [{name: a, workloads: [{kind: Deployment, name: api}]}, {name: b, workloads: [{kind: Deployment, name: api}]}]`, false},
	{"slot twice in one target", `targets: [{name: a, workloads: [{kind: Deployment, name: api}, {kind: Deployment, name: api, namespace: tracebloc}]}]`, false},
	{"two containers of a workload", `targets: [{name: a, workloads: [{kind: Deployment, name: api, container: a}, {kind: Deployment, name: api, container: b}]}]`, true},

	{"registry", `registries: [{host: "harbor.example.com:8443", mirrors: ["a.example.com:5000/x/y", localhost, "b:5000"], fallback: false, plainHTTP: true}]`, true},
	{"registry with nulls", `registries: [{host: ghcr.io, mirrors: null, fallback: null, caFile: null, plainHTTP: null}]`, true},
	{"registry without a host", `registries: [{plainHTTP: true}]`, false},
	{"registry with a scheme", `registries: [{host: "https://ghcr.io"}]`, false},
	{"registry with a path", `registries: [{host: ghcr.io/x}]`, false},
	{"registry twice", `registries: [{host: ghcr.io}, {host: ghcr.io}]`, false},
	{"registry with no such key", `registries: [{host: ghcr.io, insecure: true}]`, false},
	{"mirror with a scheme", `registries: [{host: ghcr.io, mirrors: ["https://mirror.example.com"]}]`, false},
	{"mirror without a dot", `registries: [{host: ghcr.io, mirrors: [harbor/x]}]`, false},
	{"mirror in capitals", `registries: [{host: ghcr.io, mirrors: [mirror.example.com/X]}]`, false},
	{"mirror that is docker.io", `registries: [{host: ghcr.io, mirrors: [docker.io/x]}]`, false},
	{"mirror of itself", `registries: [{host: ghcr.io, mirrors: [ghcr.io]}]`, false},
	{"mirror at another path of its host", `registries: [{host: ghcr.io, mirrors: [ghcr.io/x]}]`, true},
	{"registry without a dot", `registries: [{host: registry}]`, false},
	{"registry localhost", `registries: [{host: localhost}]`, true},
	{"registry without a dot but with a port", `registries: [{host: "registry:5000"}]`, true},
	{"registry with two dots", `registries: [{host: a..b}]`, false},
	{"registry with a dash at the end of a label", `registries: [{host: a-.b}]`, false},
	{"registry under both names of docker.io", `registries: [{host: docker.io}, {host: index.docker.io}]`, false},
	{"mirror that is docker.io under its other name", `registries: [{host: ghcr.io, mirrors: [index.docker.io]}]`, false},
	{"mirror with a dash at its beginning", `registries: [{host: ghcr.io, mirrors: ["-a.b"]}]`, false},
	{"no fallback and no mirror", `registries: [{host: ghcr.io, fallback: false}]`, false},
	{"CA", `registries: [{host: ghcr.io, caFile: $CA}]`, true},
	{"CA for plain HTTP", `registries: [{host: ghcr.io, caFile: $CA, plainHTTP: true}]`, false},
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// chartOnly are values that the program has no part in, which the chart's schema alone must judge.
var chartOnly = []struct {
	name, text string
	valid      bool
}{
	{"templates in every string", `targets: [{name: "{{ .Release.Name }}", image: "ghcr.io/x/{{ .Release.Name }}:1", mode: '{{ print "notify" }}', staleAfter: '{{ print "720h" }}', minAge: '{{ print "1h" }}', platforms: ['{{ print "linux/amd64" }}'], pin: '{{ print "digest" }}', pullSecrets: ["{{ .Release.Name }}"], workloads: [{kind: '{{ print "Deployment" }}', name: "{{ .Release.Name }}-api", namespace: "{{ .Release.Namespace }}", container: '{{ print "c" }}', env: '{{ print "E" }}', envValue: '{{ print "digest" }}'}]}]`, true},
	{"a template in a registry", `registries: [{host: "{{ .Release.Name }}.example.com", mirrors: ["{{ .Release.Name }}.example.com/x"]}]`, true},
	{"globals and what a parent chart switches on", `{global: {a: {b: 1}}, enabled: true}`, true},
	{"a threshold in quotes", `resolveFailureThreshold: "3"`, false},
	{"a list of pull secrets by name", `pullSecrets: [ghcr-pull]`, false},
	{"a pull secret", `pullSecrets: [{name: ghcr-pull, namespace: null, secretName: null}]`, true},
	{"a CA from two places", `caCertificates: [{configMap: a, secret: b, key: c}]`, false},
	{"a CA file outside of its folder", `caCertificates: [{configMap: a, key: c, file: ../c}]`, false},
	{"an image's digest", `image: {digest: sha256:abc}`, false},
	{"an image's repository with a tag", `image: {repository: "ghcr.io/x/y:1"}`, false},
	{"an image's tag as a number", `image: {tag: 1.10}`, false},
	{"a time zone in the schedule", `schedule: "CRON_TZ=UTC 7 * * * *"`, false},
	{"a deadline of 0", `activeDeadlineSeconds: 0`, false},
	{"history of none", `{successfulJobsHistoryLimit: 0, failedJobsHistoryLimit: 0}`, true},
	{"an annotation that is no text", `podAnnotations: {a: 1}`, false},
	{"alerts", `prometheusRule: {enabled: true, labels: {a: b}, severity: page, suspendedFor: 1d12h}`, true},
	{"alerts that never end", `prometheusRule: {suspendedFor: forever}`, false},
	{"alerts with no such key", `prometheusRule: {enable: true}`, false},
	{"a dashboard's label that is no text", `grafanaDashboard: {labels: {grafana_dashboard: 1}}`, false},
	{"a dashboard elsewhere", `grafanaDashboard: {enabled: true, namespace: monitoring}`, true},
	{"a dashboard in a template", `grafanaDashboard: {enabled: true, namespace: "{{ .Release.Namespace }}"}`, false},
	{"a network policy", `networkPolicy: {enabled: true, registryPorts: [5000], registriesTo: [{ipBlock: {cidr: 192.0.2.0/24}}]}`, true},
	{"a port that is text", `networkPolicy: {registryPorts: ["5000"]}`, false},
	{"a port beyond all", `networkPolicy: {dnsPorts: [65536]}`, false},
	{"an admission policy", `admissionPolicy: {enabled: true, validationActions: [Warn, Audit]}`, true},
	{"an admission policy that does nothing", `admissionPolicy: {validationActions: []}`, false},
	{"an admission policy that denies and warns", `admissionPolicy: {validationActions: [Deny, Warn]}`, false},
	{"no such validation action", `admissionPolicy: {validationActions: [Refuse]}`, false},
	{"further objects", `extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}, "{{ if false }}x{{ end }}"]`, true},
	{"further objects that are none", `extraObjects: {apiVersion: v1}`, false},
	{"a variable that the chart sets", `extraEnv: [{name: LOG_LEVEL, value: debug}]`, false},
}

// buildProgram builds the program as it is in this tree.
func buildProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image-refresh")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-buildvcs=false", "-o", path, "./cmd/image-refresh")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return path
}

// certificate is a file with a certificate, as caFile asks for.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return path
}

const exitInvalid = 2

// judge has the program read a configuration, and says whether it found it valid. There is no cluster to go on with.
func judge(t *testing.T, program string, config []byte, environment map[string]string) (bool, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, config, 0o600))
	command := exec.CommandContext(t.Context(), program, "plan")
	command.Env = []string{"KUBECONFIG=" + filepath.Join(t.TempDir(), "none"), "HOME=" + t.TempDir(), "CONFIG_FILE=" + file}
	for name, value := range environment {
		command.Env = append(command.Env, name+"="+value)
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	require.Error(t, command.Run(), "there is no cluster")
	require.NotContains(t, stderr.String(), "\ngoroutine ", "a crash is no verdict")
	return command.ProcessState.ExitCode() != exitInvalid, stderr.String()
}

func TestChartAndProgramAgree(t *testing.T) {
	program := buildProgram(t)
	authority := certificate(t)
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, rule := range rules {
			t.Run(rule.name, func(t *testing.T) {
				given := withTarget(t, strings.ReplaceAll(rule.text, "$CA", authority))
				rendered, err := h.template(t, chartDir, valuesFile(t, given)...)
				if !rule.valid {
					require.Error(t, err, "the chart takes it")
					config, environment := direct(t, given)
					valid, said := judge(t, program, config, environment)
					assert.False(t, valid, "the program takes it: %s", said)
					return
				}
				require.NoError(t, err)
				found := decode(t, rendered)
				environment := map[string]string{"POD_NAMESPACE": namespace}
				for _, variable := range container(t, found).Env {
					if variable.ValueFrom == nil {
						environment[variable.Name] = variable.Value
					}
				}
				valid, said := judge(t, program, []byte(configOf(t, found)), environment)
				assert.True(t, valid, "the program refuses it: %s", said)
			})
		}
	})
}

func TestChartJudgesItsOwnValues(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, rule := range chartOnly {
			t.Run(rule.name, func(t *testing.T) {
				_, err := h.template(t, chartDir, valuesFile(t, withTarget(t, rule.text))...)
				if rule.valid {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, "meet the specifications of the schema")
				}
			})
		}
	})
}

// The chart passes on what the program reads, with the defaults that the program tells in its own help.
func TestChartAndProgramHaveTheSameDefaults(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), buildProgram(t), "-h").Output()
	require.NoError(t, err)
	_, help, found := strings.Cut(string(output), "\nEnvironment")
	require.True(t, found)
	want := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^  ([A-Z][A-Z_]+) +(\S*)  `).FindAllStringSubmatch(help, -1) {
		want[line[1]] = line[2]
	}
	require.Contains(t, want, "RESOLVE_FAILURE_THRESHOLD")

	mounted := map[string]string{"CONFIG_FILE": "/etc/image-refresh/config.yaml", "PULL_SECRETS_DIR": "/etc/image-refresh/pull-secrets"}
	for name, path := range mounted {
		assert.Equal(t, path, want[name], "where the chart mounts it")
		delete(want, name)
	}
	rendered := helms[0].mustTemplate(t, chartDir, valuesFile(t, withTarget(t, ""))...)
	got := map[string]string{}
	for _, variable := range container(t, decode(t, rendered)).Env {
		got[variable.Name] = variable.Value
	}
	assert.Equal(t, want, got)
}

// withTarget reads values on top of one valid target.
func withTarget(t *testing.T, text string) map[string]any {
	t.Helper()
	given := map[string]any{"targets": []any{map[string]any{
		"name": "api", "workloads": []any{map[string]any{"kind": "Deployment", "name": "api"}},
	}}}
	var more map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &more))
	maps.Copy(given, more)
	return given
}

// direct hands values to the program without the chart: as its file and its environment, which they mirror.
func direct(t *testing.T, given map[string]any) ([]byte, map[string]string) {
	t.Helper()
	file, environment := map[string]any{}, map[string]string{"POD_NAMESPACE": namespace}
	known := values(t, filepath.Join(chartDir, "values.yaml"))
	capital := regexp.MustCompile(`[A-Z]`)
	for key, value := range given {
		if _, scalar := known[key]; !scalar || key == "targets" || key == "registries" {
			file[key] = value
			continue
		}
		environment[strings.ToUpper(capital.ReplaceAllString(key, "_$0"))] = fmt.Sprint(value)
	}
	text, err := yaml.Marshal(file)
	require.NoError(t, err)
	return text, environment
}

func container(t *testing.T, found objects) corev1.Container {
	t.Helper()
	require.Len(t, found.cronJobs, 1)
	containers := found.cronJobs[0].Spec.JobTemplate.Spec.Template.Spec.Containers
	require.Len(t, containers, 1)
	return containers[0]
}
