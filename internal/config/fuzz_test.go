package config

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever the file holds, it is decoded or refused, with problems that can be printed on a line each.
func FuzzDecode(f *testing.F) {
	contract, err := os.ReadFile("testdata/contract.yaml")
	require.NoError(f, err)
	f.Add(contract)
	for _, seed := range []string{
		"", "null", "[]", "targets: [&a {<<: *a, name: x}]", "targets: [{workloads: [{kind: !!binary x}]}]", "? [a]\n: b",
		"targets:\n- resolveFailureThreshold: !!int x\n  minAge: !!str 1\n", "a: &a [*a]\n", "--- a\n--- b", "\xff\xfe", "%YAML 3.0\n---\n",
		"registries: [{mirrors: [a], fallback: !!bool maybe}]", "<<: [{targets: []}, {targets: [{}]}]", "targets: {<<: 1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, problems := decode(text)
		if read == nil {
			require.NotEmpty(t, problems)
		} else {
			for i := range read.Registries {
				read.Registries[i].CAFile = "" // no file of this machine is read
			}
			v := newValidator(Env{ResolveFailureThreshold: 3}, problems)
			registries, targets := v.registries(read.Registries), v.targets(read.Targets)
			assert.Len(t, registries, len(read.Registries))
			assert.Len(t, targets, len(read.Targets))
			problems = append(problems, v.problems...)
			for _, target := range targets {
				if len(problems) == 0 {
					assert.NotEmpty(t, target.Workloads)
					assert.Positive(t, target.ResolveFailureThreshold)
				}
			}
			assert.True(t, len(targets) > 0 || len(problems) > 0)
		}
		for _, problem := range problems {
			assert.NotEmpty(t, problem.Error())
			assert.False(t, strings.ContainsAny(problem.Error(), "\n\r\x1b"), "%q", problem.Error())
		}
	})
}
