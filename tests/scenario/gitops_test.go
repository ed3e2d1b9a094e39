package scenario_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/itchyny/gojq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/tracebloc/image-refresh/tests/docs"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// snippet is what docs/gitops.md tells a GitOps controller.
type snippet struct {
	Spec struct {
		IgnoreDifferences []struct {
			Name                            string
			JSONPointers, JQPathExpressions []string
		}
		SyncPolicy     struct{ SyncOptions []string }
		Ignore         []ignoreRule
		DriftDetection struct{ Ignore []ignoreRule }
		PostRenderers  []struct{ Kustomize map[string]any }
	}
}

type ignoreRule struct {
	Target struct{ Name string }
	Paths  []string
}

func readSnippet(t *testing.T, marker string) (read snippet) {
	t.Helper()
	text, err := docs.Snippet("docs/gitops.md", marker)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal([]byte(text), &read))
	return read
}

// ignored are the paths of an object that the controller is told to ignore, as expressions for jq.
func (s snippet) ignored(name string) (paths []string) {
	var pointers []string
	for _, rule := range append(s.Spec.Ignore, s.Spec.DriftDetection.Ignore...) {
		if rule.Target.Name == name {
			pointers = append(pointers, rule.Paths...)
		}
	}
	for _, rule := range s.Spec.IgnoreDifferences {
		if rule.Name == name {
			pointers, paths = append(pointers, rule.JSONPointers...), append(paths, rule.JQPathExpressions...)
		}
	}
	for _, pointer := range pointers {
		keys := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
		for i, key := range keys {
			if strings.Trim(key, "0123456789") != "" {
				keys[i] = strconv.Quote(key)
			}
		}
		paths = append(paths, "getpath(["+strings.Join(keys, ",")+"])")
	}
	return paths
}

// synced is what the controller applies of an object that git wants: with the live values where it ignores what git says.
func (s snippet) synced(t *testing.T, wanted, live *appsv1.Deployment) *appsv1.Deployment {
	t.Helper()
	for _, path := range s.ignored(wanted.Name) {
		query, err := gojq.Parse(". as [$wanted, $live] | reduce ($live | path(" + path + ")) as $at" +
			" ($wanted; setpath($at; $live | getpath($at)))")
		require.NoError(t, err, path)
		var both []any
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, "[%s,%s]", asJSON(t, wanted), asJSON(t, live)), &both))
		applied, _ := query.Run(both).Next()
		text, err := json.Marshal(applied)
		require.NoError(t, err)
		wanted = &appsv1.Deployment{}
		require.NoError(t, json.Unmarshal(text, wanted), path)
	}
	return wanted
}

// gitops is the demo's application, which a controller applies from git.
type gitops struct {
	*harness.Scenario
	t             *testing.T
	manager       string
	wanted        []*appsv1.Deployment
	digest, image string // what the slots should hold
}

// deployedFromGit applies the application, adopts it, and refreshes it to a new build of both images.
func deployedFromGit(t *testing.T, manager string) *gitops {
	t.Helper()
	g := &gitops{Scenario: environment.Scenario(t), t: t, manager: manager}
	g.push("first")
	g.wanted = []*appsv1.Deployment{
		workloads.Deployment("stg-jobs-manager", workloads.Container("api", jobsManager), workloads.Env("api", slot, g.digest)),
		workloads.Deployment("stg-requests-proxy", workloads.Container("proxy", g.image)),
	}
	for _, wanted := range g.wanted {
		require.NoError(t, g.Apply(manager, wanted))
		g.Settle(wanted)
	}
	g.Configure("targets:\n" +
		targetOf("ingestor", ingestor, entry("Deployment", "stg-jobs-manager", "api", "env: "+slot)) +
		targetOf("jobs-manager", jobsManager, entry("Deployment", "stg-requests-proxy", "proxy")))
	g.tick("adopted")
	g.push("second")
	g.tick("refreshed")
	return g
}

func (g *gitops) push(build string) {
	g.t.Helper()
	g.digest, g.image = g.Push(ingestor, image("ingestor "+build)), jobsManager+"@"+g.Push(jobsManager, image("manager "+build))
}

// sync applies the application as the controller makes it of what git wants and what is live.
func (g *gitops) sync(made func(wanted, live *appsv1.Deployment) *appsv1.Deployment) {
	g.t.Helper()
	for _, wanted := range g.wanted {
		require.NoError(g.t, g.Apply(g.manager, made(wanted, g.Deployment(wanted.Name))))
		g.Settle(wanted)
	}
}

// tick runs a tick, after which both slots hold what they should.
func (g *gitops) tick(outcome string) {
	g.t.Helper()
	requireOutcomes(g.t, g.Tick(), 0, outcome)
	g.requireSlots()
}

func (g *gitops) requireSlots() {
	g.t.Helper()
	value, _ := workloads.EnvValue(g.Deployment("stg-jobs-manager"), "api", slot)
	assert.Equal(g.t, g.digest, value)
	assert.Equal(g.t, g.image, workloads.Image(g.Deployment("stg-requests-proxy"), "proxy"))
}

// I38, I53: a controller that is told so leaves the slots alone, and goes on to apply all else; one that is not puts back what git says.
func TestI38I53AControllerThatIsToldSoLeavesTheSlotsAlone(t *testing.T) {
	t.Parallel()
	options := readSnippet(t, "argocd").Spec.SyncPolicy.SyncOptions
	assert.Equal(t, []string{"RespectIgnoreDifferences=true"}, options, "else the paths count for the comparison alone")
	for marker, manager := range map[string]string{"argocd": harness.Argo, "flux kustomization": "kustomize-controller"} {
		t.Run(manager, func(t *testing.T) {
			t.Parallel()
			g := deployedFromGit(t, manager)
			told := readSnippet(t, marker)
			for _, wanted := range g.wanted {
				wanted.Spec.Replicas = new(int32(2)) // a change in git
			}
			g.sync(func(wanted, live *appsv1.Deployment) *appsv1.Deployment { return told.synced(t, wanted, live) })
			g.requireSlots()
			for _, wanted := range g.wanted {
				assert.EqualValues(t, 2, *g.Deployment(wanted.Name).Spec.Replicas)
			}
			g.tick("unchanged")
			g.push("third")
			g.tick("refreshed")
			g.sync(func(wanted, _ *appsv1.Deployment) *appsv1.Deployment { return wanted })
			g.tick("reapplied")
		})
	}
}

// What a HelmRelease is told takes the variable out of what Helm applies, and the image out of what counts as drift.
func TestI38I53AHelmReleaseLeavesTheVariableOutAndTheImageAlone(t *testing.T) {
	t.Parallel()
	g := deployedFromGit(t, "helm-controller")
	told := readSnippet(t, "flux helmrelease")
	require.Len(t, told.Spec.PostRenderers, 1)
	rendered := func(wanted, _ *appsv1.Deployment) (result *appsv1.Deployment) {
		kustomization := told.Spec.PostRenderers[0].Kustomize
		kustomization["resources"] = []string{"rendered.yaml"}
		text, err := yaml.Marshal(kustomization)
		require.NoError(t, err)
		file(t, g.Scenario, "rendered.yaml", string(asJSON(t, wanted)))
		file(t, g.Scenario, "kustomization.yaml", string(text))
		require.NoError(t, yaml.Unmarshal([]byte(g.Kubectl("kustomize", g.Dir)), &result))
		return result
	}
	g.sync(rendered) // an upgrade
	_, found := workloads.EnvValue(g.Deployment("stg-jobs-manager"), "api", slot)
	require.False(t, found)
	g.tick("reapplied")
	g.sync(func(wanted, live *appsv1.Deployment) *appsv1.Deployment {
		return told.synced(t, rendered(wanted, nil), live)
	})
	g.tick("unchanged")
}
