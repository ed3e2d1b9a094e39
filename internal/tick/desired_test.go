package tick

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// A variable that holds a whole reference gets one, and a manifest a namespace only where the configuration names one: others
// get theirs from an overlay.
func TestAPlanCommitsWholeReferences(t *testing.T) {
	t.Parallel()
	s := holding(deployment("web", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "IMAGE", Value: "ghcr.io/tracebloc/web@" + string(digestA)}}
	}))
	for namespace, metadata := range map[string]map[string]any{"": {"name": "web"}, "tracebloc": {"name": "web", "namespace": "tracebloc"}} {
		desired := ticking(t, s, digestB, `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", workloads: [{kind: Deployment, name: web, `+
			`namespace: "`+namespace+`", container: app, env: IMAGE, envValue: reference, helmValue: web.image}]}]`).Run(t.Context(), true).Desired
		assert.Equal(t, map[string]string{"web.image": "ghcr.io/tracebloc/web@" + string(digestB)}, desired.Values)
		assert.Equal(t, metadata, desired.Patches[0]["metadata"])
	}
}
