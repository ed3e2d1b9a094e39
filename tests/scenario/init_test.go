package scenario_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// What init writes for a namespace is a configuration: plan and ticks take it as it is, and follow what floats there.
func TestWhatInitWritesIsAConfiguration(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Push(ingestor, image("first"))
	pinned := s.Push("ghcr.io/tracebloc/a:1", image("pinned"))
	s.Deploy(
		workloads.Deployment("web", workloads.Container("api", ingestor), workloads.Container("side", "ghcr.io/tracebloc/a:1"+"@"+pinned)),
		workloads.StatefulSet("db", workloads.Container("db", ingestor)),
		workloads.DaemonSet("agent", workloads.Container("agent", ingestor)),
		workloads.CronJob("nightly", workloads.Container("job", ingestor)),
	)
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets":[{"name":"pull"}]}`)
	proposed := s.Run("init")
	harness.RequireExit(t, 0, proposed)
	assert.Contains(t, proposed.Stdout, "container side: "+"ghcr.io/tracebloc/a:1"+"@"+pinned+" is pinned by its owner")
	assert.Contains(t, proposed.Stdout, "pullSecrets: [pull]", "as pods get them by their service account")
	assert.Equal(t, proposed.Stdout, s.Run("init").Stdout)
	assert.Empty(t, s.API.Writes())

	s.Configure(proposed.Stdout)
	requireOutcomes(t, s.Run("plan"), 0, "adopted")
	result := s.Tick()
	requireOutcomes(t, result, 0, "adopted")
	assert.Len(t, result.Report.Targets, 1)
	assert.Len(t, result.Report.Targets[0].Workloads, 4)
	assert.Equal(t, proposed.Stdout, s.Run("init").Stdout, "what has been adopted floats still")

	none := s.Run("init", "-l", "app=absent")
	harness.RequireExit(t, 0, none)
	assert.Contains(t, none.Stdout, "targets: []\n")
}

// Over what public charts render, init writes targets that the chart takes as they are, and that a tick follows.
func TestInitOverPublicCharts(t *testing.T) {
	t.Parallel()
	const listed, proposed = "testdata/init/charts.yaml", "testdata/init/proposed.yaml"
	helm, err := tool("helm4")
	require.NoError(t, err)
	r := &release{Scenario: environment.Scenario(t), t: t, path: helm}
	images := r.charts(listed)
	push := func(content string) (digest string) { // of all images, which are alike here
		for _, reference := range images {
			digest = r.Push(reference, image(content))
		}
		return digest
	}
	first := push("one")
	r.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Ready().Running("nginx@" + first) })

	written := r.Run("init")
	harness.RequireExit(t, 0, written)
	text := strings.ReplaceAll(written.Stdout, r.Namespace, "NAMESPACE")
	if *updateReadings {
		require.NoError(t, os.WriteFile(proposed, []byte(text), 0o600))
	}
	want, err := os.ReadFile(proposed)
	require.NoError(t, err)
	assert.Equal(t, string(want), text, "go test ./scenario -run TestInit -update-readings")

	values := filepath.Join(r.Dir, "targets.yaml")
	require.NoError(t, os.WriteFile(values, []byte(written.Stdout), 0o600))
	requireOutcomes(t, r.Run("plan", "--values", values), 0, "adopted")
	r.helm("install", "refresh", "../../chart", "--values", values)
	r.Configure(r.Kubectl("get", "configmap", "refresh-image-refresh", "-o", `jsonpath={.data.config\.yaml}`))
	r.Setenv("MAX_ROLLOUTS", "0")
	requireOutcomes(t, r.Tick(), 0, "adopted")
	second := push("two")
	refreshed := r.Tick()
	requireOutcomes(t, refreshed, 0, "refreshed")
	assert.Len(t, refreshed.Report.Targets, strings.Count(text, "- name: "))
	live := r.Kubectl("get", "deployments,statefulsets,daemonsets,cronjobs", "-o", "yaml")
	assert.Equal(t, strings.Count(text, "- {kind"), strings.Count(live, "@"+second+"\n"), "in no slot that is not proposed")
}

// charts deploys the workloads of a file, and returns the images that registries hold under a tag, which they are to have.
func (r *release) charts(file string) (images []string) {
	r.t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(r.t, err)
	var listed []struct {
		Kind, Name, Owner string
		Containers        []string
	}
	require.NoError(r.t, yaml.Unmarshal(text, &listed))
	var objects []workloads.Object
	for _, one := range listed {
		var options []workloads.Option
		for _, container := range one.Containers {
			name, reference, _ := strings.Cut(container, "=")
			if init, is := strings.CutPrefix(name, "+"); is {
				options = append(options, workloads.InitContainer(init, reference))
			} else {
				options = append(options, workloads.Container(name, reference))
			}
			if !strings.Contains(reference, "@") {
				images = append(images, strings.TrimPrefix(reference, "registry-1.docker.io/"))
			}
		}
		object := build(one.Kind, one.Name, options...)
		if one.Owner != "" {
			object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "monitoring.coreos.com/v1", Kind: one.Owner, Name: "kps", UID: "1", Controller: new(true)}})
		}
		objects = append(objects, object)
	}
	for _, host := range []string{"quay.io", "registry.k8s.io", "public.ecr.aws"} {
		store := registries.NewStore(r.t.Context())
		r.Site.Add(host, store, store, host)
	}
	r.Deploy(objects...)
	return images
}

// Who may not list is told what is missing, and where.
func TestInitSaysWhatItMayNotList(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Grant(s.Namespace, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list"}})
	for _, args := range [][]string{{"init"}, {"init", "-A"}} {
		refused := s.Run(args...)
		harness.RequireExit(t, 1, refused)
		assert.Empty(t, refused.Stdout)
		assert.Contains(t, refused.Stderr, "forbids to list statefulsets in ")
		assert.Contains(t, refused.Stderr, "ask for the right to list")
	}
}
