//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// The node loses its power in the middle of a rollout, and the tick with it. No other suite has a node meanwhile.
func TestThePowerIsCutInTheMiddleOfATick(t *testing.T) {
	s, _ := installed(t, "power", "", workloads.Replicas(2), workloads.ProgressDeadline(120))
	release := s.hold(registries.Blob)
	second := s.push("web", "serve", "web 2")
	job := s.start()
	s.eventually("the tick has begun a rollout", func() bool { return s.rollouts("web") == 2 })
	require.NoError(t, s.node.Crash(t.Context(), s.box.Cgroup))
	require.NoError(t, s.node.Restart(t.Context()))
	s.eventually("Job "+job+" has failed", func() bool {
		require.False(t, s.jobIs(job, batchv1.JobComplete), "the tick that was killed has not succeeded")
		return s.jobIs(job, batchv1.JobFailed)
	})
	require.NotContains(t, s.events("web"), "DigestRefreshed")
	job = s.startResolving()
	release()
	s.finished(job, 0, "web refreshed")
	s.holds("web", second, 2, "web 2")
	require.Contains(t, s.events("web"), "DigestRefreshed")
}

// I20: kubectl in the image did not find its in-cluster configuration; IPv6 API addresses broke the URL; the token was visible in
// argv.
func TestI20TheTickIsOneProcessThatShowsNoToken(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(env.node.Cluster.Server())
	require.NoError(t, err)
	s, digest := installed(t, "incluster", fmt.Sprintf("extraEnv:\n  - {name: KUBERNETES_SERVICE_HOST, value: %q}\n"+
		"  - {name: KUBERNETES_SERVICE_PORT, value: %q}\n", realnode.Address6, server.Port()))
	release := s.hold(registries.Head)
	job := s.startResolving()
	processes := s.running(job)
	require.Len(t, processes, 1)
	read := func(path string) string {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(content)
	}
	token := read(filepath.Join(processes[0], "root/var/run/secrets/kubernetes.io/serviceaccount/token"))
	require.NotEmpty(t, token)
	for _, file := range []string{"cmdline", "environ"} {
		assert.NotContains(t, read(filepath.Join(processes[0], file)), token, file)
	}
	threads, err := filepath.Glob(filepath.Join(processes[0], "task", "*", "children"))
	require.NoError(t, err)
	require.NotEmpty(t, threads)
	for _, children := range threads {
		assert.Empty(t, strings.TrimSpace(read(children)), "no child process")
	}
	release()
	s.finished(job, 0, "web unchanged")
	s.holds("web", digest, 1, "web 1")
}

// running are the program's processes of a Job, as paths in /proc.
func (s *suite) running(job string) (paths []string) {
	pids, err := realnode.Processes(s.box.Cgroup)
	require.NoError(s, err)
	pods := s.pods("batch.kubernetes.io/job-name=" + job)
	for _, pid := range pids {
		process := filepath.Join("/proc", fmt.Sprint(pid))
		argv, err := os.ReadFile(filepath.Join(process, "cmdline"))
		if err != nil || !strings.HasPrefix(string(argv), "/image-refresh\x00") {
			continue // another program, or it has ended
		}
		environ, err := os.ReadFile(filepath.Join(process, "environ"))
		for _, pod := range pods {
			if err == nil && strings.Contains(string(environ), "HOSTNAME="+pod.Name+"\x00") {
				paths = append(paths, process)
			}
		}
	}
	return paths
}
