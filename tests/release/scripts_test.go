package release

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run runs a script and returns its exit code, what it printed and what it said.
func run(t *testing.T, script string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{script}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // its exit code tells
	require.NotNil(t, cmd.ProcessState)
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// A version is ready where the chart has it and the changelog tells of it.
func TestReady(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for _, dir := range []string{"release", "chart"} {
		require.NoError(t, os.Mkdir(filepath.Join(tree, dir), 0o750))
	}
	script := filepath.Join(tree, "release", "ready")
	require.NoError(t, os.WriteFile(script, []byte(read(t, "release/ready")), 0o700))
	write := func(file, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(tree, file), []byte(text), 0o600))
	}
	chart := regexp.MustCompile(`(?m)^(version|appVersion): .*$`).ReplaceAllString(read(t, "chart/Chart.yaml"), "$1: 1.2.3")
	changes := "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.3] - 2026-01-02\n\n### Fixed\n\n- a thing\n\n" +
		"## [1.2.2] - 2026-01-01\n\n- older\n\n[1.2.3]: x\n"
	write("chart/Chart.yaml", chart)
	write("CHANGELOG.md", changes)
	code, notes, said := run(t, script, "1.2.3")
	require.Zero(t, code, said)
	assert.Equal(t, "### Fixed\n\n- a thing", strings.TrimSpace(notes))

	for version, says := range map[string][]string{
		"1.2.2":  {"version is 1.2.3", "appVersion is 1.2.3"},
		"v1.2.3": {"no version"},
		"1.2.4":  {"version is", "appVersion is", "## [1.2.4] - DATE"},
		"":       {"no version"},
	} {
		code, notes, said := run(t, script, version)
		assert.Equal(t, 1, code, version)
		assert.Empty(t, notes, version)
		for _, text := range says {
			assert.Contains(t, said, text, version)
		}
	}
	write("CHANGELOG.md", strings.Replace(changes, "### Fixed\n\n- a thing\n", "", 1))
	code, _, said = run(t, script, "1.2.3")
	assert.Equal(t, 1, code)
	assert.Contains(t, said, "nothing under")
}

// A version that is there is not replaced, and neither is one of which nobody can tell.
func TestUnpublished(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	reference, err := name.ParseReference(host+"/image-refresh:1.2.3", name.Insecure)
	require.NoError(t, err)
	require.NoError(t, remote.Write(reference, empty.Image))
	script := filepath.Join(root, "release", "unpublished")
	for text, says := range map[string]string{
		host + "/image-refresh:1.2.4": "", host + "/charts/image-refresh:1.2.3": "",
		host + "/image-refresh:1.2.3": "is published already", "127.0.0.1:1/image-refresh:1.2.3": "could not be found out",
	} {
		code, _, said := run(t, script, host+"/image-refresh:1", text)
		assert.Equal(t, says == "", code == 0, said)
		assert.Contains(t, said, says)
	}
}

// The chart's digest is what gets signed: what the script prints is what the registry has.
func TestTheDigestOfAPushedChart(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	helm, err := exec.CommandContext(t.Context(), filepath.Join(root, "tests", "tools", "install"), "helm4").Output()
	require.NoError(t, err)
	dir := t.TempDir()
	pack := exec.CommandContext(t.Context(), strings.TrimSpace(string(helm)), "package", filepath.Join(root, "chart"),
		"--version", "1.2.3", "--app-version", "1.2.3", "--destination", dir)
	output, err := pack.CombinedOutput()
	require.NoError(t, err, string(output))

	script := filepath.Join(root, "release", "push-chart")
	code, printed, said := run(t, script, filepath.Join(dir, "image-refresh-1.2.3.tgz"), "oci://"+host+"/charts", "--plain-http")
	require.Zero(t, code, said)
	reference, err := name.ParseReference(host+"/charts/image-refresh:1.2.3", name.Insecure)
	require.NoError(t, err)
	pushed, err := remote.Head(reference)
	require.NoError(t, err)
	assert.Equal(t, pushed.Digest.String()+"\n", printed, "and nothing else")

	code, printed, _ = run(t, script, filepath.Join(dir, "absent.tgz"), "oci://"+host+"/charts", "--plain-http")
	assert.NotZero(t, code)
	assert.Empty(t, printed)
}
