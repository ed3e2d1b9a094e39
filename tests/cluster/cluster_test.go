package cluster_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/components"
)

// What an account may do, tests/scenario shows.
func TestAClusterIsOfTheChosenVersionAndLeavesNothingBehind(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	version, err := c.Client().Discovery().ServerVersion()
	require.NoError(t, err)
	chosen, err := components.ChosenKubernetes()
	require.NoError(t, err)
	assert.Equal(t, string(chosen), version.GitVersion)
	require.FileExists(t, c.Kubeconfig())
	require.NoError(t, c.Stop())
	assert.NoFileExists(t, c.Kubeconfig())
	_, err = c.Client().Discovery().ServerVersion()
	assert.Error(t, err, "the API server has gone")
}
