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

	"github.com/stretchr/testify/assert"
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
	for _, name := range []string{"helm3", "helm4"} {
		path, err := pinned(context.Background(), name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		helms = append(helms, helm{name: name, path: path})
	}
	code := m.Run()
	stopCluster()
	os.Exit(code)
}

// pinned returns the path of a pinned tool, built where it is not.
func pinned(ctx context.Context, tool string) (string, error) {
	command := exec.CommandContext(ctx, "../tools/install", tool)
	command.Stderr = os.Stderr
	path, err := command.Output()
	return strings.TrimSpace(string(path)), err
}

// forEachHelm runs a test side by side with every Helm.
func forEachHelm(t *testing.T, test func(t *testing.T, h helm)) {
	t.Helper()
	t.Parallel()
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

// must runs a Helm command on the cluster that these tests share, which has to succeed.
func (h helm) must(t *testing.T, args ...string) {
	t.Helper()
	_, err := h.run(t, running.Kubeconfig(), args...)
	require.NoError(t, err)
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

// example is one of the chart's example values.
func example(name string) []string {
	return []string{"--values", filepath.Join(chartDir, "ci", name+"-values.yaml")}
}

// valuesFile writes values to a file of their own, whose name says nothing, and returns the flags that use it.
func valuesFile(t *testing.T, values map[string]any) []string {
	t.Helper()
	text, err := yaml.Marshal(values)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "chart-") // the test's own is named after it, with the commas that Helm takes for lists
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "values.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return []string{"--values", path}
}

// chartWith copies the chart with other values.yaml, which is what helm upgrade --reuse-values renders: this chart's templates
// and schema with the values of the release's own chart.
func chartWith(t *testing.T, values []byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image-refresh")
	require.NoError(t, os.CopyFS(dir, os.DirFS(chartDir)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "values.yaml"), values, 0o600))
	return dir
}

// values reads a values file.
func values(t *testing.T, path ...string) (read map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &read))
	return read
}

// matching are the files of a pattern, of which there is at least one.
func matching(t *testing.T, pattern ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func appVersion(t *testing.T) string {
	t.Helper()
	version, is := values(t, chartDir, "Chart.yaml")["appVersion"].(string)
	require.True(t, is)
	return version
}
