package scenario_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Bad input is exit code 2 at once: nothing is read or written, and each problem names its key.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	requireInvalid := func(says ...string) {
		t.Helper()
		s.Forget()
		result := s.Tick()
		harness.RequireExit(t, 2, result)
		for _, text := range says {
			assert.Contains(t, result.Stderr, text)
		}
		assert.Empty(t, s.API.Requests(nil))
		assert.Empty(t, s.Site.Proxy.Connects(""))
	}
	requireInvalid(filepath.Base(s.ConfigFile)) // which is missing
	for config, says := range map[string]string{
		"":                                 "targets",
		"{":                                "config.yaml",
		"# " + strings.Repeat("x", 10<<20): "larger",
		strings.Replace(ingestorConfig, "Deployment", "ReplicaSet", 1):      "targets[0].workloads[0].kind",
		ingestorConfig + "    resolvFailureThreshold: 3\n":                  "did you mean resolveFailureThreshold?",
		ingestorConfig + strings.TrimPrefix(ingestorConfig, "\ntargets:\n"): "targets[1].name",
	} {
		s.Configure(config)
		requireInvalid(says)
	}
	s.Configure(ingestorConfig + "    resolveFailureThreshold: 0\n    mode: maybe\n")
	s.Setenv("CONCURRENCY", "many")
	s.Setenv("ROLLOUT_TIMEOUT", "10")
	requireInvalid("targets[0].resolveFailureThreshold", `targets[0].mode: is \"maybe\", must be`, `CONCURRENCY: is \"many\", must be`, "ROLLOUT_TIMEOUT")
}

// An empty variable means its default: a hand-edited CronJob must run. The table is for people; stdout never holds a log line.
func TestEmptyVariablesMeanTheirDefaults(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	for key := range strings.FieldsSeq("POD_NAMESPACE ANNOTATION_PREFIX RESOLVE_FAILURE_THRESHOLD ROLLOUT_FAILURE_THRESHOLD" +
		" UNSETTLED_THRESHOLD CONTESTED_THRESHOLD ROLLOUT_TIMEOUT ROLLBACK MAX_ROLLOUTS RESOLVE_TIMEOUT CONCURRENCY PULL_SECRETS_DIR LOG_LEVEL LOG_FORMAT" +
		" NOTIFY_URLS NOTIFY_ON HEARTBEAT_URL CLUSTER_NAME") {
		s.Setenv(key, "")
	}
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	table := s.Run("run", "-o", "table")
	harness.RequireExit(t, 0, table)
	assert.Regexp(t, `^exit 0: 0 of 1 need you; 1 fine\n\nTARGET +OUTCOME +WORKLOAD +SLOT +LIVE +LATEST\n\w+ +unchanged `, table.Stdout)
	assert.NotContains(t, table.Stdout, `"level"`)
}

// I20: kubectl in the image did not find its in-cluster configuration, IPv6 API addresses broke the URL, and the
// token was visible in argv. Here the program runs as in a pod: a service account's files where a kubelet mounts
// them (in a mount namespace of its own), an IPv6 service address, and no kubeconfig.
func TestI20InClusterOverIPv6WithNoChildAndNoTokenInArgv(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	kubeconfig, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	require.NoError(t, err)
	server, err := url.Parse(kubeconfig.Host)
	require.NoError(t, err)
	account := filepath.Dir(file(t, s, "token", kubeconfig.BearerToken))
	file(t, s, "ca.crt", string(kubeconfig.CAData))
	file(t, s, "namespace", s.Namespace)
	s.Unsetenv("KUBECONFIG")
	s.Setenv("KUBERNETES_SERVICE_HOST", "::1")
	s.Setenv("KUBERNETES_SERVICE_PORT", fmt.Sprint(forward(t, server.Host)))

	release, held := make(chan struct{}), make(chan struct{})
	hold := faultinject.Then(faultinject.Before(func() { close(held) }), faultinject.Hold(release))
	s.API.Inject(apiproxy.Fault{Match: reads, Times: 1, Do: hold})
	const mounted = "/run/secrets/kubernetes.io/serviceaccount"
	run := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /run && mkdir -p "+mounted+
		" && cd "+account+" && cp token ca.crt namespace "+mounted+" && exec "+s.Binary)
	<-held
	process := fmt.Sprintf("/proc/%d/", run.PID())
	tasks, err := filepath.Glob(process + "task/*/children")
	require.NoError(t, err)
	require.NotEmpty(t, tasks)
	for _, path := range append(tasks, process+"cmdline", process+"environ") {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.NotContains(t, string(content), kubeconfig.BearerToken, path)
		if strings.HasSuffix(path, "children") {
			assert.Empty(t, strings.TrimSpace(string(content)), "no child process")
		}
	}
	close(release)
	workload := requireOutcome(t, run.Finish(), 0, "unchanged", "")
	assert.Equal(t, s.Namespace, workload.Namespace, "the service account's namespace")
}

// forward listens on the IPv6 loopback address and leads to an address. It returns the port.
func forward(t *testing.T, to string) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "[::1]:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for client, err := listener.Accept(); err == nil; client, err = listener.Accept() {
			server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			for from, into := range map[net.Conn]net.Conn{client: server, server: client} {
				go func() {
					_, _ = io.Copy(into, from) // whichever end closes first ends both
					_ = into.Close()
				}()
			}
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// logged are the lines of a log with this message, in their order.
func logged(t *testing.T, result *product.Result, message string) (found []map[string]any) {
	t.Helper()
	for text := range strings.Lines(result.Stderr) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// A line a decision, with the values of the result, and one summary as the last line. That no line has a key which
// docs/logs.md does not know is checked by the harness, for every run of every scenario.
func TestTheLogTellsEachDecisionAndEndsWithASummary(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	other := s.Push("docker.io/tracebloc/other:1", image("one"))
	s.Deploy(workloads.Deployment("fresh", workloads.Container("api", "docker.io/tracebloc/other:1@"+other)))
	s.Configure(ingestorConfig + targetOf("other", "", entry("Deployment", "fresh", "")+entry("Deployment", "absent", "")))
	requireLogged(t, s.Tick(), map[string]any{"unchanged": 1.0, "adopted": 1.0, "failed": 1.0})
	s.Site.Proxy.Refuse("ghcr.io", 403)
	result := s.Tick()
	requireLogged(t, result, map[string]any{"skipped": 1.0, "unchanged": 1.0, "failed": 1.0})
	failing := logged(t, result, "target failing")
	require.Len(t, failing, 1)
	assert.Subset(t, failing[0], map[string]any{
		"level": "WARN", "target": "ingestor", "cause": "proxy", "failures": 1.0, "threshold": 3.0, "count": "1/3",
	})
	assert.Contains(t, failing[0]["message"], "ghcr.io")
}

// requireLogged asserts that the log of a tick says what its report says, and counts these outcomes.
func requireLogged(t *testing.T, result *product.Result, outcomes map[string]any) {
	t.Helper()
	harness.RequireExit(t, 1, result)
	decisions := logged(t, result, "decision")
	for _, target := range result.Report.Targets {
		for _, workload := range target.Workloads {
			require.NotEmpty(t, decisions)
			level := map[bool]string{true: "ERROR", false: "INFO"}[workload.Outcome == "failed"]
			assert.Subset(t, decisions[0], map[string]any{
				"level": level, "target": target.Name, "kind": workload.Kind, "namespace": workload.Namespace, "name": workload.Name,
				"container": workload.Container, "env": workload.Env, "outcome": workload.Outcome, "live": workload.Live,
				"latest": target.Digest, "recorded": workload.Recorded, "cause": workload.Cause, "message": workload.Message,
			})
			decisions = decisions[1:]
		}
	}
	assert.Empty(t, decisions)
	summaries := logged(t, result, "tick done")
	require.Len(t, summaries, 1)
	assert.Subset(t, summaries[0], map[string]any{"exitCode": 1.0, "outcomes": outcomes})
	assert.Regexp(t, `\n[^\n]*"msg":"tick done"[^\n]*\n$`, result.Stderr, "the last line")
}

// At level debug every request is there, to registries and to the API server, and nothing that opens a door.
func TestTheDebugLogHasEveryRequestAndNoSecret(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	s.Forget()
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Empty(t, s.API.Requests(apiproxy.Read("serviceaccounts", "")), "not asked where the pods name a secret themselves")

	sent, asked := map[string][]string{}, "registry request"
	for _, call := range s.Site.Front.Calls(nil) {
		sent[asked] = append(sent[asked], fmt.Sprint(call.Method, " ", call.Host, call.Path, " ", call.Status))
		for _, value := range call.Header.Values("Authorization") {
			_, secret, _ := strings.Cut(value, " ")
			s.Secret(secret)
		}
	}
	asked = "API request"
	for _, request := range s.API.Requests(nil) {
		sent[asked] = append(sent[asked], fmt.Sprint(request.Method, " ", request.Path, " ", request.Status))
	}
	for message, requests := range sent {
		var seen []string
		for _, line := range logged(t, result, message) {
			path := fmt.Sprint(line["path"])
			if message == "registry request" {
				path = fmt.Sprint(line["host"], path)
			}
			seen = append(seen, fmt.Sprint(line["method"], " ", path, " ", line["status"]))
			assert.NotEmpty(t, line["duration"])
		}
		assert.ElementsMatch(t, requests, seen)
	}
	assert.Len(t, sent, 2)
	assert.NotContains(t, result.Stderr, "?", "no query")
}
