package tick

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// What a plan says that slots should hold: what a run would put there, or latest where nothing speaks against it, else what
// they hold.
func TestWanted(t *testing.T) {
	t.Parallel()
	const file = `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", workloads: [{kind: Deployment, name: web, helmValue: web.digest}]}]`
	rejected := annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA), State: annotate.State{
		Rejected: []annotate.Rejection{{Digest: annotate.Of(digestB), By: annotate.ByFailure, Why: "crash", At: now}},
	}}
	for name, c := range map[string]struct {
		of   *appsv1.Deployment
		want string // none: unknown
	}{
		"a refresh":                        {deployment("web"), string(digestB)},
		"an adoption, and latest is newer": {deployment("web", remembers("web", annotate.Record{})), string(digestB)},
		"rejected: what it holds":          {deployment("web", remembers("web", rejected)), string(digestA)},
		"held: what it holds":              {deployment("web", func(d *appsv1.Deployment) { d.Labels["tracebloc.io/refresh-hold"] = "true" }), string(digestA)},
		"rejected, and it holds a tag: what is recorded, Q4": {deployment("web", remembers("web", rejected), func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Image = "ghcr.io/tracebloc/web:1"
		}), string(digestA)},
		"held, and it holds a tag": {deployment("web", func(d *appsv1.Deployment) {
			d.Labels["tracebloc.io/refresh-hold"] = "true"
			d.Spec.Template.Spec.Containers[0].Image = "ghcr.io/tracebloc/web:1"
		}), ""},
		"not the slot": {deployment("web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "nginx:1" }), ""},
	} {
		r, _ := runner(t, file, holding(c.of), serving(digestB, "web"))
		wanted := r.Run(t.Context(), true).Desired
		if c.want == "" {
			assert.Empty(t, wanted.Values, name)
			assert.Empty(t, wanted.Patches, name)
			assert.Equal(t, []string{"web on Deployment tracebloc/web"}, wanted.Unknown, name)
			continue
		}
		assert.Equal(t, map[string]string{"web.digest": c.want}, wanted.Values, name)
		require.Len(t, wanted.Patches, 1, name)
		assert.NotContains(t, wanted.Patches[0]["metadata"], "namespace", "%s: manifests without one get theirs from an overlay", name)
		assert.Empty(t, wanted.Unknown, name)
	}
}

// Slots whose chart's value is not named are said, and those whose workloads want different digests under one name.
func TestWantedSaysWhatItCannotName(t *testing.T) {
	t.Parallel()
	const file = `targets:
  - name: web
    image: ghcr.io/tracebloc/web:1
    workloads:
      - {kind: Deployment, name: web, helmValue: image.digest}
      - {kind: Deployment, name: other, helmValue: image.digest}
      - {kind: Deployment, name: gone, namespace: far}
      - {kind: Deployment, name: unnamed, namespace: tracebloc}
`
	unnamed := deployment("unnamed", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "ghcr.io/tracebloc/web:1@" + string(digestA)
	})
	heldBack := other()
	heldBack.Labels["tracebloc.io/refresh-hold"] = "true"
	r, _ := runner(t, file, holding(deployment("web"), heldBack, unnamed), serving(digestB, "web"))
	wanted := r.Run(t.Context(), true).Desired
	assert.Empty(t, wanted.Values)
	assert.Equal(t, []string{"web on Deployment tracebloc/unnamed"}, wanted.Unnamed)
	assert.Equal(t, []string{"web on Deployment far/gone", "the value image.digest, whose workloads want different digests,"}, wanted.Unknown)
	require.Len(t, wanted.Patches, 3)
	assert.Contains(t, wanted.Patches[2]["metadata"], "namespace")
}

// A variable that holds a whole reference gets one.
func TestWantedOfAReference(t *testing.T) {
	t.Parallel()
	const file = `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", workloads: [{kind: Deployment, name: web, container: app, env: IMAGE, envValue: reference, helmValue: web.image}]}]`
	d := deployment("web", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "IMAGE", Value: "ghcr.io/tracebloc/web@" + string(digestA)}}
	})
	r, _ := runner(t, file, holding(d), serving(digestB, "web"))
	assert.Equal(t, map[string]string{"web.image": "ghcr.io/tracebloc/web@" + string(digestB)}, r.Run(t.Context(), true).Desired.Values)
}
