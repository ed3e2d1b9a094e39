// Package workloads makes the objects that a scenario is about, and reads from them what its assertions are about: the value of
// a slot, the number of rollouts, who owns a field.
package workloads

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is a workload, or any other object with metadata.
type Object interface {
	metav1.Object
	runtime.Object
}

// Option changes a workload while it is made. Options that a kind does not
// have (Replicas of a DaemonSet) change nothing.
type Option func(*parts)

// parts is what options may change; each kind takes what it has.
type parts struct {
	meta             metav1.ObjectMeta
	template         corev1.PodTemplateSpec
	replicas         *int32
	recreate         bool
	onDelete         bool
	progressDeadline *int32
}

const nameLabel = "app.kubernetes.io/name"

func assemble(name string, options []Option) parts {
	p := parts{
		meta:     metav1.ObjectMeta{Name: name, Labels: map[string]string{nameLabel: name}, Annotations: map[string]string{}},
		template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{nameLabel: name}}},
	}
	for _, option := range options {
		option(&p)
	}
	if len(p.template.Spec.Containers) == 0 {
		Container("app", "registry.invalid/app:1")(&p)
	}
	return p
}

func (p parts) selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{nameLabel: p.meta.Name}}
}

// Deployment makes a Deployment of one replica, with one container "app"
// where no option names another.
func Deployment(name string, options ...Option) *appsv1.Deployment {
	p := assemble(name, options)
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: p.meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: p.replicas, Selector: p.selector(), Template: p.template,
			ProgressDeadlineSeconds: p.progressDeadline,
		},
	}
	if p.recreate {
		d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	}
	return d
}

// StatefulSet makes a StatefulSet, as Deployment does.
func StatefulSet(name string, options ...Option) *appsv1.StatefulSet {
	p := assemble(name, options)
	s := &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: p.meta,
		Spec:       appsv1.StatefulSetSpec{Replicas: p.replicas, Selector: p.selector(), Template: p.template, ServiceName: name},
	}
	if p.onDelete {
		s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	}
	return s
}

// DaemonSet makes a DaemonSet, as Deployment does.
func DaemonSet(name string, options ...Option) *appsv1.DaemonSet {
	p := assemble(name, options)
	d := &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: p.meta,
		Spec:       appsv1.DaemonSetSpec{Selector: p.selector(), Template: p.template},
	}
	if p.onDelete {
		d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	}
	return d
}

// CronJob makes a CronJob that does not run by itself during a test.
func CronJob(name string, options ...Option) *batchv1.CronJob {
	p := assemble(name, options)
	p.template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: p.meta,
		Spec: batchv1.CronJobSpec{
			Schedule:    "0 0 1 1 *",
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: p.template}},
		},
	}
}
