package cluster

import (
	"context"
	"errors"
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

func emptyList(kind config.Kind) runtime.Object {
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

// List reads all workloads of a namespace, or of all namespaces where it is empty, that a label selector selects. The chart
// grants no right to that: a person has it.
func (c *Client) List(ctx context.Context, namespace, selector string) ([]*workload.Object, error) {
	kinds := config.Kinds()
	found, failures := make([][]*workload.Object, len(kinds)), make([]error, len(kinds))
	var all sync.WaitGroup
	for i, kind := range kinds {
		all.Go(func() { found[i], failures[i] = c.list(ctx, workload.Ref{Kind: kind, Namespace: namespace}, selector) })
	}
	all.Wait()
	var objects []*workload.Object
	for _, some := range found {
		objects = append(objects, some...)
	}
	return objects, errors.Join(failures...)
}

func (c *Client) list(ctx context.Context, ref workload.Ref, selector string) ([]*workload.Object, error) {
	list := emptyList(ref.Kind)
	err := c.do(ctx, func(ctx context.Context) error {
		return c.client(ref).Get().NamespaceIfScoped(ref.Namespace, ref.Namespace != "").Resource(ref.Resource()).
			VersionedParams(&metav1.ListOptions{LabelSelector: selector}, c.parameters).Do(ctx).Into(list)
	})
	where := "in all namespaces"
	if ref.Namespace != "" {
		where = "in namespace " + ref.Namespace
	}
	switch {
	case apierrors.IsForbidden(err):
		return nil, &failure.Error{
			Cause: failure.API, Err: err, Message: "the API server forbids to list " + ref.Resource() + " " + where,
			Fix: "ask for the right to list deployments, statefulsets, daemonsets and cronjobs there, or name another namespace",
		}
	case err != nil:
		return nil, notAnswered("asked to list "+ref.Resource()+" "+where, err)
	}
	var objects []*workload.Object
	err = meta.EachListItem(list, func(item runtime.Object) error {
		object, err := workload.New(item)
		objects = append(objects, object)
		return err
	})
	return objects, err
}
