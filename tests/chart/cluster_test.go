package chart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/tests/cluster"
)

var (
	running      *cluster.Cluster
	startCluster sync.Once
)

// onCluster returns the control plane that these tests share, starting it for the first.
func onCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	startCluster.Do(func() {
		c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
		require.NoError(t, err)
		running = c
		kubectl(t, "", "apply", "-f", "testdata/prometheusrules.yaml")
		kubectl(t, "", "wait", "--for=condition=Established", "crd/prometheusrules.monitoring.coreos.com")
	})
	require.NotNil(t, running, "the cluster did not start")
	return running
}

func stopCluster() {
	if running == nil {
		return
	}
	if err := running.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "stop the cluster: %v\n", err)
	}
}

// kubectl runs the real one as an administrator, on the cluster that these tests share.
func kubectl(t *testing.T, input string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute) // it cleans up as well
	defer cancel()
	command := exec.CommandContext(ctx, running.Kubectl(), append([]string{"--kubeconfig", running.Kubeconfig()}, args...)...)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "kubectl %s\n%s", strings.Join(args, " "), output)
}

// restricted makes a namespace that enforces the restricted Pod Security Standard.
func restricted(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	name, err := c.Namespace(t.Context(), "chart")
	require.NoError(t, err)
	_, err = c.Client().CoreV1().Namespaces().Patch(t.Context(), name, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	return name
}

func cronJob(t *testing.T, c *cluster.Cluster, namespace string) *batchv1.CronJob {
	t.Helper()
	list, err := c.Client().BatchV1().CronJobs(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	return &list.Items[0]
}

// Each example, installed: the API server takes every object, what helm test finds is true of a tick, a Job made by hand from
// the CronJob carries the labels of the scheduled ones and gets its pod, and the pod's account may do what a tick needs and no
// more.
func TestEveryExampleInstalls(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, file := range matching(t, chartDir, "ci", "*-values.yaml") {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel()
				c := onCluster(t)
				home := restricted(t, c)
				rendered := h.mustTemplate(t, chartDir, "--values", file, "--namespace", home)
				found := decode(t, rendered)
				require.Len(t, of[*corev1.ServiceAccount](found), 1)
				assertChecksAsItRuns(t, of[*corev1.Pod](found), tickOf(t, found))
				for _, role := range of[*rbacv1.Role](found) {
					further := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: role.Namespace}}
					_, err := c.Client().CoreV1().Namespaces().Create(t.Context(), further, metav1.CreateOptions{})
					require.True(t, err == nil || apierrors.IsAlreadyExists(err), "%v", err)
				}
				h.must(t, "install", release, chartDir, "--namespace", home, "--values", file)
				installed := cronJob(t, c, home)
				// The hook's pod too, whose account is there now; and every field is one that the API server knows.
				kubectl(t, rendered, "apply", "--dry-run=server", "--validate=strict", "-f", "-")
				kubectl(t, "", "--namespace", home, "create", "job", "--from=cronjob/"+installed.Name, "now")
				job, err := c.Client().BatchV1().Jobs(home).Get(t.Context(), "now", metav1.GetOptions{})
				require.NoError(t, err)
				assert.Subset(t, job.Labels, installed.Spec.JobTemplate.Labels)
				assert.Equal(t, "image-refresh", job.Labels["app.kubernetes.io/name"])
				assert.Eventually(t, func() bool {
					pods, err := c.Client().CoreV1().Pods(home).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=now"})
					return err == nil && len(pods.Items) == 1
				}, time.Minute, 100*time.Millisecond, "the Job's pod was not admitted")
				_, workloads := configOf(t, found)
				for _, named := range workloads {
					assertMay(t, c, home, installed.Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName, named)
				}
				h.must(t, "uninstall", release, "--namespace", home)
			})
		}
	})
}

// assertChecksAsItRuns: the pod of helm test is that of a tick but for the command and a deadline.
func assertChecksAsItRuns(t *testing.T, checks []*corev1.Pod, tick corev1.PodSpec) {
	t.Helper()
	require.Len(t, checks, 1)
	assert.Equal(t, "test", checks[0].Annotations["helm.sh/hook"])
	spec := checks[0].Spec.DeepCopy()
	assert.NotNil(t, spec.ActiveDeadlineSeconds)
	assert.Equal(t, []string{"check", "-o", "table"}, spec.Containers[0].Args)
	spec.ActiveDeadlineSeconds, spec.Containers[0].Args = nil, []string{"run"}
	assert.Equal(t, tick, *spec)
}

// assertMay asks the API server itself what the account may do to a workload that the configuration names, and beside it.
func assertMay(t *testing.T, c *cluster.Cluster, home, account string, named workload) {
	t.Helper()
	if named.Namespace == "" {
		named.Namespace = home
	}
	may := func(verb, group, resource, name string) bool {
		review, err := c.Client().AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User:   "system:serviceaccount:" + home + ":" + account,
				Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + home, "system:authenticated"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: named.Namespace, Verb: verb, Group: group, Resource: resource, Name: name,
				},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		return review.Status.Allowed
	}
	assert.True(t, may("create", "events.k8s.io", "events", ""))
	for _, resource := range []string{"secrets", "configmaps", "pods", "serviceaccounts"} {
		for _, verb := range []string{"create", "get", "watch", "update", "patch", "delete"} {
			assert.False(t, may(verb, "", resource, "x"), "%s %s", verb, resource)
		}
	}
	group, resource := "apps", strings.ToLower(named.Kind)+"s"
	if named.Kind == "CronJob" {
		group = "batch"
	}
	for _, verb := range []string{"get", "list", "watch", "patch"} {
		assert.True(t, may(verb, group, resource, named.Name), "%s %v", verb, named)
		assert.False(t, may(verb, group, resource, ""), "%s all %s", verb, resource)
		assert.False(t, may(verb, group, resource, "x"), "%s another of %s", verb, resource)
	}
	for _, verb := range []string{"update", "delete", "create"} {
		assert.False(t, may(verb, group, resource, named.Name), "%s %v", verb, named)
	}
}

// helm test admits and starts the check's pod, and tells how it ended: a good one is gone afterwards, and a bad one stays to
// be read until the next.
func TestHelmTestRunsTheCheck(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		c := onCluster(t)
		home := restricted(t, c)
		pods := c.Client().CoreV1().Pods(home)
		h.must(t, append(example("default"), "install", release, chartDir, "--namespace", home)...)
		for _, phase := range []corev1.PodPhase{corev1.PodFailed, corev1.PodFailed, corev1.PodSucceeded} {
			before, _ := pods.Get(t.Context(), release+"-image-refresh-check", metav1.GetOptions{})
			ended := make(chan error, 1)
			go func() {
				_, err := h.run(t, c.Kubeconfig(), "test", release, "--namespace", home, "--timeout", "60s")
				ended <- err
			}()
			var pod *corev1.Pod
			require.Eventually(t, func() (made bool) {
				var err error
				pod, err = pods.Get(t.Context(), release+"-image-refresh-check", metav1.GetOptions{})
				return err == nil && pod.UID != before.UID
			}, time.Minute, 50*time.Millisecond, "no new pod was made")
			assert.Equal(t, cronJob(t, c, home).Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName, pod.Spec.ServiceAccountName)
			pod.Status.Phase = phase
			_, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
			require.NoError(t, err)
			err = <-ended
			_, gone := pods.Get(t.Context(), pod.Name, metav1.GetOptions{})
			assert.Equal(t, phase == corev1.PodSucceeded, err == nil, "%v", err)
			assert.Equal(t, phase == corev1.PodSucceeded, apierrors.IsNotFound(gone), "%v", gone)
		}
	})
}

// What the alerts rest on, beside kube-state-metrics: a failed Job is not retried, has a start and a condition, belongs to its
// CronJob also where a person made it, and a person's success is the CronJob's.
func TestKubernetesKeepsWhatTheAlertsAskFor(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	home := restricted(t, c)
	helms[0].must(t, append(example("default"), "install", release, chartDir, "--namespace", home)...)
	for _, tick := range []struct {
		name   string
		phase  corev1.PodPhase
		code   int32
		end    batchv1.JobConditionType
		reason string
	}{
		{"bad", corev1.PodFailed, 1, batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy},
		{"good", corev1.PodSucceeded, 0, batchv1.JobComplete, batchv1.JobReasonCompletionsReached},
	} {
		assert.Nil(t, cronJob(t, c, home).Status.LastSuccessfulTime)
		kubectl(t, "", "--namespace", home, "create", "job", "--from=cronjob/"+cronJob(t, c, home).Name, tick.name)
		var job *batchv1.Job
		require.Eventually(t, func() bool {
			pods, err := c.Client().CoreV1().Pods(home).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + tick.name})
			if err != nil || len(pods.Items) != 1 {
				return false
			}
			pod := pods.Items[0]
			terminated := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: tick.code}}
			pod.Status.Phase = tick.phase
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: terminated}}
			_, _ = c.Client().CoreV1().Pods(home).UpdateStatus(t.Context(), &pod, metav1.UpdateOptions{}) // again, where it lost a race
			job, err = c.Client().BatchV1().Jobs(home).Get(t.Context(), tick.name, metav1.GetOptions{})
			return err == nil && slices.ContainsFunc(job.Status.Conditions, func(condition batchv1.JobCondition) bool {
				return condition.Type == tick.end && condition.Reason == tick.reason && condition.Status == corev1.ConditionTrue
			})
		}, time.Minute, 100*time.Millisecond, "%s did not end", tick.name)
		assert.NotNil(t, job.Status.StartTime)
		assert.True(t, metav1.IsControlledBy(job, cronJob(t, c, home)), "%v", job.OwnerReferences)
	}
	require.Eventually(t, func() bool { return cronJob(t, c, home).Status.LastSuccessfulTime != nil }, time.Minute, 100*time.Millisecond)
}

// ways are those that Helm has of treating the values that a release has stored.
var ways = map[string][]string{
	"reuse-values":             {"--reuse-values"},
	"reset-then-reuse-values":  {"--reset-then-reuse-values"},
	"plain":                    example("default"),
	"no flags":                 {},
	"reuse-values and nulls":   {"--reuse-values", "--set", "resolveFailureThreshold=null,image=null,rbac=null,schedule=null"},
	"reset, reuse, and a null": {"--reset-then-reuse-values", "--set", "resolveFailureThreshold=null"},
}

// I30, on a real API server: a release of an older chart is upgraded in each way, and rolled back before the next.
func TestI30OldReleasesUpgradeOnACluster(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, file := range matching(t, "testdata", "stored", "*.yaml") {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel()
				c := onCluster(t)
				home := restricted(t, c)
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				h.must(t, append(example("default"), "install", release, older(t, text), "--namespace", home)...)
				for way, flags := range ways {
					assert.Contains(t, cronJob(t, c, home).Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image, ":0.0.1")
					h.must(t, append([]string{"upgrade", release, chartDir, "--namespace", home}, flags...)...)
					upgraded := cronJob(t, c, home).Spec
					container := upgraded.JobTemplate.Spec.Template.Spec.Containers[0]
					assert.Equal(t, "ghcr.io/tracebloc/image-refresh:"+appVersion(t), container.Image, "%s: the image follows the chart", way)
					assert.Contains(t, container.Env, corev1.EnvVar{Name: "RESOLVE_FAILURE_THRESHOLD", Value: "3"}, way)
					assert.Equal(t, "7-59/15 * * * *", upgraded.Schedule, way)
					h.must(t, "rollback", release, "--namespace", home)
				}
			})
		}
	})
}

// older is this chart as a release of long ago: with another version, and with values that know little.
func older(t *testing.T, values []byte) string {
	t.Helper()
	dir := chartWith(t, values)
	path := filepath.Join(dir, "Chart.yaml")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	changed := strings.ReplaceAll(string(text), "ersion: "+appVersion(t)+"\n", "ersion: 0.0.1\n")
	require.NotEqual(t, string(text), changed)
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	return dir
}
