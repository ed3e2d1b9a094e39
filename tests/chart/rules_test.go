package chart

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/product"
)

type list = []string

// Where a key stands: each is a whole configuration, with the key and its value for $X.
const (
	top       = `{targets: [{name: api, workloads: [{$D: api}]}], $X}`
	target    = `targets: [{name: api, workloads: [{$D: api}], $X}]`
	workloadX = `targets: [{name: api, workloads: [{$D: api, $X}]}]`
	withImage = `targets: [{name: api, image: nginx, workloads: [{$D: api, $X}]}]`
	withEnv   = `targets: [{name: api, image: nginx, workloads: [{$D: api, env: A, $X}]}]`
	registry  = `{targets: [{name: api, workloads: [{$D: api}]}], registries: [{host: ghcr.io, $X}]}`
	withCA    = `{targets: [{name: api, workloads: [{$D: api}]}], registries: [{host: ghcr.io, $X}], caCertificates: [{secret: ca, key: ca.crt}]}`

	mounts = "/etc/image-refresh/ca/" // where the chart mounts certificates, which are elsewhere here

	// publicKey is one of cosign's, as JSON.
	publicKey = `"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"`

	zeros = "0000000000000000000000000000000000000000000000000000000000000000"
)

// keyRule is a key, with values that the chart takes and values that it refuses, naming the key.
type keyRule struct {
	place, key     string
	taken, refused list
}

// shared are the keys of which the chart and the program must agree.
var shared = []keyRule{
	{top, "resolveFailureTreshold", nil, list{"3"}}, // no such key
	{top, "resolveFailureThreshold", list{"1", "null"}, list{"0", "-1", "1.5", "x"}},
	{top, "rolloutFailureThreshold", list{"7"}, list{"0"}},
	{top, "unsettledThreshold", list{"3000000"}, list{"0"}},
	{top, "contestedThreshold", nil, list{"0"}},
	{top, "maxRollouts", list{"0"}, list{"-1"}},
	{top, "concurrency", list{"1"}, list{"0"}},
	{top, "rollback", list{"false"}, list{"perhaps"}},
	{top, "annotationPrefix", list{"refresh.example.com", `""`, "notk8s.io"}, list{
		"example.com/x", "Example.com", "kubernetes.io", "apps.k8s.io",
	}},
	{top, "rolloutTimeout", list{"1h2m3.5s"}, list{`"10"`, "0s", "-5m", "1d"}},
	{top, "resolveTimeout", list{"1500ms"}, list{"0m0s"}},
	{top, "runbookURL", list{`"https://wiki.example.com/refresh?page=1"`, `""`}, list{"wiki", "https://example.com/x#y", "https://me:secret@example.com/x"}},
	{top, "clusterName", list{"prod eu"}, nil},
	{top, "logLevel", list{"warn"}, list{"loud"}},
	{top, "logFormat", list{"text"}, list{"xml"}},

	{target, "name", list{"a2345678901234567890123456789012"}, list{"a23456789012345678901234567890123", "a.b", "Api", "api-", `""`}},
	{target, "threshold", nil, list{"3"}}, // no such key
	{target, "image", list{"nginx", `"[fd00::1]:5000/x:1"`}, list{
		zeros[:63] + "f", "ghcr.io/x/y:1@sha256:" + zeros, "https://ghcr.io/x/y:1", "ghcr.io/X/y:1", `"ghcr.io/x/y:"`, `"ghcr.io/x/y:1 "`,
	}},
	{target, "mode", nil, list{"warn"}},
	{target, "pin", nil, list{"tag"}},
	{target, "resolveFailureThreshold", nil, list{"0", "x"}},
	{target, "platforms", nil, list{"[linux]", "[Linux/amd64]", "[linux/arm/v7/x]"}},
	{target, "pinAtOnce", nil, list{"often"}},
	{target, "minAge", list{"0", "0s"}, list{"-1h", "5"}},
	{target, "window", list{"{from: '22:00', to: '05:00'}", "{days: [Sat, Sun], from: '00:00', to: '24:00', timeZone: Europe/Berlin}", "null"}, list{
		"{from: '22:00'}", "{from: 1320, to: '23:00'}", "{from: '9:00', to: '12:00'}", "{from: '22:00', to: '22:59'}", "{days: [mon], from: '22:00', to: '05:00'}",
		"{from: '22:00', to: '05:00', timeZone: Local}",
	}},
	{top, "window", list{"{from: '22:00', to: '05:00'}"}, list{"{from: '23:30', to: '00:00'}"}},
	{target, "staleAfter", nil, list{"-1h", "30d"}},
	{target, "pullSecrets", nil, list{"[A]"}},
	{target, "verify", list{"{keys: [$KEY]}", "null"}, list{"{keys: []}", "{}", "[a]", "{key: a}"}},
	{target, "workloads", nil, list{"[]", "null"}},

	{workloadX, "kind", nil, list{"ReplicaSet", "deployment"}},
	{workloadX, "name", nil, list{"Api"}},
	{workloadX, "namespace", nil, list{"a.b"}},
	{workloadX, "container", nil, list{"a.b"}},
	{workloadX, "containers", nil, list{"[a]"}}, // no such key
	{withImage, "env", list{"A.b-c_1"}, list{"1A", "A B"}},
	{withImage, "helmValue", list{"api.image.digest"}, list{`"a[0]"`}},
	{withEnv, "whenEmpty", list{"leave"}, list{"never"}},
	{withEnv, "envValue", nil, list{"tag"}},

	{registry, "host", list{"localhost", `"registry:5000"`}, list{"https://ghcr.io", "ghcr.io/x", "registry", "a..b", "a-.b"}},
	{registry, "insecure", nil, list{"true"}}, // no such key
	{registry, "mirrors", list{"[ghcr.io/x]"}, list{
		`["https://mirror.example.com"]`, "[harbor/x]", "[mirror.example.com/X]", "[docker.io/x]", "[ghcr.io]", "[index.docker.io]", `["-a.b"]`,
	}},
	{registry, "cloudIdentity", list{"false"}, list{"often"}},
	{withCA, "caFile", list{mounts + "ca.crt"}, list{mounts + "ca.crt, plainHTTP: true"}},
}

// configurations are what no single key tells, as whole files, and whether they are valid. The chart and the program must agree
// on each.
var configurations = []struct {
	name, text string
	valid      bool
}{
	{"the least", `targets: [{name: api, workloads: [{$D: api}]}]`, true},
	{"a target with nulls", `targets: [{name: api, image: null, mode: null, resolveFailureThreshold: null, platforms: null, staleAfter: null,
		minAge: null, pullSecrets: null, pin: null, pinAtOnce: null,
		workloads: [{$D: api, namespace: null, container: null, env: null, envValue: null, whenEmpty: null}]}]`, true},
	{"a target with everything", `targets: [{name: api, image: "localhost:5000/x/y-z_a:V1.2", mode: notify, resolveFailureThreshold: 9,
		platforms: [linux/amd64, linux/arm/v7], staleAfter: 720h, minAge: 24h, pullSecrets: [a.b], pin: digest, pinAtOnce: true,
		workloads: [{kind: DaemonSet, name: a.b, namespace: other, container: c, env: A_B, envValue: reference, whenEmpty: leave}]}]`, true},
	{"a target with an empty key for each default", `targets: [{name: api, image: "", mode: "", staleAfter: "", minAge: "", pin: "",
		workloads: [{$D: api, namespace: "", container: "", env: "", envValue: "", whenEmpty: ""}]}]`, true},
	{"a target without a name", `targets: [{workloads: [{$D: api}]}]`, false},
	{"a target without workloads", `targets: [{name: api}]`, false},
	{"a workload without a kind", `targets: [{name: api, workloads: [{name: api}]}]`, false},
	{"a workload without a name", `targets: [{name: api, workloads: [{kind: Deployment}]}]`, false},
	{"a variable without an image", `targets: [{name: api, workloads: [{$D: api, env: A}]}]`, false},
	{"whenEmpty without a variable", `targets: [{name: api, image: nginx, workloads: [{$D: api, whenEmpty: leave}]}]`, false},
	{"envValue without a variable", `targets: [{name: api, image: nginx, workloads: [{$D: api, envValue: digest}]}]`, false},
	{"a target's name twice", `targets: [{name: a, workloads: [{$D: a}]}, {name: a, workloads: [{$D: b}]}]`, false},
	{"a digest to pin and an image", `targets: [{name: api, image: "ghcr.io/x/api:1", pin: digest, workloads: [{$D: api}]}]`, true},
	{"a digest to pin and no image", `targets: [{name: api, pin: digest, workloads: [{$D: api}]}]`, false},
	{"a slot twice", `targets: [{name: a, workloads: [{$D: api}]}, {name: b, workloads: [{$D: api}]}]`, false},
	{"a slot twice in one target", `targets: [{name: a, workloads: [{$D: api}, {$D: api, namespace: tracebloc}]}]`, false},
	{"two containers", `targets: [{name: a, workloads: [{$D: api, container: a}, {$D: api, container: b}]}]`, true},
	{"a container and a variable of one name", `targets: [{name: a, workloads: [{$D: api, container: api}]},
		{name: b, image: "ghcr.io/x/b:1", workloads: [{$D: api, env: api}]}]`, true},
	{"a helmValue of two targets", `targets: [{name: a, workloads: [{$D: a, helmValue: image.digest}]},
		{name: b, workloads: [{$D: b, helmValue: image.digest}]}]`, false},
	{"a helmValue twice", `targets: [{name: a, workloads: [{$D: a, helmValue: i.digest}, {$D: b, helmValue: i.digest}]}]`, true},
	{"a helmValue within another", `targets: [{name: a, workloads: [{$D: a, helmValue: image}, {$D: b, helmValue: image.digest}]}]`, false},
	{"registries", `{targets: [{name: api, workloads: [{$D: api}]}], registries: [
		{host: "harbor.example.com:8443", mirrors: ["a.example.com:5000/x/y", localhost, "b:5000"], fallback: false, plainHTTP: true},
		{host: ghcr.io, mirrors: null, fallback: null, caFile: null, plainHTTP: null, cloudIdentity: null}, {host: gcr.io, cloudIdentity: false}]}`, true},
	{"keys for all", `{targets: [{name: api, workloads: [{$D: api}]}], verify: {keys: [$KEY, $KEY]}}`, true},
	{"no keys for all", `{targets: [{name: api, workloads: [{$D: api}]}], verify: {keys: []}}`, false},
	{"a registry without a host", `{targets: [{name: api, workloads: [{$D: api}]}], registries: [{plainHTTP: true}]}`, false},
	{"a registry without a mirror and without itself", `{targets: [{name: api, workloads: [{$D: api}]}],
		registries: [{host: ghcr.io, fallback: false}]}`, false},
	{"a registry twice", `{targets: [{name: api, workloads: [{$D: api}]}], registries: [{host: ghcr.io}, {host: ghcr.io}]}`, false},
	{"both names of docker.io", `{targets: [{name: api, workloads: [{$D: api}]}],
		registries: [{host: docker.io}, {host: index.docker.io}]}`, false},
}

// chartOnly are values that the program has no part in, and that the chart must take. What it refuses is in testdata/mistakes.txt.
var chartOnly = []keyRule{
	{top, "global", list{"{a: {b: 1}}, enabled: true"}, nil}, // what a parent chart switches on
	{top, "pullSecrets", list{"[{name: ghcr-pull, namespace: null, secretName: null}]"}, nil},
	{top, "schedule", list{"'@hourly'", "'*/5 8-18 * * MON-FRI'"}, nil},
	{top, "successfulJobsHistoryLimit", list{"0"}, nil},
	{top, "failedJobsHistoryLimit", list{"0"}, nil},
	{top, "prometheusRule", list{"{enabled: true, labels: {a: b}, severity: page, suspendedFor: 1d12h}"}, nil},
	{top, "grafanaDashboard", list{"{enabled: true, namespace: monitoring}"}, nil},
	{top, "networkPolicy", list{"{enabled: true, registryPorts: [5000, 65535], registriesTo: [{ipBlock: {cidr: 192.0.2.0/24}}]}"}, nil},
	{top, "admissionPolicy", list{"{enabled: true, validationActions: [Warn, Audit]}"}, nil},
	{top, "extraObjects", list{`[{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}, "{{ if false }}x{{ end }}"]`}, nil},
	{top, "notify", list{"{secretName: a, key: b, on: changes}", `{secretName: a, "on": ""}`}, nil},
	{top, "heartbeat", list{"{secretName: a}"}, nil},
	{registry, "mirrors", list{`["{{ .Release.Name }}.example.com/x"]`}, nil},
	{target, "image", list{`"ghcr.io/x/{{ .Release.Name }}:1", mode: '{{ print "notify" }}', pin: '{{ print "digest" }}'`}, nil},
	{target, "minAge", list{`'{{ print "1h" }}', staleAfter: '{{ print "720h" }}'`}, nil},
	{target, "platforms", list{`['{{ print "linux/amd64" }}'], pullSecrets: ["{{ .Release.Name }}"]`}, nil},
	{workloadX, "namespace", list{`"{{ .Release.Namespace }}", container: '{{ print "c" }}'`}, nil},
	{withImage, "env", list{`'{{ print "E" }}', envValue: '{{ print "digest" }}'`}, nil},
}

// forEachValue judges every value of every key, side by side; key is empty where the value must be taken.
func forEachValue(t *testing.T, rules []keyRule, judge func(t *testing.T, text, key string)) {
	t.Helper()
	each := func(rule keyRule, values list, key string) {
		for _, value := range values {
			t.Run(rule.key+": "+value, func(t *testing.T) {
				t.Parallel()
				judge(t, strings.Replace(rule.place, "$X", rule.key+": "+value, 1), key)
			})
		}
	}
	for _, rule := range rules {
		each(rule, rule.taken, "")
		each(rule, rule.refused, rule.key)
	}
}

// read reads values: $D is a Deployment, as far as its name.
func read(t *testing.T, text string) (given map[string]any) {
	t.Helper()
	text = strings.NewReplacer("$D", "kind: Deployment, name", "$KEY", publicKey, "\t", " ").Replace(text)
	require.NoError(t, yaml.Unmarshal([]byte(text), &given), text)
	return given
}

// own is what a template says behind the key; what the schema says is Helm's wording.
var own = regexp.MustCompile(`values/check\.yaml:[0-9:]+\): \S+: (.*)`)

func TestChartAndProgramAgree(t *testing.T) {
	program, err := product.Build(t.Context(), t.TempDir(), false, os.Stderr)
	require.NoError(t, err)
	authority, err := pki.NewAuthority("registry")
	require.NoError(t, err)
	certificates := t.TempDir() + "/"
	require.NoError(t, authority.WriteFile(certificates+"ca.crt"))
	forEachHelm(t, func(t *testing.T, h helm) {
		judge := func(t *testing.T, text, key string, valid bool) {
			given := read(t, text)
			rendered, err := h.template(t, chartDir, valuesFile(t, given)...)
			if !valid {
				require.ErrorContains(t, err, key, "the chart takes it, or does not name the key")
				config, environment := direct(t, given)
				valid, said := accepts(t, program, strings.ReplaceAll(config, mounts, certificates), environment)
				assert.False(t, valid, "the program takes it: %s", said)
				if words := own.FindStringSubmatch(err.Error()); words != nil && !strings.Contains(words[1], "not known here") {
					bare := strings.NewReplacer(" \",", ",", certificates, mounts, `\"`, "", `"`, "") // a variable's number is a text
					assert.Contains(t, bare.Replace(said), bare.Replace(words[1]), "in the same words")
				}
				return
			}
			require.NoError(t, err)
			found := decode(t, rendered)
			environment := map[string]string{"POD_NAMESPACE": namespace}
			for _, variable := range tickOf(t, found).Containers[0].Env {
				if variable.ValueFrom == nil {
					environment[variable.Name] = variable.Value
				}
			}
			config, _ := configOf(t, found)
			valid, said := accepts(t, program, strings.ReplaceAll(config, mounts, certificates), environment)
			assert.True(t, valid, "the program refuses it: %s", said)
		}
		for _, c := range configurations {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				judge(t, c.text, "", c.valid)
			})
		}
		forEachValue(t, shared, func(t *testing.T, text, key string) { judge(t, text, key, key == "") })
	})
}

func TestChartTakesItsOwnValues(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		forEachValue(t, chartOnly, func(t *testing.T, text, _ string) {
			h.mustTemplate(t, chartDir, valuesFile(t, read(t, text))...)
		})
	})
}

// The chart passes on what the program reads, with the defaults that the program tells in its own help.
func TestChartAndProgramHaveTheSameDefaults(t *testing.T) {
	t.Parallel()
	program, err := product.Build(t.Context(), t.TempDir(), false, os.Stderr)
	require.NoError(t, err)
	output, err := exec.CommandContext(t.Context(), program, "-h").Output()
	require.NoError(t, err)
	_, help, found := strings.Cut(string(output), "\nEnvironment")
	require.True(t, found)
	want := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^  ([A-Z][A-Z_]+) +(\S*)  `).FindAllStringSubmatch(help, -1) {
		want[line[1]] = line[2]
	}
	require.Contains(t, want, "RESOLVE_FAILURE_THRESHOLD")
	got := map[string]string{ // where the chart mounts them
		"CONFIG_FILE": "/etc/image-refresh/config.yaml", "PULL_SECRETS_DIR": "/etc/image-refresh/pull-secrets",
		"NOTIFY_URLS": "", "HEARTBEAT_URL": "", // where a Secret is named
	}
	for _, variable := range tickOf(t, decode(t, helms[0].mustTemplate(t, chartDir, example("default")...))).Containers[0].Env {
		got[variable.Name] = variable.Value
	}
	assert.Equal(t, want, got)
}

// accepts has the program read a configuration, and says whether it found it valid. There is no cluster to go on with.
func accepts(t *testing.T, program, config string, environment map[string]string) (bool, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	command := exec.CommandContext(t.Context(), program, "plan")
	command.Env = []string{"KUBECONFIG=" + filepath.Join(dir, "none"), "HOME=" + dir, "CONFIG_FILE=" + file}
	for name, value := range environment {
		command.Env = append(command.Env, name+"="+value)
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	require.Error(t, command.Run(), "there is no cluster")
	require.NotContains(t, stderr.String(), "\ngoroutine ", "a crash is no verdict")
	const exitInvalid = 2
	return command.ProcessState.ExitCode() != exitInvalid, stderr.String()
}

// direct hands values to the program without the chart: as its file and its environment, which they mirror.
func direct(t *testing.T, given map[string]any) (config string, environment map[string]string) {
	t.Helper()
	file, environment := maps.Clone(given), map[string]string{"POD_NAMESPACE": namespace}
	for key := range values(t, chartDir, "values.yaml") {
		if value, is := given[key]; is && !slices.Contains(list{"targets", "registries", "verify", "window", "cloudIdentity"}, key) {
			delete(file, key)
			environment[strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(key, "${1}_$2"))] = fmt.Sprint(value)
		}
	}
	text, err := yaml.Marshal(file)
	require.NoError(t, err)
	return string(text), environment
}
