package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// list is what the API server answers to a request that lists objects.
type list interface {
	runtime.Object
	metav1.ListInterface
}

func emptyList(kind config.Kind) list {
	switch kind {
	case config.Deployment:
		return &appsv1.DeploymentList{}
	case config.StatefulSet:
		return &appsv1.StatefulSetList{}
	case config.DaemonSet:
		return &appsv1.DaemonSetList{}
	case config.CronJob:
		return &batchv1.CronJobList{}
	}
	return nil
}

// pageSize is how many objects one answer lists: the memory that a list takes is bounded by it.
const pageSize = 1000

// List reads all workloads of a namespace, or of all namespaces where it is empty, that a label selector selects. The chart
// grants no right to that: a person has it.
func (c *Client) List(ctx context.Context, namespace, selector string) ([]*workload.Object, error) {
	return kinds(func(kind config.Kind) (objects []*workload.Object, err error) {
		empty := func() list { return emptyList(kind) }
		err = c.each(ctx, workload.Ref{Kind: kind, Namespace: namespace}, selector, empty, "", func(item runtime.Object) error {
			object, err := workload.New(item)
			objects = append(objects, object)
			return err
		})
		return objects, err
	})
}

// asMetadata asks for an object's metadata alone, without the rest
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
const asMetadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1," +
	"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// Labelled reads the labels and annotations, and nothing else, of all workloads that List would read. CronJobs that may not be
// listed are left out: Schedules says so.
func (c *Client) Labelled(ctx context.Context, namespace, selector string) ([]workload.Labelled, error) {
	return kinds(func(kind config.Kind) (found []workload.Labelled, err error) {
		empty := func() list { return &metav1.PartialObjectMetadataList{} }
		err = c.each(ctx, workload.Ref{Kind: kind, Namespace: namespace}, selector, empty, asMetadata, func(item runtime.Object) error {
			object, err := meta.Accessor(item)
			if err == nil {
				ref := workload.Ref{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName()}
				found = append(found, workload.Labelled{Ref: ref, Labels: object.GetLabels(), Annotations: object.GetAnnotations()})
			}
			return err
		})
		if kind == config.CronJob && apierrors.IsForbidden(err) {
			err = nil
		}
		return found, err
	})
}

// kinds lists each kind of workload, side by side.
func kinds[T any](of func(config.Kind) ([]T, error)) ([]T, error) {
	kinds := config.Kinds()
	found, failures := make([][]T, len(kinds)), make([]error, len(kinds))
	var all sync.WaitGroup
	for i, kind := range kinds {
		all.Go(func() { found[i], failures[i] = of(kind) })
	}
	all.Wait()
	return slices.Concat(found...), errors.Join(failures...)
}

// each lists the objects of a kind, a page after the other, and hands each of them on. accept is what representation is asked
// for; empty: the objects as they are.
func (c *Client) each(ctx context.Context, ref workload.Ref, selector string, empty func() list, accept string, do func(runtime.Object) error) error {
	options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	var err error
	for more := true; more && err == nil; more = options.Continue != "" {
		page := empty()
		err = c.do(ctx, func(ctx context.Context) error {
			request := c.client(ref).Get().NamespaceIfScoped(ref.Namespace, ref.Namespace != "").Resource(ref.Resource()).
				VersionedParams(&options, c.parameters)
			if accept != "" {
				request.SetHeader("Accept", accept)
			}
			return request.Do(ctx).Into(page)
		})
		if err == nil {
			err = meta.EachListItem(page, do)
			options.Continue = page.GetContinue()
		}
	}
	where := "in all namespaces"
	if ref.Namespace != "" {
		where = "in namespace " + ref.Namespace
	}
	switch {
	case apierrors.IsForbidden(err):
		return &failure.Error{
			Cause: failure.API, Err: err, Message: "the API server forbids to list " + ref.Resource() + " " + where,
			Fix: "ask for the right to list deployments, statefulsets, daemonsets and cronjobs there, or name another namespace",
		}
	case apierrors.IsBadRequest(err):
		return &failure.Error{
			Cause: failure.API, Err: err, Message: "the API server refuses to list " + ref.Resource() + " " + where + ": " + failure.Clean(err.Error()),
			Fix: "correct the label selector",
		}
	case err != nil:
		return notAnswered("asked to list "+ref.Resource()+" "+where, err)
	}
	return nil
}
