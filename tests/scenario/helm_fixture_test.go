package scenario_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// appImage is another target, in image mode.
const (
	appImage    = "docker.io/tracebloc/jobs-manager:prod"
	application = "testdata/app" // a chart with every kind of workload, each named after its kind
)

// applicationConfig follows both slots of each workload of the application.
var applicationConfig = applicationOf("targets:",
	"  - name: ingestor", "    image: "+ingestor, "    workloads:", everyKind("env: "+slot),
	"  - name: manager", "    image: "+appImage, "    workloads:", everyKind("container: api"))

func applicationOf(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// entries lists the four workloads of the application, for a target's configuration.
func everyKind(what string) string {
	var lines []string
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "CronJob"} {
		lines = append(lines, fmt.Sprintf("      - {kind: %s, name: %s, %s}", kind, strings.ToLower(kind), what))
	}
	return strings.Join(lines, "\n")
}

// helms are the pinned Helms, by major version, built once for this user.
var helms = sync.OnceValues(func() (map[string]string, error) {
	found := map[string]string{}
	for _, name := range []string{"helm3", "helm4"} {
		path, err := tool(name)
		if err != nil {
			return nil, err
		}
		found[name] = path
	}
	return found, nil
})

// tool is the path of a pinned tool.
func tool(name string) (string, error) {
	install := exec.CommandContext(context.Background(), "../tools/install", name)
	install.Stderr = os.Stderr
	path, err := install.Output()
	if err != nil {
		return "", fmt.Errorf("tests/tools/install %s: %w", name, err)
	}
	return strings.TrimSpace(string(path)), nil
}

// release is an application that a real Helm has installed.
type release struct {
	*harness.Scenario
	t    *testing.T
	path string
	helm string // helm3 or helm4
}

// forEachHelm runs a test side by side with every Helm.
func forEachHelm(t *testing.T, test func(t *testing.T, r *release)) {
	t.Helper()
	t.Parallel()
	paths, err := helms()
	require.NoError(t, err)
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &release{Scenario: environment.Scenario(t), t: t, path: path, helm: name})
		})
	}
}

// run runs Helm; it has to succeed. The application is settled afterwards.
func (r *release) run(args ...string) {
	r.t.Helper()
	r.output(args...)
	r.settle()
}

// output is what Helm prints; it has to succeed.
func (r *release) output(args ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, r.path, append(args, "--namespace", r.Namespace)...)
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.Dir, "KUBECONFIG=" + r.Cluster.Kubeconfig(),
		"HELM_CACHE_HOME=" + r.Dir, "HELM_CONFIG_HOME=" + r.Dir, "HELM_DATA_HOME=" + r.Dir,
	}
	output, err := command.CombinedOutput()
	require.NoError(r.t, err, "helm %s\n%s", strings.Join(args, " "), output)
	return string(output)
}

func (r *release) settle() {
	r.t.Helper()
	for _, object := range r.workloads() {
		r.Settle(object)
	}
}

func (r *release) install(set ...string) {
	r.t.Helper()
	r.run(append([]string{"install", "app", application}, set...)...)
}

func (r *release) upgrade(set ...string) {
	r.t.Helper()
	r.run(append([]string{"upgrade", "app", application}, set...)...)
}

// workloads are the application's, as they are now.
func (r *release) workloads() []workloads.Object {
	r.t.Helper()
	return []workloads.Object{
		r.Deployment("deployment"), r.StatefulSet("statefulset"), r.DaemonSet("daemonset"), r.CronJob("cronjob"),
	}
}

// tick runs one tick that ends with an outcome for every slot, but those of which others are listed by kind.
func (r *release) tick(outcome string) {
	r.t.Helper()
	result := r.Tick()
	harness.RequireExit(r.t, 0, result)
	for _, target := range result.Report.Targets {
		for _, workload := range target.Workloads {
			assert.Equal(r.t, outcome, workload.Outcome, "%s of %s: %s", target.Name, workload.Name, workload.Message)
		}
	}
	r.settle()
}

// push publishes a new build of both images.
func (r *release) push(build string) (digest, image string) {
	r.t.Helper()
	digest = r.Push(ingestor, registries.Index("ingestor "+build, "linux/amd64"))
	return digest, appImage + "@" + r.Push(appImage, registries.Index("manager "+build, "linux/amd64"))
}

// requireSlots asserts what every slot of the application holds.
func (r *release) requireSlots(digest, image string) {
	r.t.Helper()
	for _, object := range r.workloads() {
		value, _ := workloads.EnvValue(object, "api", slot)
		require.Equal(r.t, digest, value, "the variable of %s", object.GetName())
		require.Equal(r.t, image, workloads.Image(object, "api"), "the image of %s", object.GetName())
	}
}

// requireOwned asserts that the slots are owned by exactly these managers, and none by the program.
func (r *release) requireOwned(env, image []string) {
	r.t.Helper()
	for _, object := range r.workloads() {
		assert.Equal(r.t, env, workloads.EnvOwners(object, "api", slot), "the variable of %s", object.GetName())
		assert.Equal(r.t, image, workloads.ImageOwners(object, "api"), "the image of %s", object.GetName())
	}
}

// digestOf is a digest that no registry holds.
func digestOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }
