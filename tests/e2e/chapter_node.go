//go:build linux

package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// The node loses its power in the middle of a rollout, and the tick with it.
func thePowerCut(c *chapter) {
	c.installed(webTarget, workloads.Replicas(2), workloads.ProgressDeadline(120))
	release := make(chan struct{})
	remove := c.site.Front.Inject(registries.Fault{
		Match: registries.Of(webRepository, registries.At("", registries.Blob)), Do: faultinject.Hold(release),
	})
	defer remove()
	second := c.push(webImage, c.release("serve", "web 2", both()...), "web 2, whose layers come slowly")
	job := c.start()
	c.eventually("the tick has begun a rollout", func() bool { return workloads.Revision(c.deployment("web")) == 2 })
	c.Say("containerd, the kubelet and everything in the pods are killed, the tick among them.")
	require.NoError(c, c.node.Crash(c.box.Cgroup))
	require.NoError(c, c.node.Restart(c.ctx))
	c.Say("They start again.")
	c.eventually("Job "+job+" has failed", func() bool {
		read, err := c.client.BatchV1().Jobs(c.namespace).Get(c.ctx, job, metav1.GetOptions{})
		require.NoError(c, err)
		require.False(c, is(read, batchv1.JobComplete), "the tick that was killed has not succeeded")
		return is(read, batchv1.JobFailed)
	})
	require.NotContains(c, c.events("web"), "DigestRefreshed")
	c.Say("The Job of the tick has failed. The next one continues.")
	asked := c.heads()
	job = c.start()
	c.eventually("the next tick has asked the registry", func() bool { return c.heads() > asked })
	close(release)
	require.Equal(c, "refreshed", c.finished(job, 0).outcome("web", "web").Outcome)
	c.holds("web", webImage+"@"+second, 2, "web 2")
	require.Contains(c, c.events("web"), "DigestRefreshed")
}

// I20: kubectl in the image did not find its in-cluster configuration; IPv6 API
// addresses broke the URL; the token was visible in argv.
func inCluster(c *chapter) {
	server, err := url.Parse(c.node.Cluster.Server())
	require.NoError(c, err)
	image := c.installed(webTarget + fmt.Sprintf("extraEnv:\n  - {name: KUBERNETES_SERVICE_HOST, value: %q}\n  - {name: KUBERNETES_SERVICE_PORT, value: %q}\n",
		realnode.Address6, server.Port()))
	release := make(chan struct{})
	remove := c.site.Front.Inject(registries.Fault{
		Match: registries.Of(webRepository, registries.At("", registries.Head)), Do: faultinject.Hold(release),
	})
	defer remove()
	asked := c.heads()
	job := c.start()
	c.eventually("the tick asks the registry", func() bool { return c.heads() > asked })
	found := c.running()
	require.Len(c, found, 1, "processes of the program")
	token, err := os.ReadFile(filepath.Join(found[0], "root/var/run/secrets/kubernetes.io/serviceaccount/token"))
	require.NoError(c, err)
	require.NotEmpty(c, token)
	for _, file := range []string{"cmdline", "environ"} {
		content, err := os.ReadFile(filepath.Join(found[0], file)) //nolint:gosec // of a process of the sandbox
		require.NoError(c, err)
		assert.NotContains(c, string(content), string(token), file)
	}
	tasks, err := filepath.Glob(filepath.Join(found[0], "task", "*", "children"))
	require.NoError(c, err)
	require.NotEmpty(c, tasks)
	for _, task := range tasks {
		children, err := os.ReadFile(task) //nolint:gosec // of a process of the sandbox
		require.NoError(c, err)
		assert.Empty(c, strings.TrimSpace(string(children)), "no child process")
	}
	c.Say("The tick's process has no child, and the token of its service account is in no argument and no variable.")
	close(release)
	require.Equal(c, "unchanged", c.finished(job, 0).outcome("web", "web").Outcome)
	c.holds("web", image, 1, "web 1")
}

// running are the program's processes in the pods, as paths in /proc.
func (c *chapter) running() []string {
	pids, err := realnode.Processes(c.box.Cgroup)
	require.NoError(c, err)
	var found []string
	for _, pid := range pids {
		process := filepath.Join("/proc", fmt.Sprint(pid))
		argv, err := os.ReadFile(filepath.Join(process, "cmdline")) //nolint:gosec // of a process of the sandbox, which may have ended
		if err == nil && strings.HasPrefix(string(argv), "/image-refresh\x00") {
			found = append(found, process)
		}
	}
	return found
}

// I30: helm upgrade --reuse-values from a release older than a value.
func theOldRelease(c *chapter) {
	c.begin()
	first := c.push(webImage, c.release("serve", "web 1", both()...), "web 1")
	c.application("web", webImage+"@"+first)
	c.holds("web", webImage+"@"+first, 1, "web 1")
	tests, err := components.Root()
	require.NoError(c, err)
	oldest, err := os.ReadFile(filepath.Join(tests, "chart", "testdata", "stored", "0.1.0.yaml")) //nolint:gosec // a file of this repository
	require.NoError(c, err)
	c.Say("A chart whose values.yaml knows only the keys of the first release, installed with Helm 3.")
	require.NoError(c, os.CopyFS(filepath.Join(c.box.Dir, "first-chart"), os.DirFS(filepath.Join(filepath.Dir(tests), "chart"))))
	require.NoError(c, os.WriteFile(filepath.Join(c.box.Dir, "first-chart", "values.yaml"), oldest, 0o600)) //nolint:gosec // the folder is this program's
	c.values("values.yaml", webTarget)
	c.typed("helm3 install image-refresh ./first-chart --namespace " + c.namespace + " --values values.yaml | sed -n 1,6p")
	c.typed("kubectl patch cronjob image-refresh --namespace " + c.namespace + " --patch '{\"spec\": {\"suspend\": true}}'")
	require.Equal(c, "adopted", c.tick(0).outcome("web", "web").Outcome)
	for build, helm := range []string{"helm3", "helm"} {
		c.typed(helm + " upgrade image-refresh ./chart --namespace " + c.namespace + " --reuse-values | sed -n 1,6p")
		text := fmt.Sprintf("web %d", build+2)
		digest := c.push(webImage, c.release("serve", text, both()...), text)
		require.Equal(c, "refreshed", c.tick(0).outcome("web", "web").Outcome)
		c.holds("web", webImage+"@"+digest, build+2, text)
	}
	cronJob, err := c.client.BatchV1().CronJobs(c.namespace).Get(c.ctx, "image-refresh", metav1.GetOptions{})
	require.NoError(c, err)
	require.True(c, *cronJob.Spec.Suspend, "an upgrade leaves a suspended schedule alone")
}
