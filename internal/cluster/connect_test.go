package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: hunter2-MARKER}}]
contexts:
  - {name: plain, context: {cluster: c, user: u}}
  - {name: spaced, context: {cluster: c, user: u, namespace: agents}}
current-context: %s
`

// client-go reads KUBECONFIG itself, so this test has the environment to itself.
func TestConnectTakesTheKubeconfigsNamespace(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("POD_NAMESPACE", "")
	file := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", file)
	for name, c := range map[string]struct {
		current string
		options Options
		want    string // empty: no client
	}{
		"none anywhere":               {"plain", Options{}, "default"},
		"the context's":               {"spaced", Options{}, "agents"},
		"the context that is named":   {"plain", Options{Context: "spaced"}, "agents"},
		"ours before the context's":   {"spaced", Options{Namespace: "tracebloc"}, "tracebloc"},
		"a context that is not there": {"plain", Options{Context: "absent"}, ""},
	} {
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, kubeconfig, c.current), 0o600))
		c.options.Logger = slog.New(slog.DiscardHandler)
		client, err := Connect(c.options)
		if c.want == "" {
			failed, ok := errors.AsType[*failure.Error](err)
			require.True(t, ok, name)
			assert.Equal(t, failure.API, failed.Cause)
			assert.Contains(t, failed.Message, "KUBECONFIG")
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, c.want, client.Namespace(), name)
	}

	for name, text := range map[string]string{
		"nothing in it":         "apiVersion: v1\nkind: Config\n",
		"not YAML":              "[",
		"a bad address":         "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"https://[\"}}]\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n",
		"a missing certificate": "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"https://h\", certificate-authority: /no/such/file}}]\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := Connect(Options{Logger: slog.New(slog.DiscardHandler)})
		failed, ok := errors.AsType[*failure.Error](err)
		require.True(t, ok, name)
		assert.Equal(t, failure.API, failed.Cause, name)
	}
}
