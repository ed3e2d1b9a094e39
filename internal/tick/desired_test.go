package tick

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// A variable that holds a whole reference gets one, and a manifest a namespace where the configuration names one.
func TestAPlanCommitsWholeReferences(t *testing.T) {
	t.Parallel()
	s := holding(deployment("web", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "IMAGE", Value: "ghcr.io/tracebloc/web@" + string(digestA)}}
	}))
	const target = `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", workloads: [` +
		`{kind: Deployment, name: web, container: app, env: IMAGE, envValue: reference, helmValue: web.image`
	for namespace, named := range map[string]bool{"": false, ", namespace: tracebloc": true} {
		report := ticking(t, s, digestB, target+namespace+"}]}]").Run(t.Context(), true)
		assert.Equal(t, map[string]string{"web.image": "ghcr.io/tracebloc/web@" + string(digestB)}, report.Desired.Values)
		require.Len(t, report.Desired.Patches, 1)
		metadata := map[string]any{"name": "web"}
		if named {
			metadata["namespace"] = "tracebloc"
		}
		assert.Equal(t, metadata, report.Desired.Patches[0]["metadata"], "manifests without one get theirs from an overlay")
	}
	assert.Empty(t, s.patches)
}
