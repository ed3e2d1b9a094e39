package scenario_test

import (
	"context"
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
		assert.NotContains(t, result.Stderr, "hunter2", "no value is repeated")
		assert.Empty(t, s.API.Requests(nil))
		assert.Empty(t, s.Site.Proxy.Connects(""))
	}
	requireInvalid(filepath.Base(s.ConfigFile)) // which is missing
	for config, says := range map[string]string{
		"":                                 "targets",
		"{":                                "config.yaml",
		"# " + strings.Repeat("x", 10<<20): "larger",
		strings.Replace(ingestorConfig, "Deployment", "ReplicaSet", 1):      "targets[0].workloads[0].kind",
		ingestorConfig + "    resolvFailureThreshold: 3\n":                  "resolvFailureThreshold",
		ingestorConfig + strings.TrimPrefix(ingestorConfig, "\ntargets:\n"): "targets[1].name",
	} {
		s.Configure(config)
		requireInvalid(says)
	}
	s.Configure(ingestorConfig + "    resolveFailureThreshold: 0\n    mode: maybe\n")
	s.Setenv("CONCURRENCY", "hunter2")
	s.Setenv("ROLLOUT_TIMEOUT", "10")
	requireInvalid("targets[0].resolveFailureThreshold", "targets[0].mode", "CONCURRENCY", "ROLLOUT_TIMEOUT")
}

// An empty variable means its default: a hand-edited CronJob must run. The table is for people; stdout never holds a log line.
func TestEmptyVariablesMeanTheirDefaults(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	for key := range strings.FieldsSeq("POD_NAMESPACE ANNOTATION_PREFIX RESOLVE_FAILURE_THRESHOLD ROLLOUT_FAILURE_THRESHOLD UNSETTLED_THRESHOLD" +
		" CONTESTED_THRESHOLD ROLLOUT_TIMEOUT ROLLBACK MAX_ROLLOUTS RESOLVE_TIMEOUT CONCURRENCY PULL_SECRETS_DIR LOG_LEVEL LOG_FORMAT") {
		s.Setenv(key, "")
	}
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	table := s.Run("run", "-o", "table")
	harness.RequireExit(t, 0, table)
	assert.Regexp(t, `(?sm)^TARGET +WORKLOAD +SLOT +LIVE +LATEST +OUTCOME.*unchanged`, table.Stdout)
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
	s.API.Inject(apiproxy.Fault{Match: reads, Times: 1, Do: faultinject.Then(faultinject.Before(func() { close(held) }), faultinject.Hold(release))})
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
