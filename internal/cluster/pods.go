package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// A selector may match the pods of others too, so what is read is more than what a workload owns, and is bounded.
const (
	podsPerPage = 100
	maxPages    = 10
)

// PodProblems reads the pods of a workload and says what they tell about its rollout; Evidence and Crashed are by query. Where
// pods may not be read, which the chart grants by default, the reasons say so.
func (c *Client) PodProblems(ctx context.Context, object *workload.Object, queries []workload.PodQuery) decide.PodProblems {
	if object.Selector == nil { // a CronJob has no rollout, and its pods are its Jobs'
		return decide.PodProblems{Evidence: make([]bool, len(queries)), Crashed: make([]bool, len(queries))}
	}
	pods, err := c.ownPods(ctx, object)
	switch {
	case apierrors.IsForbidden(err):
		return unreadable(object, queries, fmt.Sprintf(
			"its pods may not be read, and would tell more: kubectl get pods -n %s, or grant list on pods (rbac.readPods)", object.Namespace))
	case err != nil:
		return unreadable(object, queries, "its pods could not be read: "+failure.Clean(err.Error()))
	}
	return diagnose(object, queries, pods)
}

// Running says, by binding, what the pods of a workload run in these slots. A CronJob's are its Jobs', and come and go.
func (c *Client) Running(ctx context.Context, object *workload.Object, slots [][]workload.Slot) []decide.Running {
	running := make([]decide.Running, len(slots))
	if object.Selector == nil {
		return running
	}
	pods, err := c.ownPods(ctx, object)
	for at := range slots {
		switch {
		case apierrors.IsForbidden(err):
			running[at].Unreadable = true
		case err != nil:
			running[at].Failure = failureOf("list the pods of", object.Ref, err)
		default:
			running[at].Images = workload.Running(pods, slots[at])
		}
	}
	return running
}

// ownPods are the pods that the workload owns, of those that its selector matches.
func (c *Client) ownPods(ctx context.Context, object *workload.Object) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(object.Selector)
	if err != nil {
		return nil, fmt.Errorf("its selector does not parse: %w", err)
	}
	var own []corev1.Pod
	options := metav1.ListOptions{LabelSelector: selector.String(), Limit: podsPerPage}
	for range maxPages {
		page := &corev1.PodList{}
		err := c.do(ctx, func(ctx context.Context) error {
			return c.groups[""].Get().Namespace(object.Namespace).Resource("pods").VersionedParams(&options, c.parameters).Do(ctx).Into(page)
		})
		if apierrors.IsResourceExpired(err) && options.Continue != "" {
			break // what was read before is as old as what would come now
		}
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if object.Owns(&page.Items[i]) {
				own = append(own, page.Items[i])
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	return own, nil
}
