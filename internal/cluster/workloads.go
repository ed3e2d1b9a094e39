package cluster

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

func (c *Client) client(ref workload.Ref) *rest.RESTClient { return c.groups[ref.Group()] }

func empty(kind config.Kind) runtime.Object {
	switch kind {
	case config.Deployment:
		return &appsv1.Deployment{}
	case config.StatefulSet:
		return &appsv1.StatefulSet{}
	case config.DaemonSet:
		return &appsv1.DaemonSet{}
	case config.CronJob:
		return &batchv1.CronJob{}
	}
	return nil
}

// Get reads a workload.
func (c *Client) Get(ctx context.Context, ref workload.Ref) (*workload.Object, error) {
	object := empty(ref.Kind)
	err := c.do(ctx, func(ctx context.Context) error {
		return c.client(ref).Get().Namespace(ref.Namespace).Resource(ref.Resource()).Name(ref.Name).Do(ctx).Into(object)
	})
	if err != nil {
		return nil, failureOf("get", ref, err)
	}
	return workload.New(object)
}

// Patch writes a change to the object as it was read, and returns it as it is now. The error is ErrConflict
// where the object has changed in between. Where that was the change itself, whose answer was lost, it is none.
func (c *Client) Patch(ctx context.Context, read *workload.Object, change workload.Change) (*workload.Object, error) {
	body, err := change.StrategicMerge(read)
	if err != nil {
		return nil, fmt.Errorf("writing the patch of %s: %w", read.Ref, err)
	}
	written, sent, err := c.patch(ctx, read.Ref, types.StrategicMergePatchType, body)
	if sent > 1 && IsConflict(err) {
		if now, getErr := c.Get(ctx, read.Ref); getErr == nil && now.Meta.UID == read.Meta.UID && change.AppliedTo(now) {
			return now, nil
		}
	}
	return written, err
}

// DryRun asks for a change to a workload that goes through admission and is not stored, and returns what would be stored
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run). It needs the right to patch. The error is ErrNoDryRun
// where a webhook does not allow it.
func (c *Client) DryRun(ctx context.Context, ref workload.Ref, change workload.Change) (*workload.Object, error) {
	body, err := change.Unguarded(ref.Kind)
	if err != nil {
		return nil, fmt.Errorf("writing the patch of %s: %w", ref, err)
	}
	answered, _, err := c.patch(ctx, ref, types.StrategicMergePatchType, body, metav1.DryRunAll)
	return answered, err
}

// ReturnOwnership moves our claim on the slots to the Apply managers in owners, by the slot's key. It returns the
// object as it is now, the one given where we claim nothing. The error is ErrConflict where the object has
// changed since it was read.
func (c *Client) ReturnOwnership(ctx context.Context, read *workload.Object, slots []workload.Slot, owners map[string][]string) (*workload.Object, error) {
	body, err := read.ReturnOwnership(slots, owners)
	if err != nil {
		return nil, fmt.Errorf("returning the ownership of %s: %w", read.Ref, err)
	}
	if body == nil {
		return read, nil
	}
	written, _, err := c.patch(ctx, read.Ref, types.MergePatchType, body)
	return written, err
}

// patch sends a patch, and says how often it had to be sent.
func (c *Client) patch(ctx context.Context, ref workload.Ref, kind types.PatchType, body []byte, dryRun ...string) (written *workload.Object, sent int, err error) {
	object := empty(ref.Kind)
	err = c.do(ctx, func(ctx context.Context) error {
		sent++
		return c.client(ref).Patch(kind).Namespace(ref.Namespace).Resource(ref.Resource()).Name(ref.Name).
			VersionedParams(&metav1.PatchOptions{FieldManager: c.manager, DryRun: dryRun}, c.parameters).
			Body(body).Do(ctx).Into(object)
	})
	switch {
	case apierrors.IsConflict(err):
		return nil, sent, fmt.Errorf("%s: %w", ref, ErrConflict)
	case err != nil:
		return nil, sent, failureOf("patch", ref, err)
	}
	written, err = workload.New(object)
	return written, sent, err
}

// IsConflict says whether an error is ErrConflict.
func IsConflict(err error) bool { return errors.Is(err, ErrConflict) }
