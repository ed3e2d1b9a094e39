package docs

import (
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	namespace  = "tracebloc"
	example    = "example"           // of the chart's README
	theirs     = "tracebloc.io/team" // a label of the application's own
	pullSecret = `{"auths":{"https://index.docker.io/v1/":{"username":"reader","password":"secret"}}}`
)

// pages are the documents with commands for a cluster, in the order in which a reader would come to them; each goes on where
// the one before has ended.
var pages = []string{
	"README.md", "chart/README.md", "docs/notifications.md", "docs/logs.md", "docs/registries.md", "docs/ownership.md", "docs/faq.md",
	"docs/uninstall.md",
}

// shown are the files that a page tells its reader to write.
var shown = map[string]struct{ page, block string }{
	"targets.yaml": {"README.md", "(?s)<!-- targets.yaml -->\n```yaml\n(.*?)```\n"},
	"values.yaml":  {"chart/README.md", "(?s)```yaml\n(# values.yaml\n.*?)```\n"},
}

// The commands that need a cluster are run in their order, as written.
func TestCommandsInTheDocumentsWorkAsWritten(t *testing.T) {
	tree := copyTree(t)
	for file, from := range shown {
		text, err := read(from.page)
		require.NoError(t, err)
		match := regexp.MustCompile(from.block).FindStringSubmatch(text)
		require.NotNil(t, match, "%s shows no %s", from.page, file)
		require.NoError(t, os.WriteFile(filepath.Join(tree, file), []byte(match[1]), 0o600))
	}
	c, site := readersCluster(t)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(c.Kubectl(), filepath.Join(bin, "kubectl")))
	require.NoError(t, os.Symlink(tool(t, "helm4"), filepath.Join(bin, "helm")))
	engine := filepath.Join(bin, "docker") // there is none here; tests/e2e makes the image
	pushed := filepath.Join(tree, "engine")
	require.NoError(t, os.WriteFile(engine, []byte("#!/bin/sh\necho \"$@\" >>"+pushed+"\n"), 0o700))
	environ := append(append(os.Environ(), site.Environ()...), "GOPROXY=off", "KUBECONFIG="+c.Kubeconfig(), "HOME="+t.TempDir(),
		"GOCACHE="+output(t, "", "go", "env", "GOCACHE"), "GOMODCACHE="+output(t, "", "go", "env", "GOMODCACHE"), "PASSWORD=secret",
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	run := func(script string) string {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = tree, environ
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", script, output)
		return string(output)
	}
	printed := map[string][]string{}
	for _, page := range pages {
		text, err := read(page)
		require.NoError(t, err)
		if page == "docs/uninstall.md" { // the last one
			require.NoError(t, os.Symlink(filepath.Join(tree, "bin", "image-refresh"), filepath.Join(bin, "image-refresh")))
			assertPipelineCommits(t, environ)
			assertRunbookMakesAJob(t, run)
			leaveEveryKey(t, run)
		}
		for _, script := range commands(text, needsCluster) {
			printed[page] = append(printed[page], run(script))
		}
		require.NotEmpty(t, printed[page], page)
	}
	assertTerminalGetsATable(t, tree, environ)
	readme := printed["README.md"]
	require.GreaterOrEqual(t, len(readme), 5)
	assert.Equal(t, 2, strings.Count(readme[0], " adopted  "), "init has found what floats")
	assert.Equal(t, 2, strings.Count(readme[2], " adopted  "))
	assert.NotContains(t, readme[2], "credential-missing", "the pull secret is read")
	assert.Contains(t, readme[3], "cronjob.batch/image-refresh")
	built, err := os.ReadFile(pushed)
	require.NoError(t, err)
	own := regexp.MustCompile(`^build .* -t (\S+) \.\npush (\S+):(\S+)\n$`).FindStringSubmatch(string(built))
	require.NotNil(t, own, string(built))
	assert.Equal(t, own[1], own[2]+":"+own[3], "what is built is pushed")
	page, err := read("README.md")
	require.NoError(t, err)
	installed := "--set image.repository=" + own[2] + " \\\n  --set image.tag=" + own[3] + " \\\n"
	if !strings.Contains(page, installed) {
		t.Errorf("the README does not install what it pushes: %s", installed)
	}
	assertNothingIsLeft(t, c)
	assert.Contains(t, printed["chart/README.md"][0], "Succeeded", "helm test")
	assert.Contains(t, printed["chart/README.md"][1], "Reason:       Completed")
	assert.NotContains(t, printed["chart/README.md"][2], "pod/", "the pod of helm test is no part of what kubectl installs")
	assert.Contains(t, printed["chart/README.md"][2], "cronjob.batch/image-refresh ")
	assert.Contains(t, printed["docs/logs.md"][0], `"msg":"registry request"`)
	assert.Contains(t, printed["docs/logs.md"][0], `"msg":"API request"`)
	d, err := c.Client().AppsV1().Deployments(namespace).Get(t.Context(), "stg-jobs-manager", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, d.Labels, "tracebloc.io/refresh-hold")
}

// assertRunbookMakesAJob runs what the runbook sets first, which finds the CronJob by its label, and its command for a tick.
func assertRunbookMakesAJob(t *testing.T, run func(script string) string) {
	t.Helper()
	text, err := read("docs/runbook.md")
	require.NoError(t, err)
	page, err := Runbook()
	require.NoError(t, err)
	command := regexp.MustCompile(`(?m)^kubectl create job .*$`).FindString(page[RunbookStart][0].Text)
	require.NotEmpty(t, command)
	assert.Regexp(t, `^job\.batch/now-\d+ created\n$`, run(variables.FindStringSubmatch(text)[1]+command))
}

// assertTerminalGetsATable runs a plan at a terminal: without -o it prints a table in colour, no wider than the terminal.
func assertTerminalGetsATable(t *testing.T, tree string, environ []string) {
	t.Helper()
	plan := exec.CommandContext(t.Context(), "bin/image-refresh", "plan", "-f", "targets.yaml", "-n", namespace)
	plan.Dir, plan.Env, plan.Stderr = tree, slices.Concat(environ, []string{"TERM=xterm"}), io.Discard
	const columns = 140
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

// leaveEveryKey runs a tick, and leaves every label and annotation on a workload that the README names.
func leaveEveryKey(t *testing.T, run func(script string) string) {
	t.Helper()
	run("bin/image-refresh -f targets.yaml --namespace " + namespace)
	page, err := read("README.md")
	require.NoError(t, err)
	keys := regexp.MustCompile("(?m)^\\| `(tracebloc\\.io/[^`]+)`( \\(label\\))? \\|").FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, keys)
	for _, key := range keys {
		verb := "annotate"
		if key[2] != "" {
			verb = "label"
		}
		run("kubectl -n " + namespace + " " + verb + " --overwrite deploy/stg-requests-proxy " + key[1] + "=true")
	}
}

// assertNothingIsLeft says that after the page about uninstalling nothing of ours is on a workload, and all else still is.
func assertNothingIsLeft(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	all, err := c.Client().AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range all.Items {
		d := &all.Items[i]
		ours := slices.Sorted(maps.Keys(d.Labels))
		ours = append(ours, slices.Collect(maps.Keys(d.Annotations))...)
		ours = slices.DeleteFunc(ours, func(key string) bool { return !strings.HasPrefix(key, "tracebloc.io/") })
		assert.Equal(t, []string{theirs}, ours, d.Name)
		assert.Equal(t, 1, workloads.Revision(d), "%s is not restarted", d.Name)
	}
}

// readersCluster is that of somebody who reads the README: the application runs, with a pull secret for the private image.
func readersCluster(t *testing.T) (*cluster.Cluster, *registries.Site) {
	t.Helper()
	site, err := registries.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, site.Stop()) })
	site.DockerHub.AddAccount("reader", "secret", "tracebloc/jobs-manager")
	site.DockerHub.SetPrivate("tracebloc/jobs-manager", true)
	ingestor, err := site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Index("one", "linux/amd64", "linux/arm64"))
	require.NoError(t, err)
	const image = "docker.io/tracebloc/jobs-manager:prod"
	_, err = site.Push(image, registries.Index("one", "linux/amd64", "linux/arm64"))
	require.NoError(t, err)

	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	nodes, err := fakenode.Start(t.Context(), c.Config(), "node")
	require.NoError(t, err)
	t.Cleanup(nodes.Stop)
	nodes.Set(example, func(pod *corev1.Pod) fakenode.Behaviour {
		if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
			return fakenode.Completed(0)
		}
		return fakenode.Ready()
	})
	made := func(_ any, err error) { require.NoError(t, err) }
	create, core := metav1.CreateOptions{}, c.Client().CoreV1()
	for _, name := range []string{namespace, example} {
		made(core.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, create))
	}
	made(core.Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "stg-regcred"}, Type: corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: pullSecret},
	}, create))
	for _, d := range []*appsv1.Deployment{
		workloads.Deployment("api", workloads.InNamespace(example), workloads.Container("api", "ghcr.io/example/api:1.2")),
		workloads.Deployment("stg-jobs-manager", workloads.InNamespace(namespace), workloads.Label(theirs, "jobs"), workloads.PullSecret("stg-regcred"),
			workloads.Container("api", image), workloads.Env("api", "INGESTOR_IMAGE_DIGEST", ingestor)),
		workloads.Deployment("stg-requests-proxy", workloads.InNamespace(namespace), workloads.Label(theirs, "jobs"), workloads.PullSecret("stg-regcred"),
			workloads.Container("proxy", image)),
	} {
		made(c.Client().AppsV1().Deployments(d.Namespace).Create(t.Context(), d, create))
	}
	return c, site
}

// copyTree copies the files of the repository, as they are now, to where commands may leave something.
func copyTree(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	for name, text := range files(t) {
		from, err := path(name)
		require.NoError(t, err)
		info, err := os.Stat(from)
		require.NoError(t, err)
		to := filepath.Join(tree, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o750))
		require.NoError(t, os.WriteFile(to, []byte(text), info.Mode().Perm()))
	}
	output(t, tree, "go", "mod", "download") // afterwards the registries' proxy is all the network there is
	return tree
}

// tool is the path of a program that tests/tools pins.
func tool(t *testing.T, name string) string {
	t.Helper()
	install, err := path("tests/tools/install")
	require.NoError(t, err)
	return output(t, "", install, name)
}

// output is what a command prints to standard output, without the end of its line.
func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), "GOWORK=off", "PWD="+dir), os.Stderr
	printed, err := cmd.Output()
	require.NoError(t, err, "%s %v", name, args)
	return strings.TrimSpace(string(printed))
}
