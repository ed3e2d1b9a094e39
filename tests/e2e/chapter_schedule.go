//go:build linux

package main

import (
	"strings"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	webRepository = "tracebloc/web"
	webImage      = "docker.io/" + webRepository + ":prod"
)

const webTarget = `
targets:
  - name: web
    image: ` + webImage + `
    workloads:
      - {kind: Deployment, name: web, container: api}
`

func onSchedule(c *chapter) {
	c.begin()
	c.refusesOthers()
	first := c.push(webImage, c.release("serve", "web 1", both()...), "web 1")
	c.application("web", webImage+"@"+first, workloads.Replicas(2))
	c.holds("web", webImage+"@"+first, 1, "web 1")
	c.install(webTarget + "schedule: \"* * * * *\"\n")
	require.Contains(c, c.typed("helm test image-refresh --namespace "+c.namespace+" | grep -A 4 SUITE"), "Succeeded")
	c.Say("The schedule's next minute comes: the first tick accepts what runs, and restarts nothing.")
	require.Equal(c, "adopted", c.finished(c.scheduled(""), 0).outcome("web", "web").Outcome)
	c.holds("web", webImage+"@"+first, 1, "web 1")

	second := c.push(webImage, c.release("serve", "web 2", both()...), "web 2")
	c.Say("The next minute comes.")
	require.Equal(c, "refreshed", c.finished(c.scheduled(c.newest()), 0).outcome("web", "web").Outcome)
	c.holds("web", webImage+"@"+second, 2, "web 2")
	c.pulled("web", "docker.io/"+webRepository+"@"+second)
	require.Contains(c, c.events("web"), "DigestRefreshed")

	third := c.push(webImage, c.release("serve", "web 3", both()...), "web 3")
	c.Say("A person does not wait for the minute.")
	require.Equal(c, "refreshed", c.tick(0).outcome("web", "web").Outcome)
	c.holds("web", webImage+"@"+third, 3, "web 3")
	c.pulled("web", "docker.io/"+webRepository+"@"+third)

	c.beside()
}

// beside starts a tick by hand while a scheduled one is in the middle of a
// rollout, which the registry holds up.
func (c *chapter) beside() {
	release := make(chan struct{})
	remove := c.site.Front.Inject(registries.Fault{
		Match: registries.Of(webRepository, registries.At("", registries.Blob)),
		Do:    faultinject.Hold(release),
	})
	defer remove()
	before := c.newest()
	fourth := c.push(webImage, c.release("serve", "web 4", both()...), "web 4, whose layers come slowly")
	c.Say("The next minute comes, and while that tick waits for the rollout a person starts another.")
	scheduled := c.scheduled(before)
	c.eventually("the scheduled tick has begun a rollout", func() bool { return workloads.Revision(c.deployment("web")) == 4 })
	asked := c.heads()
	byHand := c.start()
	c.eventually("the tick by hand has asked the registry", func() bool { return c.heads() > asked })
	close(release)
	c.finished(scheduled, 0)
	c.finished(byHand, 0)
	c.holds("web", webImage+"@"+fourth, 4, "web 4")
}

// refusesOthers says that the namespace takes no pod that is not restricted.
func (c *chapter) refusesOthers() {
	_, err := c.client.CoreV1().Pods(c.namespace).Create(c.ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "as-root"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: pauseImage}}},
	}, metav1.CreateOptions{})
	require.ErrorContains(c, err, `violates PodSecurity "restricted`)
	c.Say("The namespace enforces the Pod Security Standard restricted: it has just refused a pod.")
}

// heads counts how often ticks have asked what the tag means.
func (c *chapter) heads() int {
	return len(c.site.Front.Calls(func(call registries.Call) bool {
		return call.Stage == registries.Head && call.Repository == webRepository && strings.HasPrefix(call.Header.Get("User-Agent"), "image-refresh/")
	}))
}

// pulled says that the kubelet pulled this for every pod of a Deployment.
func (c *chapter) pulled(name, image string) {
	pods := c.pods(name)
	require.NotEmpty(c, pods)
	for _, pod := range pods {
		require.Equal(c, image, pod.Status.ContainerStatuses[0].ImageID)
	}
	c.typed("kubectl get pods -l app.kubernetes.io/name=" + name +
		" -o custom-columns=POD:.metadata.name,PULLED:.status.containerStatuses[0].imageID --namespace " + c.namespace)
}

// newest is the name of the newest Job that the schedule made.
func (c *chapter) newest() string {
	jobs, err := c.client.BatchV1().Jobs(c.namespace).List(c.ctx, metav1.ListOptions{})
	require.NoError(c, err)
	name, latest := "", metav1.Time{}
	for _, job := range jobs.Items {
		if strings.HasPrefix(job.Name, "image-refresh-") && latest.Before(&job.CreationTimestamp) {
			name, latest = job.Name, job.CreationTimestamp
		}
	}
	return name
}

// scheduled waits for a Job that the schedule makes after another.
func (c *chapter) scheduled(after string) string {
	c.eventually("the schedule has fired", func() bool { return c.newest() != after })
	return c.newest()
}
