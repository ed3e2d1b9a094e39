package chart

import (
	"bytes"
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
	namespace = "tracebloc"
)

// helm is one Helm to render with.
type helm struct{ name, path string }

// helms are all that the chart must work with. TestMain builds them, once for this user.
var helms []helm

func TestMain(m *testing.M) {
	for _, name := range []string{"helm3", "helm4"} {
		install := exec.Command("../tools/install", name)
		install.Stderr = os.Stderr
		path, err := install.Output()
		if err != nil {
			fmt.Fprintf(os.Stderr, "tests/tools/install %s: %v\n", name, err)
			os.Exit(1)
		}
		helms = append(helms, helm{name: name, path: strings.TrimSpace(string(path))})
	}
	os.Exit(m.Run())
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

// template renders a chart. The error holds what Helm said.
func (h helm) template(t *testing.T, chart string, flags ...string) (string, error) {
	t.Helper()
	home := t.TempDir()
	command := exec.Command(h.path, append([]string{"template", release, chart, "--namespace", namespace}, flags...)...)
	command.Env = append(os.Environ(),
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+os.DevNull)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return stdout.String(), nil
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

// ciFiles are the chart's example values.
func ciFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}
