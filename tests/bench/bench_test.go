//go:build bench

package bench

import (
	"flag"
	"fmt"
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

var (
	binary = flag.String("binary", "", "image-refresh, built as it is shipped")
	report = flag.String("report", "", "where to write the report; it is logged where empty")
	rounds = flag.Int("rounds", 15, "runs of each contender in the shortest comparison")
)

// The budgets.
const (
	budgetCPU          = 15 // times less than the loop's
	budgetWall         = 8
	budgetMemory       = 28 // MiB, of an unchanged tick of three images
	budgetLargeWall    = 3.0
	budgetLargeMemory  = 72
	budgetStatusCPU    = 1.0
	budgetStatusMemory = 64
	budgetBinary       = 29_000_000
	budgetImage        = 10_300_000
)

// bench is one run of everything: what every figure is taken in (a control plane, registries behind an egress proxy, ways to both
// whose length can be set), and the report.
type bench struct {
	*testing.T
	dir            string // of kubeconfig and configurations
	launch         string
	scripts        string
	cluster        *cluster.Cluster
	site           *registries.Site
	toAPI, toProxy *relay
	namespace      string // of the account
	token          string

	budgets  [][]string
	sections []string
}

func TestBenchmarks(t *testing.T) {
	b := newBench(t)
	begun := time.Now()
	machine := b.describe()
	b.startUp()
	b.unchanged()
	b.refreshed()
	b.growth()
	text := "# Benchmarks\n\nWritten by `make bench` on " + begun.UTC().Format("2006-01-02 15:04 MST") + ", in " +
		time.Since(begun).Round(time.Second).String() + ". Do not edit.\n\n" +
		"Programs take turns, so that what disturbs the machine disturbs all of them. A figure is the median over the runs, with the " +
		"smallest and the largest in brackets; a ratio is the median of the ratios run by run. Control plane, registries and proxy run " +
		"on the same machine as what is measured, and compete with it: times are too long rather than too short, for all alike.\n\n" +
		machine + "\n## Budgets\n\nThe sizes fail the run where they are broken.\n\n" +
		table([]string{"budget", "at most", "measured", ""}, b.budgets) + "\n" + strings.Join(b.sections, "")
	if *report == "" {
		t.Log(text)
		return
	}
	require.NoError(t, os.WriteFile(*report, []byte(text), 0o644))
}

// judge notes whether a budget is kept.
func (b *bench) judge(kept bool, what, limit, measured string) {
	verdict := "kept"
	if !kept {
		verdict = "**BROKEN**"
	}
	b.budgets = append(b.budgets, []string{what, limit, measured, verdict})
}

// section ends one, and notes how busy the machine was while its figures were taken.
func (b *bench) section(title string, paragraphs ...string) {
	load, err := os.ReadFile("/proc/loadavg")
	require.NoError(b, err)
	b.sections = append(b.sections, fmt.Sprintf("\n## %s\n\n%s\n\n_Load of the machine when these had been taken: %s._\n",
		title, strings.Join(paragraphs, "\n\n"), strings.Fields(string(load))[0]))
	b.Log(title)
}

// table is one of Markdown.
func table(head []string, rows [][]string) string {
	text := "| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat("---|", len(head))
	for _, row := range rows {
		text += "\n| " + strings.Join(row, " | ") + " |"
	}
	return text
}

// describe tells on what the figures were taken.
func (b *bench) describe() (list string) {
	for _, command := range []string{
		"grep --max-count 1 'model name' /proc/cpuinfo | cut -d : -f 2-", "echo $(nproc) cores, $(uname -sr)", *binary + " version -o json",
		"kubectl version --client | head -1", "echo crane $(crane version)", "curl --version | head -1", "jq --version",
	} {
		list += "- `" + strings.TrimSpace(b.shell(command)) + "`\n"
	}
	return list
}

const account = "bench"

// rules are what a tick needs, and the loops too.
func rules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create"}},
	}
}

func newBench(t *testing.T) *bench {
	require.FileExists(t, *binary, "the program to measure is not built: make build")
	tests, err := components.Root()
	require.NoError(t, err)
	b := &bench{T: t, dir: t.TempDir(), scripts: filepath.Join(tests, "bench", "yardsticks")}
	b.cluster, err = cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.cluster.Stop()) })
	nodes, err := fakenode.Start(t.Context(), b.cluster.Config(), "node-a", "node-b")
	require.NoError(t, err)
	t.Cleanup(nodes.Stop)
	b.site, err = registries.Start(t.Context(), b.dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.site.Stop()) })
	proxy, err := url.Parse(b.site.Proxy.URL())
	require.NoError(t, err)
	b.toAPI, b.toProxy = newRelay(t, strings.TrimPrefix(b.cluster.Server(), "https://")), newRelay(t, proxy.Host)
	b.namespace, err = b.cluster.Namespace(t.Context(), "bench")
	require.NoError(t, err)
	b.token, err = b.cluster.ServiceAccount(t.Context(), b.namespace, account, rules()...)
	require.NoError(t, err)

	b.launch = buildLaunch(t)
	crane := strings.TrimSpace(b.shell(filepath.Join(tests, "tools", "install") + " crane"))
	require.NoError(t, os.Mkdir(filepath.Join(b.dir, "bin"), 0o750))
	for name, path := range map[string]string{"kubectl": b.cluster.Kubectl(), "crane": crane} {
		require.NoError(t, os.Symlink(path, filepath.Join(b.dir, "bin", name)))
	}
	t.Setenv("PATH", filepath.Join(b.dir, "bin")+":"+os.Getenv("PATH"))
	b.shell("type curl jq sed") // what it is compared with needs them
	return b
}

func (b *bench) shell(command string) string {
	cmd := exec.CommandContext(b.Context(), "bash", "-c", command)
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	require.NoError(b, err, command)
	return string(output)
}

// distance is how far away registries and API server are, as the time of a round trip.
type distance struct{ registries, api time.Duration }

// usual is how far away they are where nothing else is said.
func usual() distance { return distance{20 * time.Millisecond, 5 * time.Millisecond} }

// environ leads a program to the cluster and, by the egress proxy, to the registries.
func (b *bench) environ(away distance) []string {
	server, proxy := b.cluster.Server(), b.site.Proxy.URL()
	if away.api > 0 {
		b.toAPI.set(away.api)
		server = "https://" + b.toAPI.address
	}
	if away.registries > 0 {
		b.toProxy.set(away.registries)
		proxy = "http://" + b.toProxy.address
	}
	kubeconfig := filepath.Join(b.dir, "kubeconfig")
	require.NoError(b, b.cluster.WriteKubeconfig(kubeconfig, cluster.Access{Server: server, Token: b.token, Namespace: b.namespace}))
	return []string{
		"KUBECONFIG=" + kubeconfig, "HTTPS_PROXY=" + proxy, "HTTP_PROXY=" + proxy, "NO_PROXY=127.0.0.1",
		"SSL_CERT_FILE=" + b.site.CAFile, "SSL_CERT_DIR=/nonexistent", "CURL_CA_BUNDLE=" + b.site.CAFile,
	}
}

// configure writes a configuration file and returns its path.
func (b *bench) configure(text string) string {
	file, err := os.CreateTemp(b.dir, "*.yaml")
	require.NoError(b, err)
	_, err = file.WriteString(text)
	require.NoError(b, err)
	require.NoError(b, file.Close())
	return file.Name()
}

// contender is a program that is measured.
type contender struct {
	name string
	args []string // its path among them
	env  []string
}

func (b *bench) product(config string, env []string, more ...string) contender {
	return contender{"image-refresh", []string{*binary}, append(append([]string{"CONFIG_FILE=" + config}, env...), more...)}
}

// yardstick is a script that looks after the targets.
func (b *bench) yardstick(name, script, targets string, env []string) contender {
	return contender{name, []string{"bash", filepath.Join(b.scripts, script)}, append([]string{"TARGETS=" + targets}, env...)}
}

// alternate runs the contenders in turn, so that what disturbs the machine disturbs all of them, and returns the costs of each. The
// first round warms up and does not count. Before each run, ready may set the stage.
func (b *bench) alternate(rounds int, ready func(), contenders ...contender) [][]cost {
	costs := make([][]cost, len(contenders))
	for round := range max(rounds, 1) + 1 {
		for i, c := range contenders {
			if ready != nil {
				ready()
			}
			if used := b.run(c); round > 0 {
				costs[i] = append(costs[i], used)
			}
		}
	}
	return costs
}

// run runs a contender once, in an empty home as in a fresh pod.
func (b *bench) run(c contender) cost {
	home, err := os.MkdirTemp(b.dir, "home-")
	require.NoError(b, err)
	env := append([]string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH")}, c.env...)
	used, output := launched(b.T, b.launch, env, c.args...)
	require.Zero(b, used.ExitCode, "%s\n%s", c.name, output)
	return used
}
