package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
)

func TestKeysThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	const noText = "(a key that is no plain text)"
	first := []string{"targets[0].workloads[0].kind", "targets[0].workloads[0].name"}
	for text, want := range map[string][]string{
		"":                                 {"targets"},
		"# nothing\n":                      {"targets"},
		"null":                             {"targets"},
		"registries: null\ntargets: ~":     {"targets"},
		"targets: &a [*a]":                 {"targets[0]"}, // an alias in itself
		"targets: [&a {name: x, <<: *a}]":  {"targets[0]"}, // a merge of itself
		"? &k {a: b}\n: c\n*k : d":         {noText, noText, "targets"},
		valid + "[a]: b\n":                 {noText},
		valid + "target: []\n":             {"target"},
		valid + "targets: []\n":            {"targets"}, // twice
		valid + envKey:                     {"targets[0].workloads[0].env"},
		"targets: [null]":                  {"targets[0]"},
		"targets: [api]":                   {"targets[0]"},
		"targets: {name: api}":             {"targets"},
		instead(t, "image: ", "Image: "):   {"targets[0].Image", "targets[0].image"},
		instead(t, "env: API", "eNV: API"): {"targets[0].workloads[0].eNV"},
		instead(t, workKey, "    workloads: [{}]\n"): first,
		// The index of an item is that in the file, whatever is wrong with those before it.
		instead(t, "registries:\n", "registries:\n  - null\n  - {host: a.b, host: a.b}\n  - {host: X}\n"): {
			"registries[0]", "registries[1].host", "registries[2].host",
		},
	} {
		assert.Equal(t, want, keysOf(t, text), text)
	}
}

// A value that is null or left out is the default, wherever it is.
func TestNullIsLeftOut(t *testing.T) {
	t.Parallel()
	env := map[string]string{"RESOLVE_FAILURE_THRESHOLD": "7"}
	bare, problems := read(t, write(t, "targets: [{name: api, image: ghcr.io/x/api:1, workloads: [{kind: Deployment, name: api}]}]"), env)
	assert.Empty(t, problems)
	got, problems := read(t, write(t, `registries: [{host: ghcr.io, mirrors: , fallback: , caFile: , plainHTTP: }]
targets:
  - {name: api, image: ghcr.io/x/api:1, mode: , resolveFailureThreshold: , platforms: , staleAfter: , minAge: , pullSecrets: , pin: ,
     pinAtOnce: , workloads: [{kind: Deployment, name: api, namespace: , container: , env: , envValue: }]}
`), env)
	assert.Empty(t, problems)
	assert.Equal(t, bare.Targets, got.Targets)
	assert.Equal(t, []image.Registry{{Host: "ghcr.io", Fallback: true, CloudIdentity: true}}, got.Registries)
	assert.Equal(t, 7, got.Targets[0].ResolveFailureThreshold, "the environment's threshold is the default")
}

// Anchors are plain YAML; a person may use them.
func TestAliases(t *testing.T) {
	t.Parallel()
	got, problems := read(t, write(t, instead(t, entryKey, `      - &w {kind: Deployment, name: stg-api, env: A}
      - {<<: *w, name: other}
      - {<<: [*w, {name: no, container: c}], env: B}
`)), nil)
	assert.Empty(t, problems)
	assert.Equal(t, []Workload{
		{Kind: Deployment, Name: "stg-api", Env: "A"}, {Kind: Deployment, Name: "other", Env: "A"},
		{Kind: Deployment, Name: "stg-api", Container: "c", Env: "B"},
	}, got.Targets[0].Workloads)
	assert.Equal(t, []string{"targets[0].workloads[0].nam", "targets[0].workloads[1].nam"},
		keysOf(t, instead(t, entryKey, "      - &w {kind: Deployment, name: stg-api, nam: x}\n      - {<<: *w, name: other}\n")))
}

// A few kilobytes that mean billions of workloads are refused, not expanded.
func TestABombIsRefused(t *testing.T) {
	t.Parallel()
	list := func(item string) string { return strings.Repeat(item+", ", 20_000) }
	began := time.Now()
	_, problems := read(t, write(t, "targets: [{name: x, workloads: &w [&k {kind: Deployment}, "+list("*k")+"]}, "+
		"&t {name: y, workloads: *w}, "+list("*t")+"]"), nil)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0], "stand for too much")
	bomb := "a: &a [x]\n"
	for level := 'b'; level <= 'z'; level++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", level, level, strings.Repeat(fmt.Sprintf("*%c,", level-1), 9))
	}
	_, problems = read(t, write(t, bomb), nil)
	assert.NotEmpty(t, problems)
	assert.Less(t, time.Since(began), 5*time.Second)
}

// Whatever the file holds, it is decoded or refused, with problems that can be printed on a line each.
func FuzzDecode(f *testing.F) {
	contract, err := os.ReadFile("testdata/contract.yaml")
	require.NoError(f, err)
	for _, seed := range []string{
		string(contract), "", "null", "[]", "targets: [&a {<<: *a, name: x}]", "targets: [{workloads: [{kind: !!binary x}]}]", "? [a]\n: b",
		"targets:\n- resolveFailureThreshold: !!int x\n  minAge: !!str 1\n", "a: &a [*a]\n", "--- a\n--- b", "\xff\xfe", "%YAML 3.0\n---\n",
		"registries: [{mirrors: [a], fallback: !!bool maybe}]", "<<: [{targets: []}, {targets: [{}]}]", "targets: {<<: 1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, problems := decode(text, false)
		if read != nil {
			for i := range read.Registries {
				read.Registries[i].CAFile = "" // no file of this machine is read
			}
			for i := range read.Targets {
				read.Targets[i].Verify = nil
			}
			v := newValidator(Env{ResolveFailureThreshold: 3}, problems)
			registries, targets := v.registries(read.Registries, true), v.targets(read.Targets, nil, v.window("window", read.Window))
			assert.Len(t, registries, len(read.Registries))
			assert.Len(t, targets, len(read.Targets))
			problems = append(problems, v.problems...)
			for _, target := range targets {
				assert.True(t, len(problems) > 0 || len(target.Workloads) > 0 && target.ResolveFailureThreshold > 0)
			}
			assert.True(t, len(targets) > 0 || len(problems) > 0)
		} else {
			require.NotEmpty(t, problems)
		}
		for _, problem := range problems {
			assert.NotEmpty(t, problem.Error())
			assert.False(t, strings.ContainsAny(problem.Error(), "\n\r\x1b"), "%q", problem.Error())
		}
	})
}
