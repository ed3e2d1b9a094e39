package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/config"
)

// The texts that cases replace in the valid configuration.
const (
	imageKey = "    image: ghcr.io/example/api:1.2\n"
	workKey  = "    workloads:\n      - kind: Deployment\n        name: stg-api\n        container: app\n        env: API_DIGEST\n"
	entryKey = "      - kind: Deployment\n        name: stg-api\n        container: app\n        env: API_DIGEST\n"
	envKey   = "        env: API_DIGEST\n"
)

// firstTarget is the valid configuration's target, to be listed again.
func firstTarget() string {
	_, target, _ := strings.Cut(valid, "targets:\n")
	return target
}

// twoValues is a configuration of two targets that name these values of a chart.
func twoValues(t *testing.T, first, second string) string {
	t.Helper()
	both := instead(t, envKey, envKey+"        helmValue: "+first+"\n")
	other := strings.NewReplacer("name: api\n", "name: other\n", "API_DIGEST", "OTHER").Replace(firstTarget())
	return both + strings.Replace(other, "        env: OTHER\n", "        env: OTHER\n        helmValue: "+second+"\n", 1)
}

func TestTheValidConfigurationIsValid(t *testing.T) {
	t.Parallel()
	require.Empty(t, problemsOf(t, valid))
}

// The keys that are named; what is said of them is for people.
func TestFileNamesTheKeyThatIsWrong(t *testing.T) {
	t.Parallel()
	secondTarget := valid + strings.Replace(firstTarget(), "API_DIGEST", "OTHER", 1)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":                    {"", []string{"targets"}},
		"a comment":                {"# nothing\n", []string{"targets"}},
		"null":                     {"null", []string{"targets"}},
		"null keys":                {"registries: null\ntargets: ~", []string{"targets"}},
		"no target":                {"targets: []", []string{"targets"}},
		"no YAML":                  {"targets: [", []string{"is not YAML"}},
		"a tab":                    {"targets:\n\t- name: x", []string{"is not YAML"}},
		"binary":                   {"\x00\x01\xff", []string{"is not YAML"}},
		"an undefined alias":       {"targets: *x", []string{"is not YAML"}},
		"an alias in itself":       {"targets: &a [*a]", []string{"targets[0]"}},
		"a merge of itself":        {"targets: [&a {name: x, <<: *a}]", []string{"targets[0]"}},
		"an unknown alias key":     {"? &k {a: b}\n: c\n*k : d", []string{"(a key that is no plain text)", "(a key that is no plain text)", "targets"}},
		"a text":                   {"hello", []string{"must be a mapping with keys"}},
		"a list":                   {"- name: x", []string{"must be a mapping with keys"}},
		"two documents":            {valid + "---\n" + valid, []string{"has more than one YAML document"}},
		"a broken second document": {valid + "---\n[", []string{"has more than one YAML document"}},
		"an unknown key":           {valid + "target: []\n", []string{"target"}},
		"a key in another case":    {instead(t, "image: ", "Image: "), []string{"targets[0].Image", "targets[0].image"}},
		"an unknown key below":     {instead(t, "env: API", "envName: API"), []string{"targets[0].workloads[0].envName"}},
		"a key twice":              {instead(t, envKey, envKey+envKey), []string{"targets[0].workloads[0].env"}},
		"targets twice":            {valid + "targets: []\n", []string{"targets"}},
		"a key that is a list":     {valid + "[a]: b\n", []string{"(a key that is no plain text)"}},

		"registries: a mapping":  {instead(t, "  - host: ghcr.io\n    mirrors: [harbor.example.com/ghcr]\n    fallback: true\n", "  ghcr.io: {}\n"), []string{"registries"}},
		"registry: no host":      {instead(t, "host: ghcr.io", "host:"), []string{"registries[0].host"}},
		"registry: a scheme":     {instead(t, "host: ghcr.io", "host: https://ghcr.io"), []string{"registries[0].host"}},
		"registry: a path":       {instead(t, "host: ghcr.io", "host: ghcr.io/x"), []string{"registries[0].host"}},
		"registry: upper case":   {instead(t, "host: ghcr.io", "host: GHCR.io"), []string{"registries[0].host"}},
		"registry: no dot":       {instead(t, "host: ghcr.io", "host: ghcr"), []string{"registries[0].host"}},
		"registry: two dots":     {instead(t, "host: ghcr.io", "host: ghcr..io"), []string{"registries[0].host"}},
		"registry: credentials":  {instead(t, "host: ghcr.io", "host: me:pw@ghcr.io"), []string{"registries[0].host"}},
		"registry: a list":       {instead(t, "host: ghcr.io", "host: [ghcr.io]"), []string{"registries[0].host"}},
		"registry: twice":        {instead(t, "registries:\n", "registries:\n  - host: ghcr.io\n"), []string{"registries[1].host"}},
		"registry: two names":    {instead(t, "  - host: ghcr.io\n", "  - host: index.docker.io\n  - host: docker.io\n"), []string{"registries[1].host"}},
		"mirrors: a text":        {instead(t, "[harbor.example.com/ghcr]", "harbor.example.com"), []string{"registries[0].mirrors"}},
		"mirror: a scheme":       {instead(t, "[harbor.example.com/ghcr]", "[https://harbor.example.com]"), []string{"registries[0].mirrors[0]"}},
		"mirror: ends in /":      {instead(t, "[harbor.example.com/ghcr]", "[harbor.example.com/]"), []string{"registries[0].mirrors[0]"}},
		"mirror: a tag":          {instead(t, "[harbor.example.com/ghcr]", "[harbor.example.com/ghcr:1]"), []string{"registries[0].mirrors[0]"}},
		"mirror: no dot":         {instead(t, "[harbor.example.com/ghcr]", "[harbor/ghcr]"), []string{"registries[0].mirrors[0]"}},
		"mirror: docker.io":      {instead(t, "[harbor.example.com/ghcr]", "[docker.io/ghcr]"), []string{"registries[0].mirrors[0]"}},
		"mirror: itself":         {instead(t, "[harbor.example.com/ghcr]", "[ghcr.io]"), []string{"registries[0].mirrors[0]"}},
		"mirror: null":           {instead(t, "[harbor.example.com/ghcr]", "[null]"), []string{"registries[0].mirrors[0]"}},
		"fallback: a text":       {instead(t, "fallback: true", "fallback: maybe"), []string{"registries[0].fallback"}},
		"fallback: to nothing":   {instead(t, "    mirrors: [harbor.example.com/ghcr]\n    fallback: true", "    fallback: false"), []string{"registries[0].fallback"}},
		"caFile: missing":        {instead(t, "fallback: true", "caFile: /no/such/file"), []string{"registries[0].caFile"}},
		"caFile: no certificate": {instead(t, "fallback: true", "caFile: file_test.go"), []string{"registries[0].caFile"}},
		"caFile: a directory":    {instead(t, "fallback: true", "caFile: testdata"), []string{"registries[0].caFile"}},
		"caFile: plain HTTP":     {instead(t, "fallback: true", "caFile: x\n    plainHTTP: true"), []string{"registries[0].caFile"}},
		"plainHTTP: a number":    {instead(t, "fallback: true", "plainHTTP: 1"), []string{"registries[0].plainHTTP"}},

		"target: null":                        {"targets: [null]", []string{"targets[0]"}},
		"target: a text":                      {"targets: [api]", []string{"targets[0]"}},
		"targets: a mapping":                  {"targets: {name: api}", []string{"targets"}},
		"name: missing":                       {instead(t, "name: api\n", "name:\n"), []string{"targets[0].name"}},
		"name: upper case":                    {instead(t, "name: api\n", "name: Api\n"), []string{"targets[0].name"}},
		"name: a dot":                         {instead(t, "name: api\n", "name: a.b\n"), []string{"targets[0].name"}},
		"name: 33 characters":                 {instead(t, "name: api\n", "name: "+strings.Repeat("a", 33)+"\n"), []string{"targets[0].name"}},
		"name: a list":                        {instead(t, "name: api\n", "name: [api]\n"), []string{"targets[0].name"}},
		"name: twice":                         {secondTarget, []string{"targets[1].name"}},
		"image: a digest":                     {instead(t, ":1.2", "@sha256:"+strings.Repeat("a", 64)), []string{"targets[0].image"}},
		"image: a tag and a digest":           {instead(t, ":1.2", ":1.2@sha256:"+strings.Repeat("a", 64)), []string{"targets[0].image"}},
		"image: a bad digest":                 {instead(t, ":1.2", "@sha256:zz"), []string{"targets[0].image"}},
		"image: upper case":                   {instead(t, "example/api", "Example/Api"), []string{"targets[0].image"}},
		"image: a URL":                        {instead(t, "ghcr.io/example", "https://ghcr.io/example"), []string{"targets[0].image"}},
		"image: a mapping":                    {instead(t, imageKey, "    image: {name: x}\n"), []string{"targets[0].image"}},
		"image: missing in env mode":          {instead(t, imageKey, ""), []string{"targets[0].image"}},
		"image: null in env mode":             {instead(t, imageKey, "    image:\n"), []string{"targets[0].image"}},
		"mode: unknown":                       {instead(t, imageKey, imageKey+"    mode: dry\n"), []string{"targets[0].mode"}},
		"threshold: 0":                        {instead(t, imageKey, imageKey+"    resolveFailureThreshold: 0\n"), []string{"targets[0].resolveFailureThreshold"}},
		"threshold: -1":                       {instead(t, imageKey, imageKey+"    resolveFailureThreshold: -1\n"), []string{"targets[0].resolveFailureThreshold"}},
		"threshold: 1.5":                      {instead(t, imageKey, imageKey+"    resolveFailureThreshold: 1.5\n"), []string{"targets[0].resolveFailureThreshold"}},
		"threshold: a text":                   {instead(t, imageKey, imageKey+"    resolveFailureThreshold: x\n"), []string{"targets[0].resolveFailureThreshold"}},
		"threshold: a quoted number":          {instead(t, imageKey, imageKey+"    resolveFailureThreshold: \"3\"\n"), []string{"targets[0].resolveFailureThreshold"}},
		"threshold: a huge number":            {instead(t, imageKey, imageKey+"    resolveFailureThreshold: 99999999999999999999\n"), []string{"targets[0].resolveFailureThreshold"}},
		"threshold: a list":                   {instead(t, imageKey, imageKey+"    resolveFailureThreshold: [3]\n"), []string{"targets[0].resolveFailureThreshold"}},
		"platforms: a text":                   {instead(t, imageKey, imageKey+"    platforms: linux/amd64\n"), []string{"targets[0].platforms"}},
		"platform: no system":                 {instead(t, imageKey, imageKey+"    platforms: [linux/amd64, arm64]\n"), []string{"targets[0].platforms[1]"}},
		"platform: null":                      {instead(t, imageKey, imageKey+"    platforms: [null]\n"), []string{"targets[0].platforms[0]"}},
		"minAge: no unit":                     {instead(t, imageKey, imageKey+"    minAge: 30\n"), []string{"targets[0].minAge"}},
		"minAge: negative":                    {instead(t, imageKey, imageKey+"    minAge: -1s\n"), []string{"targets[0].minAge"}},
		"minAge: days":                        {instead(t, imageKey, imageKey+"    minAge: 1d\n"), []string{"targets[0].minAge"}},
		"minAge: a mapping":                   {instead(t, imageKey, imageKey+"    minAge: {h: 1}\n"), []string{"targets[0].minAge"}},
		"pullSecrets: the chart's":            {instead(t, imageKey, imageKey+"    pullSecrets: [{name: x}]\n"), []string{"targets[0].pullSecrets[0]"}},
		"pullSecret: upper case":              {instead(t, imageKey, imageKey+"    pullSecrets: [X]\n"), []string{"targets[0].pullSecrets[0]"}},
		"pullSecret: a path":                  {instead(t, imageKey, imageKey+"    pullSecrets: [../x]\n"), []string{"targets[0].pullSecrets[0]"}},
		"pin: unknown":                        {instead(t, imageKey, imageKey+"    pin: tag\n"), []string{"targets[0].pin"}},
		"pinAtOnce: no truth":                 {instead(t, imageKey, imageKey+"    pinAtOnce: often\n"), []string{"targets[0].pinAtOnce"}},
		"pin: digest without an image":        {strings.Replace(instead(t, envKey, ""), imageKey, "    pin: digest\n", 1), []string{"targets[0].pin"}},
		"workloads: missing":                  {instead(t, workKey, ""), []string{"targets[0].workloads"}},
		"workloads: empty":                    {instead(t, workKey, "    workloads: []\n"), []string{"targets[0].workloads"}},
		"workloads: a mapping":                {instead(t, workKey, "    workloads: {kind: x}\n"), []string{"targets[0].workloads"}},
		"workload: null":                      {instead(t, workKey, "    workloads: [null, null]\n"), []string{"targets[0].workloads[0]", "targets[0].workloads[1]"}},
		"workload: {}":                        {instead(t, workKey, "    workloads: [{}, {}]\n"), []string{"targets[0].workloads[0].kind", "targets[0].workloads[0].name", "targets[0].workloads[1].kind", "targets[0].workloads[1].name"}},
		"an index after a bad item":           {instead(t, "registries:\n", "registries:\n  - null\n  - {host: a.b, host: a.b}\n  - {host: X}\n"), []string{"registries[0]", "registries[1].host", "registries[2].host"}},
		"workload: a text":                    {instead(t, workKey, "    workloads: [stg-api]\n"), []string{"targets[0].workloads[0]"}},
		"kind: unknown":                       {instead(t, "kind: Deployment", "kind: Job"), []string{"targets[0].workloads[0].kind"}},
		"kind: lower case":                    {instead(t, "kind: Deployment", "kind: deployment"), []string{"targets[0].workloads[0].kind"}},
		"workload name: too long":             {instead(t, "stg-api", strings.Repeat("a", 254)), []string{"targets[0].workloads[0].name"}},
		"workload name: a path":               {instead(t, "stg-api", "../secrets/x"), []string{"targets[0].workloads[0].name"}},
		"namespace: too long":                 {instead(t, envKey, envKey+"        namespace: "+strings.Repeat("a", 64)+"\n"), []string{"targets[0].workloads[0].namespace"}},
		"container: too long":                 {instead(t, "container: app", "container: "+strings.Repeat("a", 64)), []string{"targets[0].workloads[0].container"}},
		"env: no name":                        {instead(t, "API_DIGEST", "A=B"), []string{"targets[0].workloads[0].env"}},
		"helmValue: no path":                  {instead(t, envKey, envKey+"        helmValue: api..digest\n"), []string{"targets[0].workloads[0].helmValue"}},
		"helmValue: a list's":                 {instead(t, envKey, envKey+"        helmValue: 'images[0].digest'\n"), []string{"targets[0].workloads[0].helmValue"}},
		"helmValue: another target's":         {twoValues(t, "api.digest", "api.digest"), []string{"targets[1].workloads[0].helmValue"}},
		"helmValue: a part of another":        {twoValues(t, "api.digest", "api"), []string{"targets[1].workloads[0].helmValue"}},
		"helmValue: holds another":            {twoValues(t, "api", "api.digest"), []string{"targets[1].workloads[0].helmValue"}},
		"helmValue: names that begin alike":   {twoValues(t, "api", "api2.digest"), nil},
		"helmValue: one target, two meanings": {instead(t, entryKey, entryKey+"        helmValue: d\n"+strings.Replace(entryKey, "API_DIGEST", "OTHER", 1)+"        envValue: reference\n        helmValue: d\n"), []string{"targets[0].workloads[1].helmValue"}},
		"helmValue: the default, and spelled": {instead(t, entryKey, entryKey+"        helmValue: d\n"+strings.Replace(entryKey, "API_DIGEST", "OTHER", 1)+"        envValue: digest\n        helmValue: d\n"), nil},
		"helmValue: one target, one meaning":  {instead(t, entryKey, entryKey+"        helmValue: d\n"+strings.Replace(entryKey, "API_DIGEST", "OTHER", 1)+"        helmValue: d\n"), nil},
		"envValue: unknown":                   {instead(t, envKey, envKey+"        envValue: tag\n"), []string{"targets[0].workloads[0].envValue"}},
		"whenEmpty: leave":                    {instead(t, envKey, envKey+"        whenEmpty: leave\n"), nil},
		"whenEmpty: unknown":                  {instead(t, envKey, envKey+"        whenEmpty: never\n"), []string{"targets[0].workloads[0].whenEmpty"}},
		"whenEmpty: no env":                   {instead(t, envKey, "        whenEmpty: leave\n"), []string{"targets[0].workloads[0].whenEmpty"}},
		"envValue: no env":                    {instead(t, envKey, "        envValue: reference\n"), []string{"targets[0].workloads[0].envValue"}},
		"slot: twice in a target":             {valid + entryKey, []string{"targets[0].workloads[1]"}},
		"slot: twice in two targets":          {valid + strings.Replace(firstTarget(), "name: api", "name: web", 1), []string{"targets[1].workloads[0]"}},
		"slot: the namespace's name":          {valid + entryKey + "        namespace: tracebloc\n", []string{"targets[0].workloads[1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := write(t, c.text)
			_, err := read(file, map[string]string{"POD_NAMESPACE": "tracebloc"})
			var keys []string
			for _, line := range problems(t, file, err) {
				key, _, said := strings.Cut(line, ": ")
				assert.True(t, said, "%q names a key", line)
				keys = append(keys, key)
			}
			assert.Equal(t, c.want, keys)
		})
	}
}

// A value that is null or left out is the default, wherever it is.
func TestFileTakesNullForLeftOut(t *testing.T) {
	t.Parallel()
	bare := "targets: [{name: api, image: ghcr.io/example/api:1.2, workloads: [{kind: Deployment, name: stg-api}]}]\n"
	full := `registries: [{host: ghcr.io, mirrors: , fallback: , caFile: , plainHTTP: }]
targets:
  - {name: api, image: ghcr.io/example/api:1.2, mode: , resolveFailureThreshold: , platforms: , staleAfter: , minAge: , pullSecrets: , pin: , pinAtOnce: ,
     workloads: [{kind: Deployment, name: stg-api, namespace: , container: , env: , envValue: }]}
`
	want, err := read(write(t, bare), map[string]string{"RESOLVE_FAILURE_THRESHOLD": "7"})
	require.NoError(t, err)
	got, err := read(write(t, full), map[string]string{"RESOLVE_FAILURE_THRESHOLD": "7"})
	require.NoError(t, err)
	assert.Equal(t, want.Targets, got.Targets)
	assert.Equal(t, []config.Registry{{Host: "ghcr.io", Fallback: true}}, got.Registries)
	assert.Equal(t, 7, got.Targets[0].ResolveFailureThreshold, "the environment's threshold is the default")
}

func TestFileTakesEveryChoice(t *testing.T) {
	t.Parallel()
	got, err := read(write(t, `registries:
  - {host: "localhost:5000", plainHTTP: yes}
  - {host: "[::1]:5000", mirrors: ["harbor.example.com:8443", harbor.example.com/a/b_c], fallback: false}
targets:
  - name: `+strings.Repeat("a", 32)+`
    mode: notify
    resolveFailureThreshold: 1
    staleAfter: 720h
    minAge: 1h30m
    platforms: [linux/arm/v7]
    workloads:
      - {kind: StatefulSet, name: 123, namespace: other}
      - {kind: DaemonSet, name: a.b, container: init}
  - {name: b, image: nginx, pin: digest, pinAtOnce: true, minAge: 0, workloads: [{kind: CronJob, name: c}]}
  - {name: c, image: "nginx:latest", workloads: [{kind: Deployment, name: c, env: X, envValue: reference}]}
`), nil)
	require.NoError(t, err)
	assert.Equal(t, []config.Registry{
		{Host: "localhost:5000", Fallback: true, PlainHTTP: true},
		{Host: "[::1]:5000", Mirrors: []string{"harbor.example.com:8443", "harbor.example.com/a/b_c"}},
	}, got.Registries)
	a, b, c := got.Targets[0], got.Targets[1], got.Targets[2]
	assert.True(t, a.Notify)
	assert.Nil(t, a.Image)
	assert.False(t, a.DigestOnly)
	assert.Equal(t, 1, a.ResolveFailureThreshold)
	assert.Equal(t, 90*time.Minute, a.MinAge)
	assert.Equal(t, 720*time.Hour, a.StaleAfter)
	assert.Equal(t, "linux/arm/v7", a.Platforms[0].String())
	assert.Equal(t, []config.Workload{
		{Kind: config.StatefulSet, Name: "123", Namespace: "other"}, {Kind: config.DaemonSet, Name: "a.b", Container: "init"},
	}, a.Workloads)
	assert.True(t, b.DigestOnly)
	assert.True(t, b.PinAtOnce)
	assert.False(t, a.PinAtOnce)
	assert.Zero(t, b.MinAge)
	assert.True(t, c.Workloads[0].Reference)
	assert.Len(t, got.Warnings(), 2, "a missing tag and latest are accepted with a warning")
}

// Anchors are plain YAML; a person may use them.
func TestFileFollowsAliases(t *testing.T) {
	t.Parallel()
	text := instead(t, entryKey, "      - &w {kind: Deployment, name: stg-api, env: A}\n      - {<<: *w, name: other}\n      - {<<: [*w, {name: no, container: c}], env: B}\n")
	got, err := read(write(t, text), nil)
	require.NoError(t, err)
	assert.Equal(t, []config.Workload{
		{Kind: config.Deployment, Name: "stg-api", Env: "A"}, {Kind: config.Deployment, Name: "other", Env: "A"},
		{Kind: config.Deployment, Name: "stg-api", Container: "c", Env: "B"},
	}, got.Targets[0].Workloads)
	assert.Equal(t, []string{"targets[0].workloads[0].nam: is not known here: the keys are kind, name, namespace, container, env, envValue, whenEmpty, helmValue",
		"targets[0].workloads[1].nam: is not known here: the keys are kind, name, namespace, container, env, envValue, whenEmpty, helmValue"},
		problemsOf(t, instead(t, entryKey, "      - &w {kind: Deployment, name: stg-api, nam: x}\n      - {<<: *w, name: other}\n")))
}

// A few kilobytes that mean billions of workloads are refused, not expanded.
func TestFileRefusesABomb(t *testing.T) {
	t.Parallel()
	list := func(item string) string { return strings.Repeat(item+", ", 20_000) }
	lines := problemsOf(t, fmt.Sprintf("targets: [{name: x, workloads: &w [&k {kind: Deployment}, %s]}, &t {name: y, workloads: *w}, %s]", list("*k"), list("*t")))
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "stand for too much")

	began := time.Now()
	bomb := "a: &a [x]\n"
	for level := 'b'; level <= 'z'; level++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", level, level, strings.Repeat(fmt.Sprintf("*%c,", level-1), 9))
	}
	assert.NotEmpty(t, problemsOf(t, bomb))
	assert.Less(t, time.Since(began), 5*time.Second)
}
