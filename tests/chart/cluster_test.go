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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// kubectl runs the real one as an administrator, on the cluster that these tests share.
func kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute) // it cleans up as well
	defer cancel()
	command := exec.CommandContext(ctx, running.Kubectl(), append([]string{"--kubeconfig", running.Kubeconfig()}, args...)...)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "kubectl %s\n%s", strings.Join(args, " "), output)
	return string(output)
}

func stopCluster() {
	if running == nil {
		return
	}
	if err := running.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "stop the cluster: %v\n", err)
	}
}

// restricted makes a namespace that enforces the restricted Pod Security Standard.
func restricted(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	name, err := c.Namespace(t.Context(), "chart")
	require.NoError(t, err)
	_, err = c.Client().CoreV1().Namespaces().Patch(t.Context(), name, "application/merge-patch+json",
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	return name
}

// namespaces makes the further namespaces that an example's Roles go to.
func namespaces(t *testing.T, c *cluster.Cluster, found objects) {
	t.Helper()
	for _, role := range found.roles {
		_, err := c.Client().CoreV1().Namespaces().Create(t.Context(),
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: role.Namespace}}, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
}

func cronJob(t *testing.T, c *cluster.Cluster, namespace string) *batchv1.CronJob {
	t.Helper()
	list, err := c.Client().BatchV1().CronJobs(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	return &list.Items[0]
}

// Each example, installed: the API server takes every object, a Job made by hand from the CronJob carries the
// labels of the scheduled ones and gets its pod, and the pod's account may do what a tick needs and no more.
func TestEveryExampleInstalls(t *testing.T) {
	c := onCluster(t)
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, file := range ciFiles(t) {
			t.Run(filepath.Base(file), func(t *testing.T) {
				home := restricted(t, c)
				rendered := h.mustTemplate(t, chartDir, "--values", file, "--namespace", home)
				found := decode(t, rendered)
				namespaces(t, c, found)
				_, err := h.run(t, c.Kubeconfig(), "install", release, chartDir, "--namespace", home, "--values", file)
				require.NoError(t, err)
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
				}, 30*time.Second, 100*time.Millisecond, "the Job's pod was not admitted")

				account := installed.Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName
				for _, role := range found.roles {
					assertMay(t, c, home, account, role.Namespace)
				}
				_, err = h.run(t, c.Kubeconfig(), "uninstall", release, "--namespace", home)
				require.NoError(t, err)
			})
		}
	})
}

// helm test admits and starts the check's pod, and tells how it ended: a good one is gone afterwards, and a bad one stays to
// be read until the next.
func TestHelmTestRunsTheCheck(t *testing.T) {
	c := onCluster(t)
	forEachHelm(t, func(t *testing.T, h helm) {
		home := restricted(t, c)
		pods := c.Client().CoreV1().Pods(home)
		_, err := h.run(t, c.Kubeconfig(), "install", release, chartDir, "--namespace", home, "--values", filepath.Join(chartDir, "ci", "default-values.yaml"))
		require.NoError(t, err)
		for _, phase := range []corev1.PodPhase{corev1.PodFailed, corev1.PodFailed, corev1.PodSucceeded} {
			before, _ := pods.Get(t.Context(), release+"-image-refresh-check", metav1.GetOptions{})
			ended := make(chan error, 1)
			go func() {
				_, err := h.run(t, c.Kubeconfig(), "test", release, "--namespace", home, "--timeout", "60s")
				ended <- err
			}()
			var pod *corev1.Pod
			require.Eventually(t, func() bool {
				pod, err = pods.Get(t.Context(), release+"-image-refresh-check", metav1.GetOptions{})
				return err == nil && pod.UID != before.UID
			}, 30*time.Second, 50*time.Millisecond, "no new pod was made")
			assert.Equal(t, cronJob(t, c, home).Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName, pod.Spec.ServiceAccountName)
			pod.Status.Phase = phase
			_, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
			require.NoError(t, err)
			err = <-ended
			_, gone := pods.Get(t.Context(), pod.Name, metav1.GetOptions{})
			if phase == corev1.PodFailed {
				require.Error(t, err)
				require.NoError(t, gone)
			} else {
				require.NoError(t, err)
				require.True(t, apierrors.IsNotFound(gone), "%v", gone)
			}
		}
	})
}

// What the alerts rest on, beside kube-state-metrics: a failed Job has a start and a condition, belongs to its CronJob
// also where a person made it, and a person's success is the CronJob's.
func TestKubernetesKeepsWhatTheAlertsAskFor(t *testing.T) {
	c := onCluster(t)
	home := restricted(t, c)
	_, err := helms[0].run(t, c.Kubeconfig(), "install", release, chartDir, "--namespace", home, "--values", filepath.Join(chartDir, "ci", "default-values.yaml"))
	require.NoError(t, err)
	name := cronJob(t, c, home).Name
	ends := func(name string, phase corev1.PodPhase, code int32) (job *batchv1.Job, end batchv1.JobCondition) {
		require.Eventually(t, func() bool {
			pods, err := c.Client().CoreV1().Pods(home).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + name})
			if err != nil || len(pods.Items) != 1 {
				return false
			}
			pod := pods.Items[0]
			pod.Status.Phase = phase
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: pod.Spec.Containers[0].Name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}},
			}}
			_, _ = c.Client().CoreV1().Pods(home).UpdateStatus(t.Context(), &pod, metav1.UpdateOptions{}) // again, where it lost a race
			job, err = c.Client().BatchV1().Jobs(home).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return false
			}
			i := slices.IndexFunc(job.Status.Conditions, func(condition batchv1.JobCondition) bool {
				return condition.Type == batchv1.JobFailed || condition.Type == batchv1.JobComplete
			})
			if i >= 0 {
				end = job.Status.Conditions[i]
			}
			return i >= 0
		}, 60*time.Second, 100*time.Millisecond, "%s did not end", name)
		return job, end
	}
	made := func(job string) { kubectl(t, "", "--namespace", home, "create", "job", "--from=cronjob/"+name, job) }

	made("bad")
	bad, condition := ends("bad", corev1.PodFailed, 1)
	assert.Equal(t, batchv1.JobFailed, condition.Type)
	assert.Equal(t, corev1.ConditionTrue, condition.Status)
	assert.Equal(t, batchv1.JobReasonPodFailurePolicy, condition.Reason, "not retried, and the exit code is told: %s", condition.Message)
	assert.NotNil(t, bad.Status.StartTime)
	require.Len(t, bad.OwnerReferences, 1)
	assert.Equal(t, "CronJob", bad.OwnerReferences[0].Kind)
	assert.Equal(t, name, bad.OwnerReferences[0].Name)
	assert.Nil(t, cronJob(t, c, home).Status.LastSuccessfulTime)

	made("good")
	_, condition = ends("good", corev1.PodSucceeded, 0)
	assert.Equal(t, batchv1.JobComplete, condition.Type)
	require.Eventually(t, func() bool { return cronJob(t, c, home).Status.LastSuccessfulTime != nil }, 60*time.Second, 100*time.Millisecond)
}

// assertMay asks the API server itself what the account may do in a namespace.
func assertMay(t *testing.T, c *cluster.Cluster, home, account, namespace string) {
	t.Helper()
	may := func(attributes authorizationv1.ResourceAttributes) bool {
		attributes.Namespace = namespace
		review, err := c.Client().AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:" + home + ":" + account,
				Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + home, "system:authenticated"},
				ResourceAttributes: &attributes,
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		return review.Status.Allowed
	}
	assert.True(t, may(authorizationv1.ResourceAttributes{Group: "events.k8s.io", Resource: "events", Verb: "create"}))
	for _, resource := range []string{"secrets", "configmaps", "pods", "serviceaccounts"} {
		for _, verb := range []string{"create", "get", "watch", "update", "patch", "delete"} {
			assert.False(t, may(authorizationv1.ResourceAttributes{Resource: resource, Name: "x", Verb: verb}), "%s %s", verb, resource)
		}
	}
	roles, err := c.Client().RbacV1().Roles(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	named := 0
	for _, role := range roles.Items {
		for _, rule := range role.Rules {
			if rule.APIGroups[0] != "apps" && rule.APIGroups[0] != "batch" || !strings.HasSuffix(role.Name, home) && namespace != home {
				continue
			}
			for _, verb := range []string{"get", "list", "watch", "patch"} {
				attributes := authorizationv1.ResourceAttributes{Group: rule.APIGroups[0], Resource: rule.Resources[0], Verb: verb}
				assert.False(t, may(attributes), "%s all %s", verb, attributes.Resource)
				attributes.Name = "x"
				assert.False(t, may(attributes), "%s another of %s", verb, attributes.Resource)
				attributes.Name = rule.ResourceNames[0]
				assert.True(t, may(attributes), "%s %s %s", verb, attributes.Resource, attributes.Name)
				named++
			}
			for _, verb := range []string{"update", "delete", "create"} {
				attributes := authorizationv1.ResourceAttributes{Group: rule.APIGroups[0], Resource: rule.Resources[0], Name: rule.ResourceNames[0], Verb: verb}
				assert.False(t, may(attributes), "%s %s", verb, attributes.Resource)
			}
		}
	}
	assert.NotZero(t, named)
}

// I30, on a real API server: a release of an older chart is upgraded in each way that Helm has of treating the
// values that it has stored.
func TestOldReleasesUpgradeOnACluster(t *testing.T) {
	c := onCluster(t)
	example := filepath.Join(chartDir, "ci", "default-values.yaml")
	ways := map[string][]string{
		"reuse-values":             {"--reuse-values"},
		"reset-then-reuse-values":  {"--reset-then-reuse-values"},
		"plain":                    {"--values", example},
		"no flags":                 {},
		"reuse-values and nulls":   {"--reuse-values", "--set", "resolveFailureThreshold=null,image=null,rbac=null,schedule=null"},
		"reset, reuse, and a null": {"--reset-then-reuse-values", "--set", "resolveFailureThreshold=null"},
	}
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, file := range storedFiles(t) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for way, flags := range ways {
				t.Run(filepath.Base(file)+" "+way, func(t *testing.T) {
					home := restricted(t, c)
					_, err := h.run(t, c.Kubeconfig(), "install", release, older(t, text), "--namespace", home, "--values", example)
					require.NoError(t, err)
					assert.Contains(t, cronJob(t, c, home).Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image, ":0.0.1")

					_, err = h.run(t, c.Kubeconfig(), append([]string{"upgrade", release, chartDir, "--namespace", home}, flags...)...)
					require.NoError(t, err)
					upgraded := cronJob(t, c, home).Spec
					container := upgraded.JobTemplate.Spec.Template.Spec.Containers[0]
					assert.Equal(t, "ghcr.io/tracebloc/image-refresh:"+appVersion(t), container.Image, "the image follows the chart")
					assert.Contains(t, container.Env, corev1.EnvVar{Name: "RESOLVE_FAILURE_THRESHOLD", Value: "3"})
					assert.Equal(t, "7-59/15 * * * *", upgraded.Schedule)

					_, err = h.run(t, c.Kubeconfig(), "rollback", release, "1", "--namespace", home)
					require.NoError(t, err)
				})
			}
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
	now := appVersion(t)
	changed := strings.ReplaceAll(string(text), "ersion: "+now+"\n", "ersion: 0.0.1\n")
	require.NotEqual(t, string(text), changed)
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	return dir
}
