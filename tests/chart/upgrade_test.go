package chart

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// groups are the chart's own maps of values, which are filled in key by key.
var groups = []string{"image", "proxy", "rbac", "serviceAccount"}

// I30: helm upgrade --reuse-values from a release that is older than any of the values renders what the
// defaults render. It is also what keeps the defaults in values.yaml and those in the templates the same.
func TestMissingValuesHaveTheirDefaults(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		example := []string{"--values", filepath.Join(chartDir, "ci", "default-values.yaml")}
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
		example := []string{"--values", filepath.Join(chartDir, "ci", "default-values.yaml")}
		want := h.mustTemplate(t, chartDir, example...)
		everything := map[string]any{}
		for key := range values(t, filepath.Join(chartDir, "values.yaml")) {
			if key == "targets" {
				continue
			}
			everything[key] = nil
			t.Run(key, func(t *testing.T) {
				null := valuesFile(t, map[string]any{key: nil})
				assert.Equal(t, want, h.mustTemplate(t, chartDir, append(null, example...)...))
			})
		}
		t.Run("everything", func(t *testing.T) {
			assert.Equal(t, want, h.mustTemplate(t, chartDir, append(valuesFile(t, everything), example...)...))
			// Without a default to remove, Helm hands the null itself on.
			assert.Equal(t, want, h.mustTemplate(t, chartWith(t, nil), append(valuesFile(t, everything), example...)...))
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

func appVersion(t *testing.T) string {
	t.Helper()
	version, ok := values(t, filepath.Join(chartDir, "Chart.yaml"))["appVersion"].(string)
	require.True(t, ok)
	return version
}
