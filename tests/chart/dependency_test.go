package chart

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
)

// A chart that depends on this one under an alias, as the README shows it: global, condition, and the label that everything selects
// by, whatever the names are. What is said where its values stand under a wrong key is in testdata/mistakes.txt.
func TestAsADependency(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		app := filepath.Join(t.TempDir(), "app")
		require.NoError(t, os.CopyFS(app, os.DirFS("testdata/app")))
		require.NoError(t, os.CopyFS(filepath.Join(app, "charts", "image-refresh"), os.DirFS(chartDir)))
		found := decode(t, h.mustTemplate(t, app, "--set", "refresher.nameOverride=other", "--set-json",
			`refresher.commonLabels={"app.kubernetes.io/component":"ours"}`))
		text, _ := configOf(t, found)
		assert.Contains(t, text, "image: ghcr.io/example/api:1.2\n")
		assert.Contains(t, text, "name: stg-api\n")
		tick := of[*batchv1.CronJob](found)[0]
		assert.Equal(t, "stg-other", tick.Name)
		for _, labels := range []map[string]string{tick.Labels, tick.Spec.JobTemplate.Labels, tick.Spec.JobTemplate.Spec.Template.Labels} {
			assert.Equal(t, "image-refresh", labels["app.kubernetes.io/component"])
		}
		assert.NotContains(t, h.mustTemplate(t, app, "--set", "refresher.enabled=false"), "kind:")
	})
	readme, err := os.ReadFile(filepath.Join(chartDir, "README.md"))
	require.NoError(t, err)
	for _, file := range []string{"Chart.yaml", "values.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", "app", file))
		require.NoError(t, err)
		shown := string(text)
		if file == "Chart.yaml" {
			shown = shown[len("apiVersion: v2\nname: app\nversion: 1.0.0\n"):]
		}
		assert.Contains(t, string(readme), "```yaml\n"+shown+"```\n")
	}
}
