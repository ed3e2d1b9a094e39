package tick

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// planned is what a tick makes of these Deployments, up to the plan.
func planned(t *testing.T, registry Registry, file string, deployments ...*appsv1.Deployment) plan {
	t.Helper()
	r, _ := runner(t, file, holding(deployments...), registry)
	ticking := r.tick()
	read := ticking.gather(t.Context())
	return ticking.plan(t.Context(), read, ticking.resolve(t.Context(), read))
}

// A plan asks what the facts leave open, each once, and nothing else.
func TestPlanAsksWhatIsOpen(t *testing.T) {
	t.Parallel()
	heldBack := func(d *appsv1.Deployment) { d.Labels["tracebloc.io/refresh-hold"] = "true" }
	left := annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA), State: annotate.State{Left: annotate.Of(digestB)}}
	for name, c := range map[string]struct {
		of   []*appsv1.Deployment
		asks []string
	}{
		"a digest that is new here":  {[]*appsv1.Deployment{deployment("web"), other()}, []string{"inspect sha256:bbbbbbbbbbbb", "inspect sha256:aaaaaaaaaaaa"}},
		"held":                       {[]*appsv1.Deployment{deployment("web", heldBack), deployment("other", heldBack)}, nil},
		"a digest that was here":     {[]*appsv1.Deployment{deployment("web", remembers("web", left))}, nil},
		"a first observation":        {[]*appsv1.Deployment{deployment("web", remembers("web", annotate.Record{}))}, nil},
		"a workload that is missing": {nil, nil},
	} {
		registry := serving(digestB, "web")
		planned(t, registry, oneOnTwo, c.of...)
		var asked []string
		for _, question := range registry.asked {
			if question != "resolve web[]" {
				asked = append(asked, question)
			}
		}
		assert.ElementsMatch(t, c.asks, asked, name)
	}
}

// What the gates say fails the target, and is in what a workload is decided by.
func TestPlanHeedsTheGates_I24(t *testing.T) {
	t.Parallel()
	registry := serving(digestB, "web")
	registry.manifests[digestA] = resolver.Manifest{Digest: digestA, Platforms: platforms(t, "linux/amd64", "linux/arm64")}
	p := planned(t, registry, following("web"), deployment("web"))
	require.NotNil(t, p.targets[0].Failure)
	assert.Equal(t, failure.PlatformMissing, p.targets[0].Failure.Cause)
	assert.Nil(t, p.resolution.targets[0].Failure, "what was resolved stays as it was")
	assert.Equal(t, decide.Skipped, p.steps[0].Decisions[0].Outcome)
	assert.Len(t, p.workloads[0].Bindings[0].Answers, 1)
	assert.Equal(t, decide.Count{N: 1, Of: 3, ByUs: true}, p.targets[0].Failures)
}

// A workload that could not be read has neither facts nor a step, and the others have theirs.
func TestPlanLeavesOutWhatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	p := planned(t, serving(digestB, "web"), oneOnTwo, deployment("web"))
	require.Len(t, p.steps, 3)
	assert.NotNil(t, p.steps[0])
	assert.Nil(t, p.steps[1])
	assert.Nil(t, p.workloads[1])
	assert.Equal(t, []annotate.Record{{Mark: annotate.Content(annotate.Of(digestA).Mark()), Recorded: annotate.Of(digestA)}}, p.workloads[0].Began.Records)
	assert.Equal(t, []decide.Home{{Target: 0}, {Target: 1}}, p.workloads[0].Homes, "none of the other target's own exists")
}

// Two targets on one workload whose platforms are verified: each by its own image.
func TestPlanAsksForEachTarget(t *testing.T) {
	t.Parallel()
	const file = `targets:
  - {name: web, image: "ghcr.io/tracebloc/web:1", workloads: [{kind: Deployment, name: web, container: app}]}
  - {name: proxy, image: "ghcr.io/tracebloc/proxy:1", platforms: [linux/arm64], workloads: [{kind: Deployment, name: web, container: proxy}]}
`
	web := deployment("web", remembers("proxy", annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA)}), func(d *appsv1.Deployment) {
		side := d.Spec.Template.Spec.Containers[0]
		side.Name, side.Image = "proxy", "ghcr.io/tracebloc/proxy:1@"+string(digestA)
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, side)
	})
	p := planned(t, serving(digestB, "web", "proxy"), file, web)
	var outcomes []decide.Outcome
	for _, d := range p.steps[0].Decisions {
		outcomes = append(outcomes, d.Outcome)
	}
	assert.Equal(t, []decide.Outcome{decide.Refreshed, decide.Skipped}, outcomes, "the platforms that one target names are its own")
	assert.Len(t, p.steps[0].Change.Slots, 1)
}

// The pods of a workload are asked once, for all of its targets.
func TestPodsAreAskedOnce(t *testing.T) {
	t.Parallel()
	const file = `targets:
  - {name: web, image: "ghcr.io/tracebloc/web:1", workloads: [{kind: Deployment, name: web, container: app}]}
  - {name: proxy, image: "ghcr.io/tracebloc/proxy:1", workloads: [{kind: Deployment, name: web, container: proxy}]}
`
	web := acting(deployment("web", remembers("proxy", annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA)}), func(d *appsv1.Deployment) {
		side := d.Spec.Template.Spec.Containers[0]
		side.Name, side.Image = "proxy", "ghcr.io/tracebloc/proxy:1@"+string(digestA)
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, side)
	})).during("web", crash).during("web", settle)
	web.pods = decide.PodProblems{Reasons: []string{"app: CrashLoopBackOff"}}
	r, _ := runner(t, file, web, serving(digestB, "web", "proxy"))
	report := r.Run(t.Context(), false)
	asked := 0
	for _, call := range web.calls {
		if call == "pods web" {
			asked++
		}
	}
	assert.Equal(t, 1, asked)
	for at := range 2 {
		assert.Equal(t, decide.RolledBack, outcomeOf(report, at).Outcome)
		assert.Contains(t, outcomeOf(report, at).Message, "app: CrashLoopBackOff")
		assert.Contains(t, outcomeOf(report, at).Message, "one by one")
	}
	assert.Equal(t, []string{
		"patch web app=sha256:bbbbbbbbbbbb proxy=sha256:bbbbbbbbbbbb", "patch web app=sha256:aaaaaaaaaaaa proxy=sha256:aaaaaaaaaaaa",
	}, web.puts(), "all in one patch, there and back")
}
