package tick

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Every workload is read once, and one that cannot be read holds up no other.
func TestGatherReadsEveryWorkload(t *testing.T) {
	t.Parallel()
	r, _ := runner(t, following("web", "gone", "api"), holding(deployment("web"), deployment("api")), nil)
	read := r.tick().gather(t.Context())
	require.Len(t, read, 3)
	assert.Equal(t, failure.WorkloadMissing, read[1].failure.Cause)
	assert.Nil(t, read[1].object)
	for _, at := range []int{0, 2} {
		assert.Nil(t, read[at].failure)
		require.Len(t, read[at].places, 1)
		assert.Equal(t, "app", read[at].places[0][0].Slot.Key())
	}
	assert.Equal(t, "web", read[0].object.Name)
}

// A workload that looks unsettled only because its controller has yet to observe a write gets a moment.
func TestGatherGivesTheControllerAMoment(t *testing.T) {
	t.Parallel()
	lagging := deployment("web", func(d *appsv1.Deployment) { d.Generation++ })
	c := holding(lagging).expecting("wait").during("web", settle)
	r, _ := runner(t, following("web"), c, nil)
	read := r.tick().gather(t.Context())
	assert.True(t, read[0].object.Rollout(now).Settled)
	c = holding(lagging).expecting("wait") // and it never does
	r, _ = runner(t, following("web"), c, nil)
	assert.Nil(t, r.tick().gather(t.Context())[0].failure)
}

// What does not parse reads as absent, and is said once, with its key, and not with its value.
func TestGatherWarnsOfGarbage(t *testing.T) {
	t.Parallel()
	garbage := deployment("web", func(d *appsv1.Deployment) {
		d.Labels["tracebloc.io/refresh-hold"] = "hunter2"
		d.Labels["tracebloc.io/web-digest"] = "hunter2"
		for _, key := range []string{"tracebloc.io/refresh-skip-streak", "tracebloc.io/web-refresh-consecutive-failures", "tracebloc.io/web-refresh-state", "tracebloc.io/last-refreshed-web-digest"} {
			d.Annotations[key] = "hunter2"
		}
	})
	r, log := runner(t, following("web"), holding(garbage), nil)
	r.tick().gather(t.Context())
	for _, key := range []string{"refresh-hold", "web-digest", "refresh-skip-streak", "web-refresh-consecutive-failures", "web-refresh-state", "last-refreshed-web-digest"} {
		assert.Contains(t, log.String(), key+" is read as absent")
	}
	assert.NotContains(t, log.String(), "hunter2")
}

// The pull secrets of a service account are read where they count, and only there.
func TestGatherReadsTheServiceAccountWhereItCounts(t *testing.T) {
	t.Parallel()
	const env = `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", workloads: [{kind: Deployment, name: web, container: app, env: DIGEST}]}]`
	const own = `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", pullSecrets: [mine], workloads: [{kind: Deployment, name: web}]}]`
	named := func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "of-the-pods"}}
	}
	mounted := t.TempDir()
	for name, c := range map[string]struct {
		file   string
		change func(*appsv1.Deployment)
		mounts bool
		want   []string
	}{
		"where it counts":              {following("web"), nil, true, []string{"regcred"}},
		"the pods name one themselves": {following("web"), named, true, nil},
		"the target names one":         {own, nil, true, nil},
		"the pods do not pull it":      {env, nil, true, nil},
		"none is mounted at all":       {following("web"), nil, false, nil},
	} {
		d := deployment("web")
		if c.change != nil {
			c.change(d)
		}
		cluster := holding(d).expecting("secrets")
		cluster.secrets = []string{"regcred"}
		var variables []string
		if c.mounts {
			variables = append(variables, "PULL_SECRETS_DIR="+mounted)
		}
		r, _ := runner(t, c.file, cluster, nil, variables...)
		assert.Equal(t, c.want, r.tick().gather(t.Context())[0].account, name)
		assert.Len(t, cluster.calls, len(c.want), name)
		if !c.mounts { // a check asks all the same
			r.Preflight = true
			assert.Equal(t, cluster.secrets, r.tick().gather(t.Context())[0].account, name)
		}
	}
	r, _ := runner(t, following("web"), holding(), nil, "PULL_SECRETS_DIR="+mounted)
	assert.False(t, r.SecretsMounted("tracebloc"))
	require.NoError(t, os.Mkdir(mounted+"/tracebloc", 0o700))
	assert.True(t, r.SecretsMounted("tracebloc"))
}

// A target that follows a container's own tag is warned of where that tag promises nothing.
func TestGatherWarnsOfFloatingTags(t *testing.T) {
	t.Parallel()
	const file = `targets: [{name: own, workloads: [{kind: Deployment, name: web}, {kind: Deployment, name: gone}]}]`
	latest := func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "ghcr.io/tracebloc/web:latest" }
	for name, c := range map[string]struct {
		d    *appsv1.Deployment
		want int
	}{"latest": {deployment("web", latest), 1}, "a release line": {deployment("web"), 0}} {
		r, _ := runner(t, file, holding(c.d), nil)
		ticking := r.tick()
		assert.Len(t, ticking.floating(ticking.gather(t.Context())), c.want, name)
	}
}
