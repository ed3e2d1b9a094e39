//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// both are the platforms of the program's image, and of a release unless a
// chapter says otherwise.
func both() []string { return []string{"linux/amd64", "linux/arm64"} }

// release makes an index of images that run the node's program. No two chapters
// have one in common: what the node has pulled once it does not pull again.
func (c *chapter) release(mode, text string, platforms ...string) registries.Content {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range platforms {
		image, err := c.program.Image(platform, mode, text, c.namespace)
		require.NoError(c, err)
		parsed, err := v1.ParsePlatform(platform)
		require.NoError(c, err)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: parsed}})
	}
	return registries.BuiltIndex(index)
}

// push publishes a release and says so.
func (c *chapter) push(reference string, content registries.Content, what string) (digest string) {
	digest, err := c.site.Push(reference, content)
	require.NoError(c, err)
	c.Say(fmt.Sprintf("%s is now %s: %s", reference, digest[:19], what))
	return digest
}

// begin makes the chapter's namespace, in which pods must be restricted.
func (c *chapter) begin() {
	_, err := c.client.CoreV1().Namespaces().Create(c.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: c.namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	require.NoError(c, err)
	c.cleanup(func() {
		// What still runs must not disturb the next chapter. The sandbox ends what this leaves.
		_ = c.client.CoreV1().Namespaces().Delete(context.WithoutCancel(c.ctx), c.namespace, metav1.DeleteOptions{})
	})
	_, err = c.client.CoreV1().ConfigMaps(c.namespace).Create(c.ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "registries-ca"}, Data: map[string]string{"ca.crt": string(c.site.Authority.PEM())},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
	c.eventually("the namespace has its service account", func() bool {
		_, err := c.client.CoreV1().ServiceAccounts(c.namespace).Get(c.ctx, "default", metav1.GetOptions{})
		return err == nil
	})
}

// application deploys a Deployment with one container, api, and a Service of
// the same name, and waits for its pods.
func (c *chapter) application(name, image string, options ...workloads.Option) {
	options = append([]workloads.Option{workloads.Container("api", image), workloads.ProgressDeadline(20)}, options...)
	options = append(options, workloads.Pod(restricted))
	_, err := c.client.AppsV1().Deployments(c.namespace).Create(c.ctx, workloads.Deployment(name, options...), metav1.CreateOptions{})
	require.NoError(c, err)
	_, err = c.client.CoreV1().Services(c.namespace).Create(c.ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app.kubernetes.io/name": name},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
}

// restricted makes pods what the Pod Security Standard of that name demands,
// ready when their program says so, and gone at once.
func restricted(template *corev1.PodTemplateSpec) {
	no, yes, none := false, true, int64(0)
	template.Spec.TerminationGracePeriodSeconds = &none
	template.Spec.AutomountServiceAccountToken = &no
	template.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for i := range template.Spec.Containers {
		container := &template.Spec.Containers[i]
		container.SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
		container.ReadinessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(8080)}},
			PeriodSeconds: 1,
		}
	}
}

// deployment returns a Deployment as it is now.
func (c *chapter) deployment(name string) *appsv1.Deployment {
	d, err := c.client.AppsV1().Deployments(c.namespace).Get(c.ctx, name, metav1.GetOptions{})
	require.NoError(c, err)
	return d
}

// settled waits until a Deployment is settled.
func (c *chapter) settled(name string) *appsv1.Deployment {
	c.eventually("Deployment "+name+" is settled", func() bool { return workloads.Settled(c.deployment(name)) })
	return c.deployment(name)
}

// holds says that a Deployment is settled on a digest, after so many rollouts,
// and that its service answers with a text.
func (c *chapter) holds(name, image string, rollouts int, text string) {
	d := c.settled(name)
	require.Equal(c, image, workloads.Image(d, "api"))
	require.Equal(c, rollouts, workloads.Revision(d), "rollouts of %s", name)
	c.serves(name, text)
}

// serves asks the service, by its address, until it answers with the text.
func (c *chapter) serves(name, text string) {
	var last string
	c.eventually("service "+name+" answers "+text, func() bool {
		last = c.ask(name)
		return last == text
	})
	c.Say(fmt.Sprintf("Service %s answers: %s", name, last))
}

func (c *chapter) ask(name string) string {
	service, err := c.client.CoreV1().Services(c.namespace).Get(c.ctx, name, metav1.GetOptions{})
	require.NoError(c, err)
	request, err := http.NewRequestWithContext(c.ctx, http.MethodGet, "http://"+service.Spec.ClusterIP, nil)
	require.NoError(c, err)
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }() // read to its end, or of no interest
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// pods are those of a Deployment that are not about to go.
func (c *chapter) pods(name string) []corev1.Pod {
	list, err := c.client.CoreV1().Pods(c.namespace).List(c.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	require.NoError(c, err)
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	return pods
}

// events are the Events that the program wrote about a workload, by reason.
func (c *chapter) events(name string) map[string]eventsv1.Event {
	list, err := c.client.EventsV1().Events(c.namespace).List(c.ctx, metav1.ListOptions{})
	require.NoError(c, err)
	events := map[string]eventsv1.Event{}
	for _, event := range list.Items {
		if event.ReportingController == "tracebloc.io/image-refresh" && event.Regarding.Name == name {
			events[event.Reason] = event
		}
	}
	return events
}

// eventually polls until something holds.
func (c *chapter) eventually(what string, holds func() bool) {
	for deadline := time.Now().Add(waitTimeout); !holds(); {
		if time.Now().After(deadline) {
			c.Errorf("not within %s: %s", waitTimeout, what)
			c.FailNow()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-c.ctx.Done():
			require.NoError(c, c.ctx.Err(), "while waiting until %s", what)
		}
	}
}

// typed runs what an operator types, and shows it with what it printed.
func (c *chapter) typed(line string) string {
	c.Command(line)
	printed, err := c.shell(line)
	c.Output(printed)
	require.NoError(c, err)
	return printed
}

func (c *chapter) shell(line string) (string, error) {
	cmd := exec.CommandContext(c.ctx, "bash", "-o", "pipefail", "-c", line) //nolint:gosec // the lines are the story's
	cmd.Dir = c.box.Dir
	cmd.Env = []string{
		"PATH=" + filepath.Join(c.box.Dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + c.box.Dir,
		"KUBECONFIG=" + filepath.Join(c.box.Dir, "operator.kubeconfig"),
	}
	cmd.WaitDelay = time.Second
	printed, err := cmd.CombinedOutput()
	return string(printed), err
}

// install installs the chart with these values, beside those that every
// release here needs: the registries' authority.
func (c *chapter) install(values string) {
	c.values("values.yaml", values)
	c.typed("helm install image-refresh ./chart --namespace " + c.namespace + " --values values.yaml | sed -n 1,6p")
}

// values writes a file of values.
func (c *chapter) values(file, values string) {
	values = strings.TrimLeft(values, "\n") + `successfulJobsHistoryLimit: 10
failedJobsHistoryLimit: 10
registries:
  - {host: docker.io, caFile: /etc/image-refresh/ca/registries.crt}
  - {host: ghcr.io, caFile: /etc/image-refresh/ca/registries.crt}
caCertificates:
  - {configMap: registries-ca, key: ca.crt, file: registries.crt}
`
	require.NoError(c, os.WriteFile(filepath.Join(c.box.Dir, file), []byte(values), 0o600))
	c.Command("cat " + file)
	c.Output(values)
}
