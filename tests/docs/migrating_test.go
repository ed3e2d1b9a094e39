package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const migrating = "docs/migrating.md"

// applied are the images of the application, which here hold the same build.
var applied = []string{"docker.io/tracebloc/jobs-manager", "docker.io/tracebloc/pods-monitor", "docker.io/tracebloc/resource-monitor"}

// edge is a cluster with the application, whose script has written digests without a tag.
type edge struct {
	t    *testing.T
	tree string
	env  []string
	site *registries.Site
	node *fakenode.Kubelet
}

// The page's commands take over from the script as written, with both Helms: it stays suspended whatever the application's
// upgrades do, the first tick restarts nothing, and each digest comes back after an upgrade.
func TestMigratingFromTheScriptWorksAsWritten(t *testing.T) {
	for _, helm := range []string{"helm3", "helm4"} {
		t.Run(helm, func(t *testing.T) {
			t.Parallel()
			page, err := read(migrating)
			require.NoError(t, err)
			e := newEdge(t, helm)
			first := e.push("one")
			for _, namespace := range []string{"tracebloc", "tracebloc-node-agents"} { // what nodes have under the tag, and keep
				nodes := func(*corev1.Pod) fakenode.Behaviour { return fakenode.Ready().Running(applied[0] + "@" + first) }
				e.node.Set(namespace, nodes)
			}
			e.run("helm install stg $CHART --namespace tracebloc --create-namespace")
			for _, workload := range []string{
				"-n tracebloc set image deployment/stg-jobs-manager api=" + applied[0] + "@" + first + " pods-monitor-container=" + applied[1] + "@" + first,
				"-n tracebloc set image deployment/stg-requests-proxy proxy=" + applied[0] + "@" + first,
				"-n tracebloc-node-agents set image daemonset/stg-resource-monitor tracebloc-resource-monitor=" + applied[2] + "@" + first,
			} {
				e.run("kubectl " + workload)
			}
			e.run("kubectl -n tracebloc annotate deployment stg-jobs-manager tracebloc.io/refresh-attempt=1 tracebloc.io/refresh-flap-detected=x " +
				"tracebloc.io/last-refreshed-jobs-manager-digest=" + first + " tracebloc.io/last-refreshed-resource-monitor-digest=" + first)
			if helm == "helm3" { // what the application's hourly upgrade runs
				e.run("kubectl -n tracebloc patch cronjob stg-image-refresh --patch '{\"spec\":{\"suspend\":true}}'")
				e.run("helm upgrade stg $CHART --namespace tracebloc --reset-then-reuse-values")
				assert.Equal(t, "false", e.suspended(), "an upgrade undoes a patch")
			} else {
				refused := e.fail("helm upgrade stg $CHART --namespace tracebloc --reset-then-reuse-values --set imageRefresh.suspend=true")
				assert.Contains(t, refused, `conflict with "kubectl-set"`)
				e.env = append(e.env, "CHART="+e.chart()+" --force-conflicts")
			}
			for _, script := range commands(page, needsCluster) {
				printed := e.run(script)
				switch {
				case strings.Contains(script, "suspend=true --set"), strings.Contains(script, "imageRefresh.suspend=true"):
					assert.Equal(t, "true", e.suspended())
				case strings.Contains(script, " plan "):
					assert.Equal(t, 4, strings.Count(printed, ": adopted: "), printed)
				case strings.Contains(script, "first-tick"):
					e.takesOver()
				case strings.Contains(script, "refresh-attempt-"):
					assert.NotContains(t, e.run("bin/image-refresh run -f config.yaml -n tracebloc"), "is not read")
				case strings.Contains(script, "helm uninstall"):
					assert.Equal(t, "false", e.suspended())
				}
			}
		})
	}
}

// takesOver shows ticks after the script, with builds that come and upgrades of the application between them.
func (e *edge) takesOver() {
	e.t.Helper()
	upgrade := "helm upgrade stg ${CHART% --force-conflicts} --namespace tracebloc --reset-then-reuse-values"
	e.run(upgrade + " --set images.podsMonitor.digest=sha256:" + strings.Repeat("a", 64))
	e.ends("plan", 1, 1, "slot-mismatch") // a pin of its owner's
	e.run(upgrade + " --set images.podsMonitor.digest=")
	pods := e.run("kubectl get pods -A -o name")
	e.ends("run", 0, 4, "adopted")
	e.ends("run", 0, 4, "unchanged")
	assert.Equal(e.t, pods, e.run("kubectl get pods -A -o name"), "nothing restarts")
	digest := e.push("two")
	e.ends("run", 0, 4, "refreshed")
	for image, times := range map[string]int{applied[0]: 2, applied[1]: 1, applied[2]: 1} {
		assert.Equal(e.t, times, strings.Count(e.images(), image+":prod@"+digest+"\n"), image)
	}
	e.run(upgrade)
	assert.Equal(e.t, "true", e.suspended(), "as the release's own value says")
	assert.NotContains(e.t, e.images(), "@")
	e.ends("run", 0, 4, "reapplied") // nodes have the first build under the tag
}

func newEdge(t *testing.T, helm string) *edge {
	t.Helper()
	site, err := registries.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, site.Stop()) })
	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	nodes, err := fakenode.Start(t.Context(), c.Config(), "node")
	require.NoError(t, err)
	t.Cleanup(nodes.Stop)
	agents := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tracebloc-node-agents"}}
	_, err = c.Client().CoreV1().Namespaces().Create(t.Context(), agents, metav1.CreateOptions{})
	require.NoError(t, err)
	e := &edge{t: t, tree: copyTree(t), site: site, node: nodes}
	built, err := product.Build(t.Context(), t.TempDir(), false, os.Stderr)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(e.tree, "bin"), 0o750))
	bin := t.TempDir()
	for link, target := range map[string]string{
		filepath.Join(e.tree, "bin", "image-refresh"): built, filepath.Join(bin, "kubectl"): c.Kubectl(), filepath.Join(bin, "helm"): tool(t, helm),
	} {
		require.NoError(t, os.Symlink(target, link))
	}
	e.env = append(append(os.Environ(), site.Environ()...), "KUBECONFIG="+c.Kubeconfig(), "HOME="+t.TempDir(), "CHART="+e.chart(),
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return e
}

func (e *edge) chart() string { return filepath.Join(e.tree, "tests/docs/testdata/client") }

// push publishes a build of each image.
func (e *edge) push(build string) (digest string) {
	e.t.Helper()
	for _, image := range applied {
		var err error
		digest, err = e.site.Push(image+":prod", registries.Index(build, "linux/amd64", "linux/arm64"))
		require.NoError(e.t, err)
	}
	return digest
}

// run runs a script, which has to succeed, and returns what it prints. The application is settled afterwards.
func (e *edge) run(script string) string {
	e.t.Helper()
	printed, err := e.shell(script)
	require.NoError(e.t, err, "%s\n%s", script, printed)
	if strings.Contains(script, "helm ") || strings.Contains(script, "set image") {
		for _, workload := range []string{"tracebloc deployment/stg-jobs-manager", "tracebloc deployment/stg-requests-proxy", "tracebloc-node-agents daemonset/stg-resource-monitor"} {
			settled, err := e.shell("kubectl rollout status --timeout=60s -n " + workload)
			require.NoError(e.t, err, settled)
		}
	}
	return printed
}

func (e *edge) fail(script string) string {
	e.t.Helper()
	printed, err := e.shell(script)
	require.Error(e.t, err, script)
	return printed
}

func (e *edge) shell(script string) (string, error) {
	cmd := exec.CommandContext(e.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = e.tree, e.env
	printed, err := cmd.CombinedOutput()
	return string(printed), err
}

// ends runs a command with this exit code and this many slots of an outcome or cause.
func (e *edge) ends(command string, code, slots int, said string) {
	e.t.Helper()
	printed := e.run("bin/image-refresh " + command + " -f config.yaml -n tracebloc -o json 2>/dev/null || true")
	assert.Contains(e.t, printed, fmt.Sprintf("\"exitCode\": %d,", code))
	assert.Equal(e.t, slots, strings.Count(printed, `": "`+said+`",`), printed)
}

func (e *edge) suspended() string {
	e.t.Helper()
	return e.run("kubectl -n tracebloc get cronjob stg-image-refresh -o jsonpath='{.spec.suspend}'")
}

func (e *edge) images() string {
	e.t.Helper()
	return e.run(`kubectl get deployments,daemonsets -A -o jsonpath='{range .items[*].spec.template.spec.containers[*]}{.image}{"\n"}{end}'`)
}
