package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/image"
)

// The contract's example is the fixture; only the certificate is where this machine has one.
func TestTheContractsExampleMeansWhatItSays(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/contract.yaml")
	require.NoError(t, err)
	ca := certificate(t)
	file := write(t, strings.Replace(string(text), "/etc/image-refresh/ca/harbor.crt", ca, 1))
	got, err := read(file, nil)
	require.NoError(t, err)
	assert.Empty(t, got.Warnings())

	assert.Equal(t, []config.Registry{
		{Host: "docker.io", Mirrors: []string{"harbor.example.com/dockerhub"}, Fallback: true},
		{Host: "harbor.example.com", Fallback: true, CAFile: ca},
	}, got.Registries)
	assert.Equal(t, []config.Target{
		{
			Name: "ingestor",
			Image: &image.Reference{
				Host: "ghcr.io", Repository: "tracebloc/ingestor", Tag: "0.3", Spelled: "ghcr.io/tracebloc/ingestor",
			},
			ResolveFailureThreshold: 3,
			Platforms:               []image.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}},
			PullSecrets:             []string{"ghcr-pull"},
			Workloads: []config.Workload{{
				Kind: config.Deployment, Name: "stg-jobs-manager", Namespace: "tracebloc", Container: "api", Env: "INGESTOR_IMAGE_DIGEST",
			}},
		},
		{
			Name: "jobs-manager",
			Image: &image.Reference{
				Host: "docker.io", Repository: "tracebloc/jobs-manager", Tag: "prod", Spelled: "docker.io/tracebloc/jobs-manager",
			},
			ResolveFailureThreshold: 3,
			Workloads: []config.Workload{
				{Kind: config.Deployment, Name: "stg-jobs-manager", Container: "api"},
				{Kind: config.Deployment, Name: "stg-requests-proxy", Container: "proxy"},
			},
		},
	}, got.Targets)
}
