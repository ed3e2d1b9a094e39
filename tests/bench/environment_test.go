//go:build bench

package bench

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const account = "bench"

// environment is what every figure is taken in: a control plane, registries behind an egress proxy, ways to both whose length can
// be set, and the programs that are compared.
type environment struct {
	t       *testing.T
	dir     string // of kubeconfig and configurations
	launch  string
	scripts string
	cluster *cluster.Cluster
	site    *registries.Site
	toAPI   *relay
	toProxy *relay

	namespace string // of the account
	token     string
}

// rules are what a tick needs, and the loops too.
func rules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create"}},
	}
}

func newEnvironment(t *testing.T) *environment {
	require.FileExists(t, *binary, "the program to measure is not built: make build")
	tests, err := components.Root()
	require.NoError(t, err)
	e := &environment{t: t, dir: t.TempDir(), scripts: filepath.Join(tests, "bench", "yardsticks")}
	e.cluster, err = cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.cluster.Stop()) })
	nodes, err := fakenode.Start(t.Context(), e.cluster.Config(), "node-a", "node-b")
	require.NoError(t, err)
	t.Cleanup(nodes.Stop)
	e.site, err = registries.Start(t.Context(), e.dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.site.Stop()) })
	proxy, err := url.Parse(e.site.Proxy.URL())
	require.NoError(t, err)
	e.toAPI, err = newRelay(t.Context(), strings.TrimPrefix(e.cluster.Server(), "https://"))
	require.NoError(t, err)
	e.toProxy, err = newRelay(t.Context(), proxy.Host)
	require.NoError(t, err)
	e.namespace, err = e.cluster.Namespace(t.Context(), "bench")
	require.NoError(t, err)
	e.token, err = e.cluster.ServiceAccount(t.Context(), e.namespace, account, rules()...)
	require.NoError(t, err)

	e.launch = buildLaunch(t)
	crane := strings.TrimSpace(e.shell(filepath.Join(tests, "tools", "install") + " crane"))
	require.NoError(t, os.Mkdir(filepath.Join(e.dir, "bin"), 0o750))
	for name, path := range map[string]string{"kubectl": e.cluster.Kubectl(), "crane": crane} {
		require.NoError(t, os.Symlink(path, filepath.Join(e.dir, "bin", name)))
	}
	t.Setenv("PATH", filepath.Join(e.dir, "bin")+":"+os.Getenv("PATH"))
	for _, tool := range []string{"bash", "curl", "jq", "sed"} {
		_, err := exec.LookPath(tool)
		require.NoError(t, err, "the benchmark compares with what needs %s", tool)
	}
	return e
}

func (e *environment) shell(command string) string {
	cmd := exec.CommandContext(e.t.Context(), "bash", "-c", command)
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	require.NoError(e.t, err, command)
	return string(output)
}

// distance is how far away registries and API server are, as the time of a round trip.
type distance struct{ registries, api time.Duration }

// usual is how far away they are where nothing else is said.
func usual() distance { return distance{20 * time.Millisecond, 5 * time.Millisecond} }

// environ leads a program to the cluster and, by the egress proxy, to the registries.
func (e *environment) environ(away distance) []string {
	server, proxy := e.cluster.Server(), e.site.Proxy.URL()
	if away.api > 0 {
		e.toAPI.set(away.api)
		server = "https://" + e.toAPI.address
	}
	if away.registries > 0 {
		e.toProxy.set(away.registries)
		proxy = "http://" + e.toProxy.address
	}
	kubeconfig := filepath.Join(e.dir, "kubeconfig")
	require.NoError(e.t, e.cluster.WriteKubeconfig(kubeconfig, cluster.Access{Server: server, Token: e.token, Namespace: e.namespace}))
	return []string{
		"KUBECONFIG=" + kubeconfig, "HTTPS_PROXY=" + proxy, "HTTP_PROXY=" + proxy, "NO_PROXY=127.0.0.1",
		"SSL_CERT_FILE=" + e.site.CAFile, "SSL_CERT_DIR=/nonexistent", "CURL_CA_BUNDLE=" + e.site.CAFile,
	}
}

// configure writes a configuration file and returns its path.
func (e *environment) configure(text string) string {
	file, err := os.CreateTemp(e.dir, "*.yaml")
	require.NoError(e.t, err)
	_, err = file.WriteString(text)
	require.NoError(e.t, err)
	require.NoError(e.t, file.Close())
	return file.Name()
}

// contender is a program that is measured.
type contender struct {
	name string
	args []string // its path among them
	env  []string
}

func (e *environment) product(config string, env []string, more ...string) contender {
	return contender{"image-refresh", []string{*binary}, append(append([]string{"CONFIG_FILE=" + config}, env...), more...)}
}

// yardstick is a script that looks after the targets.
func (e *environment) yardstick(name, script, targets string, env []string) contender {
	return contender{name, []string{"bash", filepath.Join(e.scripts, script)}, append([]string{"TARGETS=" + targets}, env...)}
}

// alternate runs the contenders in turn, so that what disturbs the machine disturbs all of them, and returns the costs of each. The
// first round warms up and does not count. Before each run, ready may set the stage.
func (e *environment) alternate(rounds int, ready func(), contenders ...contender) [][]cost {
	costs := make([][]cost, len(contenders))
	for round := range max(rounds, 1) + 1 {
		for i, c := range contenders {
			if ready != nil {
				ready()
			}
			if used := e.run(c); round > 0 {
				costs[i] = append(costs[i], used)
			}
		}
	}
	return costs
}

// run runs a contender once, in an empty home as in a fresh pod.
func (e *environment) run(c contender) cost {
	home, err := os.MkdirTemp(e.dir, "home-")
	require.NoError(e.t, err)
	env := append([]string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH")}, c.env...)
	used, output := launched(e.t, e.launch, env, c.args...)
	require.Zero(e.t, used.ExitCode, "%s\n%s", c.name, output)
	return used
}
