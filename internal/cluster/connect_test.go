package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
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
func TestTheKubeconfigGivesTheNamespace(t *testing.T) {
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
		if c.want != "" {
			require.NoError(t, err, name)
			assert.Equal(t, c.want, client.Namespace(), name)
			continue
		}
		failed, ok := errors.AsType[*failure.Error](err)
		require.True(t, ok, name)
		assert.Equal(t, failure.API, failed.Cause, name)
	}
}

// client-go's own limit of five requests a second would take minutes over a thousand workloads, and its warnings would go to
// stderr, where nothing but our own lines is wanted: a line for each request without query and header, which may hold a secret.
func TestRequestsAreNotSlowedDownAndAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, s := asked(t, sends(200, deployment("1", 2), "Warning", `299 - "apps/v1 is old"`))
		began := time.Now()
		for range 50 {
			_, err := client.Patch(t.Context(), read(t, deployment("1", 2)), workload.Change{})
			require.NoError(t, err)
		}
		assert.Zero(t, time.Since(began))
		assert.Contains(t, s.log.String(), `level=WARN msg="the API server warns: apps/v1 is old"`)
		assert.Contains(t, s.log.String(), "/namespaces/tracebloc/deployments/stg-api duration=0s status=200")
		assert.NotContains(t, s.log.String(), "fieldManager")
		assert.NotContains(t, s.log.String(), token)
	})
}

// The API server's time is that of its newest answer, whatever order answers come in.
func TestTheClockIsTheNewestDate(t *testing.T) {
	t.Parallel()
	dated := func(date string) answer { return sends(200, deployment("1", 2), "Date", date) }
	client, _ := asked(t, dated("garbage"), dated("Thu, 01 Jan 2026 10:00:05 GMT"), dated("Thu, 01 Jan 2026 10:00:04 GMT"), dated(""))
	at := time.Date(2026, 1, 1, 10, 0, 5, 0, time.UTC)
	for _, want := range []time.Time{{}, at, at, at} {
		_, err := client.Get(t.Context(), ref)
		require.NoError(t, err)
		assert.Equal(t, want, client.Date())
	}
}
