package chart

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// groups are the chart's own maps of values, which are filled in key by key.
var groups = []string{
	"admissionPolicy", "grafanaDashboard", "heartbeat", "image", "networkPolicy", "notify", "prometheusRule", "proxy", "rbac", "serviceAccount",
}

// everything switches every optional object on, so that the values of each are used.
var everything = []string{"--values", filepath.Join("testdata", "everything.yaml")}

// I30: helm upgrade --reuse-values from a release that is older than any of the values, or than any of a group of them, renders
// what the defaults render, and so does null in place of a value, of each value of a group, and of all values. It is also what
// keeps the defaults in values.yaml and those in the templates the same.
func TestI30MissingAndNullValuesHaveTheirDefaults(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		want := h.mustTemplate(t, chartDir, everything...)
		same := func(name, chart string, null map[string]any) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				assert.Equal(t, want, h.mustTemplate(t, chart, append(valuesFile(t, null), everything...)...))
			})
		}
		without := chartWith(t, nil) // a default to remove: Helm hands the null itself on
		nothing := map[string]any{}
		for key, value := range values(t, chartDir, "values.yaml") {
			if key == "targets" {
				continue
			}
			nothing[key] = nil
			same(key+" null", chartDir, map[string]any{key: nil})
			if !slices.Contains(groups, key) {
				continue
			}
			nulls := map[string]any{}
			for inner := range value.(map[string]any) {
				nulls[inner] = nil
			}
			text, err := yaml.Marshal(map[string]any{key: map[string]any{}})
			require.NoError(t, err)
			same(key+" empty", chartWith(t, text), nil)
			same("everything in "+key+" null", chartDir, map[string]any{key: nulls})
			same("everything in "+key+" null, without a default", without, map[string]any{key: nulls})
		}
		same("all missing", without, nil)
		same("all null", chartDir, nothing)
		same("all null, without a default", without, nothing)
	})
}

// Every shape of values that was ever published stays among the stored ones, from which releases are upgraded on a cluster:
// whoever adds a value adds a file, and changes or removes none, since an upgrade with --reuse-values brings it along for ever.
func TestTodaysValuesAreStored(t *testing.T) {
	t.Parallel()
	today := keys("", values(t, chartDir, "values.yaml"))
	for _, file := range matching(t, "testdata", "stored", "*.yaml") {
		if slices.Equal(today, keys("", values(t, file))) {
			return
		}
	}
	t.Errorf("no file of testdata/stored has just the keys of today's values.yaml: add one, and change none\n%s", strings.Join(today, "\n"))
}

// keys are the paths of all keys of all maps, sorted; what is in lists is no shape of the chart's.
func keys(prefix string, read map[string]any) (paths []string) {
	for key, value := range read {
		paths = append(paths, prefix+key)
		if inner, is := value.(map[string]any); is {
			paths = append(paths, keys(prefix+key+".", inner)...)
		}
	}
	slices.Sort(paths)
	return paths
}
