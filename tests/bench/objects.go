package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"golang.org/x/sync/errgroup"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// slot is the variable that holds the digest, in the container "app".
const slot = "IMAGE_DIGEST"

// application is a Deployment of the size that real ones have: settings, probes, resources. What a tick reads of it
// is about 6 KB of JSON, 4 KB of them managedFields.
func application(namespace, name, digest string, replicas int32, marks ...workloads.Option) *appsv1.Deployment {
	options := []workloads.Option{
		workloads.InNamespace(namespace), workloads.Replicas(replicas),
		workloads.Container("app", "registry.invalid/tracebloc/app:1"), workloads.Env("app", slot, digest),
	}
	for i := range 12 {
		options = append(options, workloads.Env("app", fmt.Sprintf("SETTING_%d", i), fmt.Sprintf("a value of usual length, number %d", i)))
	}
	options = append(options, workloads.Pod(func(pod *corev1.PodTemplateSpec) {
		app := &pod.Spec.Containers[0]
		app.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
		amounts := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}
		app.Resources = corev1.ResourceRequirements{Requests: amounts, Limits: maps.Clone(amounts)}
		app.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("http")}}}
		app.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/alive", Port: intstr.FromString("http")}}}
		app.VolumeMounts = []corev1.VolumeMount{{Name: "scratch", MountPath: "/tmp"}}
		pod.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	}))
	return workloads.Deployment(name, append(options, marks...)...)
}

// marked is what a tick leaves on a workload whose digest it has recorded for a target.
func marked(target, digest string) []workloads.Option {
	return []workloads.Option{
		workloads.Label("tracebloc.io/"+target+"-digest", digest[len("sha256:"):][:40]),
		workloads.Annotation("tracebloc.io/last-refreshed-"+target+"-digest", digest),
	}
}

// deploy creates Deployments, as Helm 3 does, and waits until they are settled.
func (w *world) deploy(ctx context.Context, objects []*appsv1.Deployment) error {
	client := w.cluster.Client().AppsV1()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, object := range objects {
		group.Go(func() error {
			_, err := client.Deployments(object.Namespace).Create(ctx, object, metav1.CreateOptions{FieldManager: "helm"})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("create workloads: %w", err)
	}
	return nil
}

// settled waits until every Deployment of a namespace is.
func (w *world) settled(ctx context.Context, namespace string) error {
	for {
		list, err := w.cluster.Client().AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list workloads: %w", err)
		}
		waiting := 0
		for i := range list.Items {
			if !workloads.Settled(&list.Items[i]) {
				waiting++
			}
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("%d workloads of %s are not settled: %w", waiting, namespace, ctx.Err())
		}
	}
}
