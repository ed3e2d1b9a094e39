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

// I20: kubectl in the image did not find its in-cluster configuration, IPv6 API addresses broke the URL, and the
// token was visible in argv. Here the program runs as in a pod: a service account's files where a kubelet mounts
// them (in a mount namespace of its own), an IPv6 service address, and no kubeconfig.
func TestI20InClusterOverIPv6WithNoChildAndNoTokenInArgv(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	kubeconfig, err := clientcmd.LoadFromFile(s.Kubeconfig)
	require.NoError(t, err)
	current := kubeconfig.Contexts[kubeconfig.CurrentContext]
	server, user := kubeconfig.Clusters[current.Cluster], kubeconfig.AuthInfos[current.AuthInfo]
	account := filepath.Join(s.Dir, "serviceaccount")
	require.NoError(t, os.Mkdir(account, 0o755))
	for name, content := range map[string]string{
		"token": user.Token, "ca.crt": string(server.CertificateAuthorityData), "namespace": s.Namespace,
	} {
		require.NotEmpty(t, content, name)
		require.NoError(t, os.WriteFile(filepath.Join(account, name), []byte(content), 0o600))
	}
	address, err := url.Parse(server.Server)
	require.NoError(t, err)
	s.Unsetenv("KUBECONFIG")
	s.Setenv("KUBERNETES_SERVICE_HOST", "::1")
	s.Setenv("KUBERNETES_SERVICE_PORT", fmt.Sprint(forward(t, address.Host)))

	release := make(chan struct{})
	held := make(chan struct{})
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("get", "deployments"), Times: 1, Do: faultinject.Then(
		faultinject.Before(func() { close(held) }), faultinject.Hold(release))})
	run := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c",
		"mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && cp -r "+account+" /run/secrets/kubernetes.io/ && exec "+s.Binary)
	<-held
	process := fmt.Sprintf("/proc/%d", run.PID())
	for _, file := range []string{"cmdline", "environ"} {
		content, err := os.ReadFile(filepath.Join(process, file))
		require.NoError(t, err)
		assert.NotContains(t, string(content), user.Token, file)
	}
	tasks, err := filepath.Glob(filepath.Join(process, "task", "*", "children"))
	require.NoError(t, err)
	require.NotEmpty(t, tasks)
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		require.NoError(t, err)
		assert.Empty(t, strings.TrimSpace(string(children)), "no child process")
	}
	close(release)
	result := run.Finish()
	harness.RequireExit(t, 0, result)
	assert.Equal(t, "unchanged", result.Report.Target("ingestor").Workload("jobs").Outcome)
	assert.Equal(t, s.Namespace, result.Report.Target("ingestor").Workload("jobs").Namespace, "the service account's namespace")
}

// forward listens on the IPv6 loopback address and leads to an address. It returns the port.
func forward(t *testing.T, to string) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "[::1]:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = client.Close() }()
				server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
				if err != nil {
					return
				}
				defer func() { _ = server.Close() }()
				go func() { _, _ = io.Copy(server, client) }()
				_, _ = io.Copy(client, server)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}
