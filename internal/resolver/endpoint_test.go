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
	const hub, harbor, mirror = "docker.io/library/nginx", "harbor.example.com/dockerhub/library/nginx", "mirror.example.com:5000/library/nginx"
	mirrors := []string{"harbor.example.com/dockerhub", "mirror.example.com:5000"}
	for _, c := range []struct {
		registries map[string]image.Registry
		want       []string
	}{
		{nil, []string{hub}},
		{map[string]image.Registry{"docker.io": {PlainHTTP: true}}, []string{hub}},
		{map[string]image.Registry{"docker.io": {Mirrors: mirrors}}, []string{harbor, mirror}},
		{map[string]image.Registry{"docker.io": {Mirrors: mirrors, Fallback: true}}, []string{harbor, mirror, hub}},
	} {
		var names []string
		for _, e := range endpoints(nginx, c.registries) {
			names = append(names, e.name())
		}
		assert.Equal(t, c.want, names)
	}
}
