package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/window"
)

// The texts that cases replace in the valid configuration.
const (
	hostKey     = "host: ghcr.io"
	mirrorKey   = "[harbor.example.com/ghcr]"
	fallbackKey = "fallback: true"
	imageKey    = "    image: ghcr.io/example/api:1.2\n"
	workKey     = "    workloads:\n" + entryKey
	entryKey    = "      - kind: Deployment\n        name: stg-api\n        container: app\n        env: API_DIGEST\n"
	envKey      = "        env: API_DIGEST\n"
)

// keysOf are those that a file's problems name; what is said of them is for people.
func keysOf(t *testing.T, text string) (keys []string) {
	t.Helper()
	_, problems := read(t, write(t, text), map[string]string{"POD_NAMESPACE": "tracebloc"})
	for _, line := range problems {
		key, _, said := strings.Cut(line, ": ")
		assert.True(t, said, "%q names a key", line)
		keys = append(keys, key)
	}
	return keys
}

// Each value, in place of a text of the valid configuration, is a problem of the one key.
func TestValuesThatAKeyDoesNotTake(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 254)
	digest := "@sha256:" + strings.Repeat("a", 64)
	added := func(before, key string, values ...string) (all []string) { // a further key
		for _, value := range values {
			all = append(all, before+key+": "+value+"\n")
		}
		return all
	}
	for _, c := range []struct {
		key, old string
		values   []string
	}{
		{"registries", "  - host: ghcr.io\n    mirrors: [harbor.example.com/ghcr]\n    fallback: true\n", []string{"  ghcr.io: {}\n"}},
		{"registries[0].host", hostKey, []string{"host:", "host: https://ghcr.io", "host: ghcr.io/x", "host: GHCR.io", "host: ghcr"}},
		{"registries[0].host", hostKey, []string{"host: ghcr..io", "host: me:pw@ghcr.io", "host: [ghcr.io]"}},
		{"registries[1].host", "registries:\n", []string{"registries:\n  - host: ghcr.io\n"}},
		{"registries[1].host", "  - host: ghcr.io\n", []string{"  - host: index.docker.io\n  - host: docker.io\n"}},
		{"registries[0].mirrors", mirrorKey, []string{"harbor.example.com"}},
		{"registries[0].mirrors[0]", mirrorKey, []string{"[https://harbor.example.com]", "[harbor.example.com/]", "[null]", "[a/b/C]"}},
		{"registries[0].mirrors[0]", mirrorKey, []string{"[harbor.example.com/ghcr:1]", "[harbor/ghcr]", "[docker.io/ghcr]", "[ghcr.io]"}},
		{"registries[0].fallback", fallbackKey, []string{"fallback: maybe"}},
		{"registries[0].fallback", "    mirrors: [harbor.example.com/ghcr]\n    fallback: true", []string{"    fallback: false"}},
		{"registries[0].caFile", fallbackKey, []string{"caFile: /no/such/file", "caFile: config.go", "caFile: testdata"}},
		{"registries[0].caFile", fallbackKey, []string{"caFile: x\n    plainHTTP: true"}},
		{"registries[0].plainHTTP", fallbackKey, []string{"plainHTTP: 1"}},
		{"registries[0].cloudIdentity", fallbackKey, []string{"cloudIdentity: 1"}},

		{"targets[0].name", "name: api\n", []string{"name:\n", "name: Api\n", "name: a.b\n", "name: [api]\n", "name: " + long[:33] + "\n"}},
		{"targets[0].image", ":1.2", []string{digest, ":1.2" + digest, "@sha256:zz"}},
		{"targets[0].image", "ghcr.io/example/api", []string{"ghcr.io/Example/Api", "https://ghcr.io/example/api"}},
		{"targets[0].image", imageKey, []string{"    image: {name: x}\n", "", "    image:\n"}}, // missing, in env mode
		{"targets[0].mode", imageKey, added(imageKey, "    mode", "dry")},
		{"targets[0].resolveFailureThreshold", imageKey, added(imageKey, "    resolveFailureThreshold",
			"0", "-1", "1.5", "x", `"3"`, "99999999999999999999", "[3]")},
		{"targets[0].platforms", imageKey, added(imageKey, "    platforms", "linux/amd64")},
		{"targets[0].platforms[1]", imageKey, added(imageKey, "    platforms", "[linux/amd64, arm64]")},
		{"targets[0].platforms[0]", imageKey, added(imageKey, "    platforms", "[null]")},
		{"targets[0].staleAfter", imageKey, added(imageKey, "    staleAfter", "30", "-1s")},
		{"targets[0].minAge", imageKey, added(imageKey, "    minAge", "30", "-1s", "1d", "{h: 1}")},
		{"targets[0].window.from", imageKey, added(imageKey, "    window", "{to: '05:00'}", "{from: 1320, to: '05:00'}", "{from: '9:00', to: '12:00'}",
			"{from: '24:30', to: '05:00'}")},
		{"targets[0].window.to", imageKey, added(imageKey, "    window", "{from: '22:00'}", "{from: '22:00', to: 5am}")},
		{"targets[0].window", imageKey, added(imageKey, "    window", "{from: '22:00', to: '22:59'}", "{from: '22:00', to: '22:00'}",
			"{from: '23:30', to: '00:29'}")},
		{"targets[0].window.days[1]", imageKey, added(imageKey, "    window", "{days: [Mon, tue], from: '22:00', to: '05:00'}",
			"{days: [Mon, null], from: '22:00', to: '05:00'}")},
		{"targets[0].window.timeZone", imageKey, added(imageKey, "    window", "{from: '22:00', to: '05:00', timeZone: Berlin}",
			"{from: '22:00', to: '05:00', timeZone: Local}")},
		{"targets[0].pullSecrets[0]", imageKey, added(imageKey, "    pullSecrets", "[{name: x}]", "[X]", "[../x]")}, // the chart's form is the first
		{"targets[0].verify.keys", imageKey, added(imageKey, "    verify", "{}", "{keys: []}", "{keys: cosign.pub}")},
		{"targets[0].verify.keys[0]", imageKey, added(imageKey, "    verify", "{keys: [absent.pub]}", "{keys: [/dev/null]}", "{keys: ['-----BEGIN PUBLIC KEY-----']}", "{keys: [null]}")},
		{"verify.keys[1]", "targets:\n", []string{"verify: {keys: [" + somePublicKey + ", absent.pub]}\ntargets:\n"}},
		{"targets[0].pin", imageKey, added(imageKey, "    pin", "tag")},
		{"targets[0].pinAtOnce", imageKey, added(imageKey, "    pinAtOnce", "often")},
		{"targets[0].workloads", workKey, []string{"", "    workloads: []\n", "    workloads: {kind: x}\n"}},
		{"targets[0].workloads[0]", workKey, []string{"    workloads: [stg-api]\n", "    workloads: [null]\n"}},
		{"targets[0].workloads[0].kind", "kind: Deployment", []string{"kind: Job", "kind: deployment"}},
		{"targets[0].workloads[0].name", "stg-api", []string{long, "../secrets/x"}},
		{"targets[0].workloads[0].namespace", envKey, added(envKey, "        namespace", long[:64])},
		{"targets[0].workloads[0].container", "container: app", []string{"container: " + long[:64]}},
		{"targets[0].workloads[0].env", "API_DIGEST", []string{"A=B"}},
		{"targets[0].workloads[0].helmValue", envKey, added(envKey, "        helmValue", "api..digest", "'images[0].digest'")},
		{"targets[0].workloads[0].envValue", envKey, added(envKey, "        envValue", "tag")},
		{"targets[0].workloads[0].envValue", envKey, added("", "        envValue", "reference")}, // without env
		{"targets[0].workloads[0].whenEmpty", envKey, added(envKey, "        whenEmpty", "never")},
		{"targets[0].workloads[0].whenEmpty", envKey, added("", "        whenEmpty", "leave")}, // without env
	} {
		for _, value := range c.values {
			assert.Equal(t, []string{c.key}, keysOf(t, instead(t, c.old, value)), value)
		}
	}
}

// What several keys must not be together.
func TestKeysThatContradictEachOther(t *testing.T) {
	t.Parallel()
	_, target, _ := strings.Cut(valid, "targets:\n")
	other := strings.NewReplacer("name: api\n", "name: other\n", "API_DIGEST", "OTHER").Replace(target)
	chart := func(first, second string) string { // two targets that name these values of a chart
		return instead(t, envKey, envKey+"        helmValue: "+first+"\n") + other + "        helmValue: " + second + "\n"
	}
	twice := func(further string) string { // one target that names one value of a chart in two slots
		return valid + "        helmValue: d\n" + strings.Replace(entryKey, "API_DIGEST", "OTHER", 1) + further + "        helmValue: d\n"
	}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a target's name twice":             {valid + strings.Replace(target, "API_DIGEST", "OTHER", 1), []string{"targets[1].name"}},
		"pin: digest without an image":      {strings.Replace(instead(t, envKey, ""), imageKey, "    pin: digest\n", 1), []string{"targets[0].pin"}},
		"a chart's value of two targets":    {chart("api.digest", "api.digest"), []string{"targets[1].workloads[0].helmValue"}},
		"a chart's value that is a part":    {chart("api.digest", "api"), []string{"targets[1].workloads[0].helmValue"}},
		"a chart's value that holds one":    {chart("api", "api.digest"), []string{"targets[1].workloads[0].helmValue"}},
		"chart's values that begin alike":   {chart("api", "api2.digest"), nil},
		"a chart's value of two meanings":   {twice("        envValue: reference\n"), []string{"targets[0].workloads[1].helmValue"}},
		"a chart's value of one, spelled":   {twice("        envValue: digest\n"), nil},
		"a chart's value of one meaning":    {twice(""), nil},
		"whenEmpty: leave":                  {valid + "        whenEmpty: leave\n", nil},
		"a slot twice in a target":          {valid + entryKey, []string{"targets[0].workloads[1]"}},
		"a slot of two targets":             {valid + strings.Replace(target, "name: api", "name: web", 1), []string{"targets[1].workloads[0]"}},
		"a slot in the namespace, by name":  {valid + entryKey + "        namespace: tracebloc\n", []string{"targets[0].workloads[1]"}},
		"no target":                         {"targets: []", []string{"targets"}},
		"the valid configuration, as it is": {valid, nil},
	} {
		assert.Equal(t, c.want, keysOf(t, c.text), name)
	}
}

// somePublicKey is one in PEM, as YAML.
const somePublicKey = `"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"`

// A target's keys are its own, or those for all; files are found beside the configuration, and by their whole name.
func TestKeysOfTargets(t *testing.T) {
	t.Parallel()
	_, target, _ := strings.Cut(valid, "targets:\n")
	pem, err := strconv.Unquote(somePublicKey)
	require.NoError(t, err)
	file := write(t, pem)
	got, problems := read(t, write(t, "verify: {keys: ["+somePublicKey+"]}\n"+instead(t, imageKey, imageKey+"    verify: {keys: ["+file+", "+somePublicKey+"]}\n")+
		strings.NewReplacer("name: api\n", "name: other\n", "API_DIGEST", "OTHER").Replace(target)), nil)
	assert.Empty(t, problems)
	assert.Len(t, got.Targets[0].Keys, 2)
	assert.Len(t, got.Targets[1].Keys, 1)
	beside := write(t, instead(t, imageKey, imageKey+"    verify: {keys: [cosign.pub]}\n"))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(beside), "cosign.pub"), []byte(pem), 0o600))
	got, problems = read(t, beside, nil)
	assert.Empty(t, problems)
	assert.Equal(t, "SHA256:a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f", got.Targets[0].Keys[0].Fingerprint())
}

func TestEveryChoiceIsTaken(t *testing.T) {
	t.Parallel()
	got, problems := read(t, write(t, `cloudIdentity: no
window: {from: "22:00", to: "23:00"}
registries:
  - {host: "localhost:5000", plainHTTP: yes, cloudIdentity: yes}
  - {host: "[::1]:5000", mirrors: ["harbor.example.com:8443", harbor.example.com/a/b_c], fallback: false}
targets:
  - name: `+strings.Repeat("a", 32)+`
    mode: notify
    resolveFailureThreshold: 1
    staleAfter: 720h
    minAge: 1h30m
    window: {days: [Sat, Sun], from: "00:00", to: "24:00", timeZone: Europe/Berlin}
    platforms: [linux/arm/v7]
    workloads:
      - {kind: StatefulSet, name: 123, namespace: other}
      - {kind: DaemonSet, name: a.b, container: init}
  - {name: b, image: nginx, pin: digest, pinAtOnce: true, minAge: 0, workloads: [{kind: CronJob, name: c}]}
  - {name: c, image: "nginx:latest", workloads: [{kind: Deployment, name: c, env: X, envValue: reference}]}
`), nil)
	assert.Empty(t, problems)
	assert.Len(t, got.Warnings(), 2, "a missing tag and latest are accepted with a warning")
	assert.Equal(t, []image.Registry{
		{Host: "localhost:5000", Fallback: true, PlainHTTP: true, CloudIdentity: true},
		{Host: "[::1]:5000", Mirrors: []string{"harbor.example.com:8443", "harbor.example.com/a/b_c"}},
	}, got.Registries)
	assert.False(t, got.CloudIdentity)
	a, b, c := got.Targets[0], got.Targets[1], got.Targets[2]
	assert.Equal(t, Target{
		Name: a.Name, Notify: true, ResolveFailureThreshold: 1, MinAge: 90 * time.Minute, StaleAfter: 720 * time.Hour, Platforms: a.Platforms,
		Window:    &window.Window{Days: []time.Weekday{time.Saturday, time.Sunday}, To: 24 * time.Hour, Zone: a.Window.Zone},
		Workloads: []Workload{{Kind: StatefulSet, Name: "123", Namespace: "other"}, {Kind: DaemonSet, Name: "a.b", Container: "init"}},
	}, a)
	assert.Equal(t, "Europe/Berlin", a.Window.Zone.String())
	assert.Len(t, b.Window.Days, 7)
	assert.Equal(t, "UTC", b.Window.Zone.String())
	assert.Equal(t, "linux/arm/v7", a.Platforms[0].String())
	assert.True(t, b.DigestOnly && b.PinAtOnce && b.MinAge == 0)
	assert.True(t, c.Workloads[0].Reference)
}
