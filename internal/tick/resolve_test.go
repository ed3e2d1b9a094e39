package tick

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

const oneOnTwo = `targets:
  - name: web
    image: ghcr.io/tracebloc/web:1
    workloads: [{kind: Deployment, name: web}, {kind: Deployment, name: other}]
  - {name: gone, image: "ghcr.io/tracebloc/gone:1", pullSecrets: [mine], workloads: [{kind: Deployment, name: gone}]}
`

// other carries the same image as web, with these pull secrets.
func other(secrets ...string) *appsv1.Deployment {
	return deployment("other", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "ghcr.io/tracebloc/web:1@" + string(digestA)
		for _, secret := range secrets {
			d.Spec.Template.Spec.ImagePullSecrets = append(d.Spec.Template.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secret})
		}
	})
}

// Every distinct pair of image and credentials is asked for once, and each workload has the answer to its own.
func TestResolveAsksEachPairOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other *appsv1.Deployment
		asked []string
		index [][][]int
	}{
		"the same credentials": {other(), []string{"resolve web[]"}, [][][]int{{{0}}, {{0}}, {nil}}},
		"other credentials":    {other("a", "b"), []string{"resolve web[]", "resolve web[tracebloc/a tracebloc/b]"}, [][][]int{{{0}}, {{1}}, {nil}}},
	} {
		registry := serving(digestB, "web")
		r, _ := runner(t, oneOnTwo, holding(deployment("web"), c.other), registry)
		ticking := r.tick()
		resolved := ticking.resolve(t.Context(), ticking.gather(t.Context()))
		assert.Equal(t, c.asked, registry.asked, name)
		assert.Equal(t, c.index, resolved.asked, name)
		assert.Equal(t, digestB, resolved.targets[0].Digest, name)
		assert.True(t, resolved.targets[0].Asked, name)
		assert.False(t, resolved.targets[1].Asked, name)
		assert.Equal(t, [][]decide.Latest{{{Digest: digestB}}, {{Digest: digestB}}, {{}}}, resolved.latest, name)
		assert.Equal(t, resolved.queries[len(resolved.queries)-1], resolved.via(place{1, 0}), name)
		assert.Equal(t, resolver.Query{}, resolved.via(place{2, 0}), name)
		assert.False(t, ticking.layout.rules[0].Asked, "the layout stays as it is")
	}
}

// One credential that fails leaves the other workload its answer, and the target is not resolved (I42).
func TestResolveGivesEachWorkloadItsOwnAnswer_I42(t *testing.T) {
	t.Parallel()
	r, _ := runner(t, oneOnTwo, holding(deployment("web"), other("a")), nil)
	ticking := r.tick()
	queries, asked := ticking.queries(ticking.gather(t.Context()))
	denied := &failure.Error{Cause: failure.Unauthorized, Message: "401"}
	resolved := ticking.agree(queries, asked, []resolver.Answer{{Digest: digestB}, {Failure: denied}})
	assert.Equal(t, [][]decide.Latest{{{Digest: digestB}}, {{Failure: denied}}, {{}}}, resolved.latest)
	assert.Equal(t, failure.Unauthorized, resolved.targets[0].Failure.Cause)
	assert.Empty(t, resolved.targets[0].Digest)
}

// A check asks the registry of a target none of whose workloads could be worked with, too; a tick does not.
func TestResolveOfACheckAsksForWhatHasNoPlace(t *testing.T) {
	t.Parallel()
	registry := serving(digestB, "web", "gone")
	r, _ := runner(t, oneOnTwo, holding(deployment("web"), other()).expecting("secrets"), registry)
	r.Preflight = true
	ticking := r.tick()
	resolved := ticking.resolve(t.Context(), ticking.gather(t.Context()))
	assert.Equal(t, []string{"resolve web[]", "resolve gone[tracebloc/mine]"}, registry.asked)
	assert.False(t, resolved.targets[1].Asked, "it counts for nothing")
}

// A warning of a registry is said once, where nobody else says it.
func TestResolveSaysWarnings(t *testing.T) {
	t.Parallel()
	for _, preflight := range []bool{false, true} {
		registry := serving(digestB, "web")
		registry.latest["gone"] = decide.Latest{Digest: digestB}
		registry.warnings = []*failure.Error{{Cause: failure.CredentialMissing, Message: "pull secret a is not mounted"}}
		r, log := runner(t, oneOnTwo, holding(deployment("web")).expecting("secrets"), registry)
		r.Preflight = preflight
		ticking := r.tick()
		read := ticking.gather(t.Context())
		log.Reset()
		ticking.resolve(t.Context(), read)
		assert.Equal(t, !preflight, len(log.String()) > 0)
	}
}

// A tick that is told to end asks no more.
func TestResolveAsksNobodyOnceToldToEnd(t *testing.T) {
	t.Parallel()
	r, _ := runner(t, oneOnTwo, holding(deployment("web"), other()), serving(digestB))
	ticking := r.tick()
	read := ticking.gather(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	resolved := ticking.resolve(ctx, read)
	assert.Empty(t, resolved.answers)
	assert.Len(t, resolved.latest, 3)
	assert.Equal(t, "web", resolved.targets[0].Name)
}

// What must be known before a digest is rolled out in place of another (I24).
func TestVerifier_I24(t *testing.T) {
	t.Parallel()
	amd64, arm64 := platforms(t, "linux/amd64"), platforms(t, "linux/amd64", "linux/arm64")
	refused := &failure.Error{Cause: failure.Forbidden, Message: "403"}
	for name, c := range map[string]struct {
		offers  map[image.Digest][]image.Platform
		wants   []image.Platform
		live    image.Digest
		failure failure.Cause
		asked   int
	}{
		"as many as before":            {map[image.Digest][]image.Platform{digestA: arm64, digestB: arm64}, nil, digestA, "", 2},
		"more than before":             {map[image.Digest][]image.Platform{digestA: amd64, digestB: arm64}, nil, digestA, "", 2},
		"fewer than before":            {map[image.Digest][]image.Platform{digestA: arm64, digestB: amd64}, nil, digestA, failure.PlatformMissing, 2},
		"fewer than the target names":  {map[image.Digest][]image.Platform{digestB: amd64}, arm64, digestA, failure.PlatformMissing, 1},
		"as many as the target names":  {map[image.Digest][]image.Platform{digestB: amd64}, amd64, digestA, "", 1},
		"nothing was pinned before":    {map[image.Digest][]image.Platform{digestB: amd64}, nil, "", "", 1},
		"what runs is no longer there": {map[image.Digest][]image.Platform{digestB: amd64}, nil, digestA, "", 2},
		"it is not there":              {nil, nil, digestA, failure.NotFound, 1},
	} {
		registry := serving(digestB)
		registry.manifests = map[image.Digest]resolver.Manifest{}
		for digest, offered := range c.offers {
			registry.manifests[digest] = resolver.Manifest{Digest: digest, Platforms: offered}
		}
		r, _ := runner(t, oneOnTwo, holding(), registry)
		v := newVerifier(registry, r.Log)
		answer := v.mayRollOut(t.Context(), resolver.Query{}, c.wants, digestB, c.live)
		again := v.mayRollOut(t.Context(), resolver.Query{}, c.wants, digestB, c.live)
		assert.Equal(t, answer, again, name)
		cause := failure.None
		if answer.Failure != nil {
			cause = answer.Failure.Cause
		}
		assert.Equal(t, c.failure, cause, name)
		assert.Len(t, registry.asked, c.asked, "%s: each once a tick", name)
		assert.Equal(t, c.offers[digestB], v.known(resolver.Query{}, digestB).Platforms, name)
		assert.Empty(t, v.known(resolver.Query{}, digestC), name)
	}
	v := newVerifier(refusing{digestA: refused}, nil)
	assert.Equal(t, refused, v.mayRollOut(t.Context(), resolver.Query{}, nil, digestB, digestA).Failure, "whether it has fewer is not known")
}

// refusing is a registry that has everything, but for these.
type refusing map[image.Digest]*failure.Error

func (refusing) Resolve(context.Context, []resolver.Query) []resolver.Answer { return nil }

func (refusing) Holds(context.Context, resolver.Query, image.Digest, []image.ID) (bool, error) {
	return false, nil
}

func (refusing) Serves(context.Context, resolver.Query, image.Digest) (bool, error) { return true, nil }

func (r refusing) Inspect(_ context.Context, _ resolver.Query, digest image.Digest) (resolver.Manifest, error) {
	if failed := r[digest]; failed != nil {
		return resolver.Manifest{}, failed
	}
	return resolver.Manifest{Digest: digest}, nil
}

func platforms(t *testing.T, texts ...string) []image.Platform {
	t.Helper()
	var all []image.Platform
	for _, text := range texts {
		platform, err := image.ParsePlatform(text)
		require.NoError(t, err)
		all = append(all, platform)
	}
	return all
}
