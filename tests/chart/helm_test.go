package chart

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const (
	chartDir  = "../../chart"
	release   = "stg"
	namespace = "tracebloc" // where nothing but rendering happens
)

// helm is one Helm to work with.
type helm struct{ name, path string }

// helms are all that the chart must work with. TestMain builds them, once for this user.
var helms []helm

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	for _, name := range []string{"helm3", "helm4"} {
		install := exec.CommandContext(context.Background(), "../tools/install", name)
		install.Stderr = os.Stderr
		path, err := install.Output()
		if err != nil {
			fmt.Fprintf(os.Stderr, "tests/tools/install %s: %v\n", name, err)
			return 1
		}
		helms = append(helms, helm{name: name, path: strings.TrimSpace(string(path))})
	}
	defer stopCluster()
	return m.Run()
}

// forEachHelm runs a test side by side with every Helm.
func forEachHelm(t *testing.T, test func(t *testing.T, h helm)) {
	t.Helper()
	for _, h := range helms {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			test(t, h)
		})
	}
}

// run runs one Helm command, with no configuration but what the test gives it. The error holds what Helm said.
func (h helm) run(t *testing.T, kubeconfig string, args ...string) (string, error) {
	t.Helper()
	home := t.TempDir()
	command := exec.CommandContext(t.Context(), h.path, args...)
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "KUBECONFIG=" + kubeconfig,
		"HELM_CACHE_HOME=" + home, "HELM_CONFIG_HOME=" + home, "HELM_DATA_HOME=" + home,
	}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("helm %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// template renders a chart without a cluster.
func (h helm) template(t *testing.T, chart string, flags ...string) (string, error) {
	t.Helper()
	return h.run(t, os.DevNull, append([]string{"template", release, chart, "--namespace", namespace}, flags...)...)
}

// mustTemplate renders a chart that has to render.
func (h helm) mustTemplate(t *testing.T, chart string, flags ...string) string {
	t.Helper()
	rendered, err := h.template(t, chart, flags...)
	require.NoError(t, err)
	return rendered
}

// valuesFile writes values to a file of their own, and returns the flags that use it.
func valuesFile(t *testing.T, values map[string]any) []string {
	t.Helper()
	text, err := yaml.Marshal(values)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "values.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return []string{"--values", path}
}

// chartWith copies the chart with other values.yaml, which is what helm upgrade --reuse-values renders: this
// chart's templates and schema with the values of the release's own chart.
func chartWith(t *testing.T, values []byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image-refresh")
	require.NoError(t, os.CopyFS(dir, os.DirFS(chartDir)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "values.yaml"), values, 0o600))
	return dir
}

// values reads a values file.
func values(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var read map[string]any
	require.NoError(t, yaml.Unmarshal(text, &read))
	return read
}

// ciFiles are the chart's example values.
func ciFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// storedFiles are values as releases of each age have stored them. A file is added when a value changes, and
// none is ever changed or removed: an upgrade with --reuse-values brings it along for ever.
func storedFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "stored", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}
