package chart

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// groups are the chart's own maps of values, which are filled in key by key.
var groups = []string{"admissionPolicy", "grafanaDashboard", "image", "networkPolicy", "prometheusRule", "proxy", "rbac", "serviceAccount"}

// everything switches every optional object on, so that the values of each are used.
var everything = []string{"--values", filepath.Join("testdata", "everything.yaml")}

// I30: helm upgrade --reuse-values from a release that is older than any of the values renders what the
// defaults render. It is also what keeps the defaults in values.yaml and those in the templates the same.
func TestMissingValuesHaveTheirDefaults(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		example := everything
		want := h.mustTemplate(t, chartDir, example...)
		all := values(t, filepath.Join(chartDir, "values.yaml"))

		t.Run("all", func(t *testing.T) {
			assert.Equal(t, want, h.mustTemplate(t, chartWith(t, nil), example...))
		})
		for _, group := range groups {
			t.Run("all of "+group, func(t *testing.T) {
				require.IsType(t, map[string]any{}, all[group])
				text, err := yaml.Marshal(map[string]any{group: map[string]any{}})
				require.NoError(t, err)
				assert.Equal(t, want, h.mustTemplate(t, chartWith(t, text), example...))
			})
		}
	})
}

// --set key=null, for each key alone and for all at once.
func TestNullIsTheDefault(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		example := everything
		want := h.mustTemplate(t, chartDir, example...)
		nothing := map[string]any{}
		for key := range values(t, filepath.Join(chartDir, "values.yaml")) {
			if key == "targets" {
				continue
			}
			nothing[key] = nil
			t.Run(key, func(t *testing.T) {
				null := valuesFile(t, map[string]any{key: nil})
				assert.Equal(t, want, h.mustTemplate(t, chartDir, append(null, example...)...))
			})
		}
		t.Run("everything", func(t *testing.T) {
			assert.Equal(t, want, h.mustTemplate(t, chartDir, append(valuesFile(t, nothing), example...)...))
			// Without a default to remove, Helm hands the null itself on.
			assert.Equal(t, want, h.mustTemplate(t, chartWith(t, nil), append(valuesFile(t, nothing), example...)...))
		})
		for _, group := range groups {
			t.Run("everything in "+group, func(t *testing.T) {
				inner := map[string]any{}
				for key := range values(t, filepath.Join(chartDir, "values.yaml"))[group].(map[string]any) {
					inner[key] = nil
				}
				null := valuesFile(t, map[string]any{group: inner})
				assert.Equal(t, want, h.mustTemplate(t, chartDir, append(null, example...)...))
				assert.Equal(t, want, h.mustTemplate(t, chartWith(t, nil), append(null, example...)...))
			})
		}
	})
}

// What is stored of each age still renders, under today's templates and schema.
func TestStoredValuesRender(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, file := range storedFiles(t) {
			t.Run(filepath.Base(file), func(t *testing.T) {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				found := decode(t, h.mustTemplate(t, chartWith(t, text)))
				require.Len(t, found.cronJobs, 1)
				assert.Equal(t, "ghcr.io/tracebloc/image-refresh:"+appVersion(t), found.cronJobs[0].Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image,
					"the image follows the chart, not the release that is upgraded")
				// And the other way, --reset-then-reuse-values: the stored values upon today's.
				decode(t, h.mustTemplate(t, chartDir, "--values", file))
			})
		}
	})
}

// Every shape of values that was ever published stays among the stored ones: whoever adds a value adds a file.
func TestTodaysValuesAreStored(t *testing.T) {
	t.Parallel()
	today := keys("", values(t, filepath.Join(chartDir, "values.yaml")))
	for _, file := range storedFiles(t) {
		if slices.Equal(today, keys("", values(t, file))) {
			return
		}
	}
	t.Errorf("no file of testdata/stored has just the keys of today's values.yaml: add one, and change none\n%s", strings.Join(today, "\n"))
}

// keys are the paths of all keys of all maps, sorted; what is in lists is no shape of the chart's.
func keys(prefix string, read map[string]any) []string {
	var paths []string
	for key, value := range read {
		paths = append(paths, prefix+key)
		if inner, is := value.(map[string]any); is {
			paths = append(paths, keys(prefix+key+".", inner)...)
		}
	}
	slices.Sort(paths)
	return paths
}

func appVersion(t *testing.T) string {
	t.Helper()
	version, ok := values(t, filepath.Join(chartDir, "Chart.yaml"))["appVersion"].(string)
	require.True(t, ok)
	return version
}
