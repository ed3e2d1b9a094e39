package resolver

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
)

func TestEndpoints(t *testing.T) {
	t.Parallel()
	nginx, err := image.ParseReference("nginx:1")
	require.NoError(t, err)
	mirrors := []string{"harbor.example.com/dockerhub", "mirror.example.com:5000"}
	names := func(registry *Registry) []string {
		registries := map[string]Registry{}
		if registry != nil {
			registries["docker.io"] = *registry
		}
		var all []string
		for _, e := range endpoints(nginx, registries) {
			all = append(all, e.name())
		}
		return all
	}
	assert.Equal(t, []string{"docker.io/library/nginx"}, names(nil))
	assert.Equal(t, []string{"docker.io/library/nginx"}, names(&Registry{CAFile: "x"}))
	assert.Equal(t, []string{"harbor.example.com/dockerhub/library/nginx", "mirror.example.com:5000/library/nginx"}, names(&Registry{Mirrors: mirrors}))
	assert.Equal(t, []string{"harbor.example.com/dockerhub/library/nginx", "mirror.example.com:5000/library/nginx", "docker.io/library/nginx"}, names(&Registry{Mirrors: mirrors, Fallback: true}))
}
