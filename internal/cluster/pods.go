package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// maxPods bounds how many pods of a workload are read for their reasons.
const maxPods = 100

// PodProblems reads the pods of a workload. That needs a permission which the chart does not grant by default:
// where it is missing, the reasons say so.
func (c *Client) PodProblems(ctx context.Context, object *workload.Object) decide.PodProblems {
	selector, err := metav1.LabelSelectorAsSelector(object.Selector)
	if err != nil {
		return decide.PodProblems{Reasons: []string{"its selector does not parse: " + fault.Clean(err.Error())}}
	}
	pods := &corev1.PodList{}
	err = c.do(ctx, func(ctx context.Context) error {
		return c.groups[""].Get().Namespace(object.Namespace).Resource("pods").VersionedParams(
			&metav1.ListOptions{LabelSelector: selector.String(), Limit: maxPods}, c.parameters).Do(ctx).Into(pods)
	})
	switch {
	case apierrors.IsForbidden(err):
		return decide.PodProblems{Reasons: []string{fmt.Sprintf("its pods may not be read, so their reasons are unknown here: kubectl get pods -n %s, or grant list on pods", object.Namespace)}}
	case err != nil:
		return decide.PodProblems{Reasons: []string{"its pods could not be read: " + fault.Clean(err.Error())}}
	}
	var problems decide.PodProblems
	crashed := false
	for _, pod := range pods.Items {
		if ready(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		if object.Kind == config.StatefulSet {
			problems.NeverReady = append(problems.NeverReady, pod.Name)
		}
		for _, problem := range problemsOf(pod) {
			if problem.pull {
				problems.PullFailed = true
			} else {
				crashed = true
			}
			if !slices.Contains(problems.Reasons, problem.text) {
				problems.Reasons = append(problems.Reasons, problem.text)
			}
		}
	}
	problems.PullFailed = problems.PullFailed && !crashed
	slices.Sort(problems.Reasons)
	return problems
}

func ready(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

type problem struct {
	text string
	pull bool
}

func problemsOf(pod corev1.Pod) []problem {
	var found []problem
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			found = append(found, problem{text: describe(condition.Reason, condition.Message)})
		}
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case status.State.Waiting != nil && status.State.Waiting.Reason != "ContainerCreating" && status.State.Waiting.Reason != "PodInitializing":
			text := describe(status.State.Waiting.Reason, status.State.Waiting.Message)
			if last := status.LastTerminationState.Terminated; last != nil {
				text += fmt.Sprintf(", last exit code %d", last.ExitCode)
			}
			found = append(found, problem{text: status.Name + ": " + text, pull: pullReason(status.State.Waiting.Reason)})
		case status.State.Terminated != nil && status.State.Terminated.ExitCode != 0:
			found = append(found, problem{text: fmt.Sprintf("%s: %s, exit code %d", status.Name,
				describe(status.State.Terminated.Reason, status.State.Terminated.Message), status.State.Terminated.ExitCode)})
		case status.State.Running != nil && !status.Ready:
			found = append(found, problem{text: status.Name + ": running, not ready"})
		}
	}
	return found
}

func describe(reason, message string) string {
	if message == "" {
		return fault.Clean(reason)
	}
	// A kubelet begins with the image's long name, and ends with why it could not be pulled.
	return fault.CleanEnds(reason + ": " + message)
}

// pullReason says whether a container waits because its image could not be pulled: the kubelet's reasons.
func pullReason(reason string) bool {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
		return true
	}
	return false
}
