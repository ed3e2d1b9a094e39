// Package workload knows the four kinds of workload that can use a digest: where their slots are, how far
// their controller is, who owns a slot, and what a patch looks like. It works on objects as they were read;
// it has no client.
package workload

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Ref names a workload.
type Ref struct {
	Kind            config.Kind
	Namespace, Name string
}

func (r Ref) String() string { return fmt.Sprintf("%s %s/%s", r.Kind, r.Namespace, r.Name) }

// Kubectl names it as kubectl takes it.
func (r Ref) Kubectl() string {
	return fmt.Sprintf("-n %s %s %s", r.Namespace, strings.ToLower(string(r.Kind)), r.Name)
}

// ToApprove is the end of a message about a digest that waits for a person: the command that approves it here.
func (r Ref) ToApprove(keys annotate.Keys, digest image.Digest) string {
	return fmt.Sprintf("to have it rolled out: kubectl label --overwrite %s %s=%s", r.Kubectl(), keys.Approve(), annotate.DigitsOf(digest))
}

// Resource is the plural by which the API server and RBAC know the kind.
func (r Ref) Resource() string {
	switch r.Kind {
	case config.Deployment:
		return "deployments"
	case config.StatefulSet:
		return "statefulsets"
	case config.DaemonSet:
		return "daemonsets"
	case config.CronJob:
		return "cronjobs"
	}
	return ""
}

// Group is the API group of the kind.
func (r Ref) Group() string {
	if r.Kind == config.CronJob {
		return "batch"
	}
	return "apps"
}

// Object is a workload as it was read. It is never changed.
type Object struct {
	Ref
	Meta     metav1.ObjectMeta
	Pod      corev1.PodSpec
	Selector *metav1.LabelSelector // nil for a CronJob
	Paused   bool
	status   status

	reading sync.Mutex
	managed []entry                  // as far as managedFields have been read
	claimed map[string][]claim       // by the slot's key, likewise
	records map[string]decide.Writer // by label and annotation, likewise
	last    decide.Writer
}

// New takes what the API server returned for one of the four kinds.
func New(object any) (*Object, error) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return &Object{
			Ref: Ref{config.Deployment, o.Namespace, o.Name}, Meta: o.ObjectMeta, Pod: o.Spec.Template.Spec,
			Selector: o.Spec.Selector, Paused: o.Spec.Paused, status: deploymentStatus(o),
		}, nil
	case *appsv1.StatefulSet:
		return &Object{
			Ref: Ref{config.StatefulSet, o.Namespace, o.Name}, Meta: o.ObjectMeta, Pod: o.Spec.Template.Spec,
			Selector: o.Spec.Selector, status: statefulSetStatus(o),
		}, nil
	case *appsv1.DaemonSet:
		return &Object{
			Ref: Ref{config.DaemonSet, o.Namespace, o.Name}, Meta: o.ObjectMeta, Pod: o.Spec.Template.Spec,
			Selector: o.Spec.Selector, status: daemonSetStatus(o),
		}, nil
	case *batchv1.CronJob:
		return &Object{
			Ref: Ref{config.CronJob, o.Namespace, o.Name}, Meta: o.ObjectMeta, Pod: o.Spec.JobTemplate.Spec.Template.Spec,
			status: status{observed: true}, // a CronJob has no rollout: patched is rolled out
		}, nil
	}
	return nil, fmt.Errorf("%T is no workload that can be refreshed", object)
}

// Deleting says that the workload is being deleted; nil where it is not. It may stay for as long as a finalizer wants.
func (o *Object) Deleting() *failure.Error {
	if o.Meta.DeletionTimestamp == nil {
		return nil
	}
	return o.failure(failure.WorkloadMissing, "take it out of the target, or install it again; where it does not go, see its finalizers",
		"it is being deleted, since %s",
		o.Meta.DeletionTimestamp.UTC().Format(time.RFC3339))
}

// Controller names what controls the workload, such as an operator's custom resource, which may put back what it rendered;
// empty where nothing does.
func (o *Object) Controller() string {
	owner := metav1.GetControllerOfNoCopy(&o.Meta)
	if owner == nil {
		return ""
	}
	return failure.Clean(fmt.Sprintf("%s %s (%s)", owner.Kind, owner.Name, owner.APIVersion))
}

// Secrets are the names of the pull secrets that the pods name themselves, in their order.
func (o *Object) Secrets() []string {
	var names []string
	for _, secret := range o.Pod.ImagePullSecrets {
		names = append(names, secret.Name)
	}
	return names
}

// ServiceAccount is the name of the service account that the pods run as.
func (o *Object) ServiceAccount() string {
	if o.Pod.ServiceAccountName == "" {
		return "default"
	}
	return o.Pod.ServiceAccountName
}

// ComponentLabel is the label by which what the chart installs is found; its value is FieldManager.
const ComponentLabel = "app.kubernetes.io/component"

// RunsThisProgram says whether the chart has made a workload with these labels and pods. The label alone does not tell: the
// script that came before has it too (I36).
func RunsThisProgram(labels map[string]string, pod corev1.PodSpec) bool {
	return labels[ComponentLabel] == FieldManager &&
		slices.ContainsFunc(pod.Containers, func(c corev1.Container) bool { return c.Name == FieldManager })
}
