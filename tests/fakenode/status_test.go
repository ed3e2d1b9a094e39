package fakenode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a kubelet writes of a pod of 10 s with two containers. That rollouts follow from it, all of tests/scenario shows.
func TestDesiredStatus(t *testing.T) {
	t.Parallel()
	const started = "PodScheduled PodReadyToStartContainers Initialized"
	const unready, runs = "Running app=running " + started, "Running app=running,ready " + started
	for name, c := range map[string]struct {
		behaviour Behaviour
		gate      corev1.ConditionStatus // of a readiness gate, where there is one
		want      string
	}{
		"ready":            {Ready(), "", runs + " ContainersReady Ready"},
		"too young":        {ReadyAfter(time.Minute), "", unready + " again in 50s"},
		"old enough":       {ReadyAfter(10 * time.Second), "", runs + " ContainersReady Ready"},
		"behind a gate":    {Ready(), "False", runs + " ContainersReady"},
		"its gate is open": {Ready(), "True", runs + " ContainersReady Ready gate"},
		"stuck":            {Stuck(), "", unready},
		"another is stuck": {Stuck().Only("sidecar"), "", runs},
		"starting":         {Starting(), "", "Running app=starting " + started},
		"restarted":        {Ready().Restarted(), "", "Running app=running,ready,restarted " + started + " ContainersReady Ready"},
		"not pulled":       {Failing("ImagePullBackOff", "401"), "", "Pending app=ImagePullBackOff(401) " + started},
		"crashing":         {Failing("CrashLoopBackOff", ""), "", "Running app=CrashLoopBackOff(),restarted " + started},
		"creating":         {Creating(), "", "Pending app=ContainerCreating() " + started},
		"without volumes":  {WithoutVolumes(), "", "Pending app=ContainerCreating() PodScheduled Initialized"},
		"lost":             {Lost(), "", runs + " ContainersReady"},
		"evicted":          {Evicted("no memory"), "", "Failed Evicted: no memory app=exit137() " + started},
		"completed":        {Completed(0), "", "Succeeded app=exit0() " + started},
		"failed":           {Completed(2).Saying("why"), "", "Failed app=exit2(why) " + started},
		"of an image":      {Ready().Running("docker-pullable://x@sha256:2"), "", runs + " ContainersReady Ready registry.invalid:5000/team/app@sha256:1"},
	} {
		now := time.Now()
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Time{Time: now.Add(-10 * time.Second)}}}
		pod.Spec.Containers = []corev1.Container{
			{Name: "app", Image: "registry.invalid:5000/team/app:1@sha256:1"}, {Name: "sidecar", Image: "sidecar:1"},
		}
		if c.gate != "" {
			pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "gate"}}
			pod.Status.Conditions = []corev1.PodCondition{{Type: "gate", Status: c.gate}}
		}
		status, again := desired(pod, c.behaviour, now)
		assert.Equal(t, c.want, summary(status, again), name)
		pod.Status = status
		unchanged, _ := desired(pod, c.behaviour, now.Add(time.Second))
		if again == 0 {
			assert.Equal(t, status, unchanged, "%s: what has not changed is not written again", name)
		}
	}
}

func summary(status corev1.PodStatus, again time.Duration) string {
	words := []string{string(status.Phase)}
	if status.Reason != "" {
		words = append(words, status.Reason+": "+status.Message)
	}
	app := status.ContainerStatuses[0]
	word := "app=running"
	switch {
	case app.State.Waiting != nil:
		word = fmt.Sprintf("app=%s(%s)", app.State.Waiting.Reason, app.State.Waiting.Message)
	case app.State.Terminated != nil:
		word = fmt.Sprintf("app=exit%d(%s)", app.State.Terminated.ExitCode, app.State.Terminated.Message)
	case !*app.Started:
		word = "app=starting"
	}
	if app.Ready {
		word += ",ready"
	}
	if app.RestartCount > 0 && app.LastTerminationState.Terminated != nil {
		word += ",restarted"
	}
	words = append(words, word)
	for _, condition := range status.Conditions {
		if condition.Status == corev1.ConditionTrue {
			words = append(words, string(condition.Type))
		}
	}
	if app.ImageID != "" {
		words = append(words, app.ImageID)
	}
	if again > 0 {
		words = append(words, "again in "+again.String())
	}
	return strings.Join(words, " ")
}
