package readme_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	namespace  = "tracebloc"
	example    = "example" // of the chart's README
	pullSecret = `{"auths":{"https://index.docker.io/v1/":{"username":"reader","password":"secret"}}}`
)

// chartValues are those that the chart's README shows.
var chartValues = regexp.MustCompile("(?s)```yaml\n(# values.yaml\n.*?)```\n")

var values = regexp.MustCompile("(?s)<!-- targets.yaml -->\n```yaml\n(.*?)```\n")

// pages are the documents with commands for a cluster, in the order in which
// a reader would come to them; each goes on where the one before has ended.
var pages = []string{
	"README.md", "chart/README.md", "docs/logs.md", "docs/registries.md", "docs/ownership.md", "docs/migrating.md", "docs/faq.md",
}

// The commands that need a cluster are run in their order, as written.
func TestTheCommandsInTheDocumentsWorkAsWritten(t *testing.T) {
	tree := copyTree(t)
	text, err := os.ReadFile(filepath.Join(tree, "README.md"))
	require.NoError(t, err)
	targets := values.FindSubmatch(text)
	require.NotNil(t, targets, "the README has no targets.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(tree, "targets.yaml"), targets[1], 0o600))
	text, err = os.ReadFile(filepath.Join(tree, "chart", "README.md"))
	require.NoError(t, err)
	shown := chartValues.FindSubmatch(text)
	require.NotNil(t, shown, "the chart's README has no values.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(tree, "values.yaml"), shown[1], 0o600))

	c, site := world(t)
	environ := append(os.Environ(), site.Environ()...)
	environ = append(environ, "GOPROXY=off", "KUBECONFIG="+c.Kubeconfig(), "HOME="+t.TempDir(), "GOCACHE="+goEnv(t, "GOCACHE"), "PASSWORD=secret",
		"GOMODCACHE="+goEnv(t, "GOMODCACHE"), "PATH="+tools(t, tree, c)+string(os.PathListSeparator)+os.Getenv("PATH"))
	printed := map[string][]string{}
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(tree, page))
		require.NoError(t, err)
		for _, script := range commands(string(text), needsCluster) {
			printed[page] = append(printed[page], run(t, tree, environ, script))
			if page == "README.md" && strings.Contains(script, "create job") {
				job, err := c.Client().BatchV1().Jobs(namespace).Get(t.Context(), "now", metav1.GetOptions{})
				require.NoError(t, err)
				assert.Equal(t, "image-refresh", job.Labels["app.kubernetes.io/name"], "the README selects Jobs by it")
			}
		}
		require.NotEmpty(t, printed[page], page)
	}
	assertTerminalGetsATable(t, tree, environ)
	readme := printed["README.md"]
	require.GreaterOrEqual(t, len(readme), 5)
	assert.Contains(t, readme[0], "jobs-manager: credential-missing (1/3)", "a plan without the pull secret says so")
	assert.NotContains(t, readme[1], "credential-missing", "a plan with it does not")
	assert.Equal(t, 3, strings.Count(readme[1], " adopted\n"))
	assert.Contains(t, printed["chart/README.md"][0], "Succeeded", "helm test")
	assert.Contains(t, printed["chart/README.md"][1], "Reason:       Completed")
	log := printed["docs/logs.md"][0]
	assert.Contains(t, log, `"msg":"registry request"`)
	assert.Contains(t, log, `"msg":"API request"`)
	d, err := c.Client().AppsV1().Deployments(namespace).Get(t.Context(), "stg-jobs-manager", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, d.Labels, "tracebloc.io/refresh-hold")
	script, err := c.Client().BatchV1().CronJobs(namespace).Get(t.Context(), "stg-image-refresh-script", metav1.GetOptions{})
	require.NoError(t, err)
	assert.True(t, *script.Spec.Suspend, "the shell script is stopped")
}

// assertTerminalGetsATable runs a plan at a terminal: without -o it prints a table in colour, no wider than the terminal.
func assertTerminalGetsATable(t *testing.T, tree string, environ []string) {
	t.Helper()
	plan := exec.CommandContext(t.Context(), "bin/image-refresh", "plan", "-f", "targets.yaml", "-n", namespace)
	plan.Dir, plan.Env, plan.Stderr = tree, append(environ, "TERM=xterm"), os.Stderr
	const columns = 130
	terminal, err := pty.StartWithSize(plan, &pty.Winsize{Cols: columns, Rows: 50})
	require.NoError(t, err)
	shown, _ := io.ReadAll(terminal) // Linux ends it with an error
	require.NoError(t, plan.Wait())
	require.NoError(t, terminal.Close())
	assert.Contains(t, string(shown), "TARGET ")
	assert.Contains(t, string(shown), "\x1b[32madopted")
	for line := range strings.Lines(regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(string(shown), "")) {
		assert.LessOrEqual(t, len(strings.TrimSpace(line)), columns, line)
	}
}

// run runs commands as a person would in bash, each of which must succeed.
func run(t *testing.T, dir string, environ []string, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, environ
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, output)
	return string(output)
}

// world is the cluster of somebody who reads the README: the application runs,
// with a pull secret for the image that is private.
func world(t *testing.T) (*cluster.Cluster, *registries.Site) {
	t.Helper()
	site, err := registries.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, site.Stop()) })
	site.DockerHub.AddAccount("reader", "secret", "tracebloc/jobs-manager")
	site.DockerHub.SetPrivate("tracebloc/jobs-manager", true)
	ingestor, err := site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Index("one", "linux/amd64", "linux/arm64"))
	require.NoError(t, err)
	_, err = site.Push("docker.io/tracebloc/jobs-manager:prod", registries.Index("one", "linux/amd64", "linux/arm64"))
	require.NoError(t, err)

	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	nodes, err := fakenode.Start(t.Context(), c.Config(), "node")
	require.NoError(t, err)
	t.Cleanup(nodes.Stop)
	core := c.Client().CoreV1()
	for _, name := range []string{namespace, example} {
		_, err = core.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	nodes.Set(example, func(pod *corev1.Pod) fakenode.Behaviour {
		if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
			return fakenode.Completed(0)
		}
		return fakenode.Ready()
	})
	_, err = core.Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "stg-regcred"}, Type: corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: pullSecret},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	const image = "docker.io/tracebloc/jobs-manager:prod"
	_, err = c.Client().BatchV1().CronJobs(namespace).Create(t.Context(), workloads.CronJob("stg-image-refresh-script"), metav1.CreateOptions{})
	require.NoError(t, err)
	for _, d := range []*appsv1.Deployment{
		workloads.Deployment("api", workloads.InNamespace(example), workloads.Container("api", "ghcr.io/example/api:1.2")),
		workloads.Deployment("stg-jobs-manager", workloads.PullSecret("stg-regcred"), workloads.Container("api", image),
			workloads.Env("api", "INGESTOR_IMAGE_DIGEST", ingestor)),
		workloads.Deployment("stg-requests-proxy", workloads.PullSecret("stg-regcred"), workloads.Container("proxy", image)),
	} {
		if d.Namespace == "" {
			d.Namespace = namespace
		}
		_, err := c.Client().AppsV1().Deployments(d.Namespace).Create(t.Context(), d, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	return c, site
}

// copyTree copies the files of the repository, as they are now, to where
// commands may leave something.
func copyTree(t *testing.T) string {
	t.Helper()
	tests, err := components.Root()
	require.NoError(t, err)
	root, tree := filepath.Dir(tests), t.TempDir()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	list, err := cmd.Output()
	require.NoError(t, err)
	for name := range bytes.SplitSeq(bytes.TrimRight(list, "\x00"), []byte{0}) {
		from, to := filepath.Join(root, string(name)), filepath.Join(tree, string(name))
		content, err := os.ReadFile(from)
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		require.NoError(t, err)
		info, err := os.Stat(from)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o750))
		require.NoError(t, os.WriteFile(to, content, info.Mode().Perm()))
	}
	// Afterwards the registries' proxy is all the network there is.
	download := exec.CommandContext(t.Context(), "go", "mod", "download")
	download.Dir, download.Env = tree, append(os.Environ(), "GOWORK=off", "PWD="+tree)
	output, err := download.CombinedOutput()
	require.NoError(t, err, string(output))
	return tree
}

// tools is a folder with the programs that the README takes for granted.
func tools(t *testing.T, tree string, c *cluster.Cluster) string {
	t.Helper()
	install := exec.CommandContext(t.Context(), filepath.Join(tree, "tests", "tools", "install"), "helm4")
	install.Stderr = os.Stderr
	helm, err := install.Output()
	require.NoError(t, err)
	dir := t.TempDir()
	for name, path := range map[string]string{"kubectl": c.Kubectl(), "helm": strings.TrimSpace(string(helm))} {
		require.NoError(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	return dir
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	require.NoError(t, err, "go env %s", name)
	return strings.TrimSpace(string(output))
}
