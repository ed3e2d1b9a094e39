//go:build e2e && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const waitTimeout = 3 * time.Minute

// byHand are values of a release whose ticks are all made by hand, and that may tell why pods are not ready.
const byHand = `suspend: true
rolloutTimeout: 75s
rbac: {readPods: true}
`

// suite is a namespace, a folder that an operator types in, and images of its own.
type suite struct {
	*testing.T
	*environment
	namespace string
	dir       string
	jobs      int
}

// newSuite makes the namespace, in which pods must be restricted, and the folder, with the chart in it.
func newSuite(t *testing.T, namespace string) *suite {
	t.Helper()
	s := &suite{T: t, environment: env, namespace: namespace, dir: filepath.Join(env.box.Dir, "suites", namespace)}
	tests, err := components.Root()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(s.dir, 0o750))
	require.NoError(t, os.Symlink(filepath.Join(filepath.Dir(tests), "chart"), filepath.Join(s.dir, "chart")))
	_, err = s.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.node.Logs(15))
		}
		// What still runs must not disturb other suites. The sandbox ends what this leaves.
		_ = s.client.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), namespace, metav1.DeleteOptions{})
	})
	_, err = s.client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "registries-ca"}, Data: map[string]string{"ca.crt": string(s.site.Authority.PEM())},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	s.eventually("the namespace has its service account", func() bool {
		_, err := s.client.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	return s
}

// installed is a suite of one Deployment, web, which a first tick has adopted.
func installed(t *testing.T, namespace, values string, options ...workloads.Option) (s *suite, digest string) {
	t.Helper()
	s = newSuite(t, namespace)
	digest = s.push("web", "serve", "web 1")
	s.deploy("web", digest, options...)
	s.holds("web", digest, 1, "web 1")
	s.install("targets:\n" + s.target("web") + values + byHand)
	s.tick(0, "web adopted")
	return s, digest
}

// repository is the suite's own of an application.
func (s *suite) repository(name string) string { return s.namespace + "/" + name }

// image is what an application runs: reports is on ghcr.io, all others on docker.io.
func (s *suite) image(name string) string {
	registry := "docker.io/"
	if name == "reports" {
		registry = "ghcr.io/"
	}
	return registry + s.repository(name) + ":prod"
}

// target is one in the chart's values, of a Deployment of that name.
func (s *suite) target(name string) string {
	return fmt.Sprintf(`  - name: %[1]s
    image: %s
    workloads:
      - {kind: Deployment, name: %[1]s, container: api}
`, name, s.image(name))
}

// push publishes a release that runs the node's program in a mode. No two suites have one in common: what the node has pulled once
// it does not pull again.
func (s *suite) push(name, mode, text string, only ...string) (digest string) {
	s.Helper()
	if len(only) == 0 {
		only = platforms()
	}
	index, err := index(only, func(platform string) (v1.Image, error) {
		return realnode.Image(s.program, platform, mode, text, s.namespace)
	})
	require.NoError(s, err)
	digest, err = s.site.Push(s.image(name), registries.BuiltIndex(index))
	require.NoError(s, err)
	s.Logf("%s is now %s: %s %q", s.image(name), digest[:19], mode, text)
	return digest
}

// hold keeps a registry from answering requests of one kind for web's repository.
func (s *suite) hold(stage registries.Stage) (release func()) {
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	s.Cleanup(release)
	s.Cleanup(s.site.Front.Inject(registries.Fault{
		Match: registries.Of(s.repository("web"), registries.At("", stage)), Do: faultinject.Hold(held),
	}))
	return release
}

// heads counts how often ticks have asked what web's tag means.
func (s *suite) heads() int {
	return len(s.site.Front.Calls(func(call registries.Call) bool {
		return call.Stage == registries.Head && call.Repository == s.repository("web") &&
			strings.HasPrefix(call.Header.Get("User-Agent"), "image-refresh/")
	}))
}

// deploy makes a Deployment with one container, api, and a Service of the same name.
func (s *suite) deploy(name, digest string, options ...workloads.Option) {
	s.Helper()
	all := append([]workloads.Option{workloads.ProgressDeadline(20), workloads.Pod(func(template *corev1.PodTemplateSpec) {
		require.NoError(s, yaml.Unmarshal(fmt.Appendf(nil, restricted, s.image(name)+"@"+digest), &template.Spec))
	})}, options...)
	_, err := s.client.AppsV1().Deployments(s.namespace).Create(s.Context(), workloads.Deployment(name, all...), metav1.CreateOptions{})
	require.NoError(s, err)
	_, err = s.client.CoreV1().Services(s.namespace).Create(s.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app.kubernetes.io/name": name},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	require.NoError(s, err)
}

// restricted makes pods what the Pod Security Standard of that name demands, ready when their program listens, and gone at once.
const restricted = `
terminationGracePeriodSeconds: 0
automountServiceAccountToken: false
securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
containers:
  - name: api
    image: %q
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
`

// deployment returns a Deployment as it is now.
func (s *suite) deployment(name string) *appsv1.Deployment {
	s.Helper()
	d, err := s.client.AppsV1().Deployments(s.namespace).Get(s.Context(), name, metav1.GetOptions{})
	require.NoError(s, err)
	return d
}

// rollouts is how often a Deployment has been rolled out.
func (s *suite) rollouts(name string) int { return workloads.Revision(s.deployment(name)) }

// holds says that a Deployment is settled on a digest, after so many rollouts, and that its service answers with a text.
func (s *suite) holds(name, digest string, rollouts int, text string) {
	s.Helper()
	s.eventually("Deployment "+name+" is settled", func() bool { return workloads.Settled(s.deployment(name)) })
	d := s.deployment(name)
	require.Equal(s, s.image(name)+"@"+digest, workloads.Image(d, "api"))
	require.Equal(s, rollouts, workloads.Revision(d), "rollouts of %s", name)
	s.serves(name, text)
}

// serves asks the service, by its address, until it answers with the text.
func (s *suite) serves(name, text string) {
	s.Helper()
	service, err := s.client.CoreV1().Services(s.namespace).Get(s.Context(), name, metav1.GetOptions{})
	require.NoError(s, err)
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	s.eventually("service "+name+" answers "+text, func() bool {
		request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+service.Spec.ClusterIP, nil)
		require.NoError(s, err)
		response, err := client.Do(request)
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }() // read to its end, or of no interest
		body, err := io.ReadAll(response.Body)
		return err == nil && string(body) == text
	})
}

// pods are those of a selector that are not about to go.
func (s *suite) pods(selector string) []corev1.Pod {
	s.Helper()
	list, err := s.client.CoreV1().Pods(s.namespace).List(s.Context(), metav1.ListOptions{LabelSelector: selector})
	require.NoError(s, err)
	return slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// pulled says that the kubelet pulled a digest for every pod of a Deployment.
func (s *suite) pulled(name, digest string) {
	s.Helper()
	pods := s.pods("app.kubernetes.io/name=" + name)
	require.NotEmpty(s, pods)
	for _, pod := range pods {
		require.Equal(s, strings.TrimSuffix(s.image(name), ":prod")+"@"+digest, pod.Status.ContainerStatuses[0].ImageID)
	}
}

// events are the reasons of the Events that the program wrote about a workload.
func (s *suite) events(name string) (reasons []string) {
	s.Helper()
	list, err := s.client.EventsV1().Events(s.namespace).List(s.Context(), metav1.ListOptions{})
	require.NoError(s, err)
	for _, event := range list.Items {
		if event.ReportingController == "tracebloc.io/image-refresh" && event.Regarding.Name == name {
			reasons = append(reasons, event.Reason)
		}
	}
	return reasons
}

// eventually polls until something holds.
func (s *suite) eventually(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(waitTimeout); !holds(); {
		require.True(s, time.Now().Before(deadline), "not within %s: %s", waitTimeout, what)
		time.Sleep(100 * time.Millisecond)
	}
}

// typed runs what an operator types, and shows it with what it printed.
func (s *suite) typed(line string) string {
	s.Helper()
	printed, err := s.shell(line)
	require.NoError(s, err)
	return printed
}

func (s *suite) shell(line string) (string, error) {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), "bash", "-o", "pipefail", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PATH=" + filepath.Join(s.box.Dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + s.dir,
		"KUBECONFIG=" + filepath.Join(s.box.Dir, "operator.kubeconfig"), "NAMESPACE=" + s.namespace, "RELEASE=image-refresh", "CRONJOB=image-refresh",
	}
	cmd.WaitDelay = time.Second
	printed, err := cmd.CombinedOutput()
	s.Logf("$ %s\n%s", strings.TrimSpace(line), printed)
	return string(printed), err
}

// install installs the chart, with these values and those that every release here needs: the registries' authority.
func (s *suite) install(values string) {
	s.helm("helm install image-refresh ./chart --values values.yaml", values)
}

// helm installs or upgrades a release, with values in a file.
func (s *suite) helm(command, values string) {
	s.Helper()
	values += `successfulJobsHistoryLimit: 10
failedJobsHistoryLimit: 10
registries:
  - {host: docker.io, caFile: /etc/image-refresh/ca/registries.crt}
  - {host: ghcr.io, caFile: /etc/image-refresh/ca/registries.crt}
caCertificates:
  - {configMap: registries-ca, key: ca.crt, file: registries.crt}
`
	require.NoError(s, os.WriteFile(filepath.Join(s.dir, "values.yaml"), []byte(values), 0o600))
	s.Logf("values.yaml:\n%s", values)
	s.typed(command + ` --namespace "$NAMESPACE" | sed -n 1,6p`)
}

// tick is what a Job of the CronJob left behind.
type tick struct {
	pod     corev1.Pod
	message string // the termination message, as kubectl describe pod shows it
	log     string
	report  product.Report
}

// tick runs a tick by hand. Outcomes are those of targets' workloads: "web adopted".
func (s *suite) tick(exitCode int, outcomes ...string) tick {
	s.Helper()
	return s.finished(s.start(), exitCode, outcomes...)
}

// start makes a Job of the CronJob, as a person does.
func (s *suite) start() (job string) {
	s.Helper()
	s.jobs++
	job = fmt.Sprintf("now-%d", s.jobs)
	s.typed("kubectl create job " + job + ` --from=cronjob/image-refresh --namespace "$NAMESPACE"`)
	return job
}

// startResolving starts a tick, and returns when it has asked the registry what web's tag means.
func (s *suite) startResolving() (job string) {
	s.Helper()
	asked := s.heads()
	job = s.start()
	s.eventually("the tick has asked the registry", func() bool { return s.heads() > asked })
	return job
}

// finished waits until a Job has ended, which must be with this exit code, and shows its termination message.
func (s *suite) finished(job string, exitCode int, outcomes ...string) tick {
	s.Helper()
	wanted := batchv1.JobComplete
	if exitCode != 0 {
		wanted = batchv1.JobFailed
	}
	s.eventually("Job "+job+" has ended", func() bool { return s.jobIs(job, batchv1.JobComplete) || s.jobIs(job, batchv1.JobFailed) })
	pods := s.pods("batch.kubernetes.io/job-name=" + job)
	require.Len(s, pods, 1, "pods of Job %s", job)
	require.Len(s, pods[0].Status.ContainerStatuses, 1)
	ended := pods[0].Status.ContainerStatuses[0].State.Terminated
	require.NotNil(s, ended, "the tick's container has ended: %+v", pods[0].Status)
	raw, err := s.client.CoreV1().Pods(s.namespace).GetLogs(pods[0].Name, &corev1.PodLogOptions{}).Do(s.Context()).Raw()
	require.NoError(s, err)
	t := tick{pod: pods[0], message: ended.Message, log: string(raw)}
	s.Logf("Job %s: exit code %d\n%s", job, ended.ExitCode, t.message)
	require.EqualValues(s, exitCode, ended.ExitCode, "the tick's log:\n%s", t.log)
	require.True(s, s.jobIs(job, wanted), "Job %s is %s", job, wanted)
	var result strings.Builder // stands between and around the lines of the log
	for line := range strings.Lines(t.log) {
		if !strings.HasPrefix(line, `{"`) {
			result.WriteString(line)
		}
	}
	require.NoError(s, json.Unmarshal([]byte(result.String()), &t.report), t.log)
	for _, outcome := range outcomes {
		target, outcome, _ := strings.Cut(outcome, " ")
		require.Equal(s, outcome, t.workload(target).Outcome, "%s\n%s", target, t.log)
	}
	return t
}

// workload is what a tick says of a target's only one.
func (t tick) workload(target string) product.Workload {
	return append(t.report.Target(target).Workloads, product.Workload{})[0]
}

func (s *suite) jobIs(job string, wanted batchv1.JobConditionType) bool {
	s.Helper()
	read, err := s.client.BatchV1().Jobs(s.namespace).Get(s.Context(), job, metav1.GetOptions{})
	require.NoError(s, err)
	return slices.ContainsFunc(read.Status.Conditions, func(condition batchv1.JobCondition) bool {
		return condition.Type == wanted && condition.Status == corev1.ConditionTrue
	})
}
