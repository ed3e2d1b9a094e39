package workloads

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

// Template returns the pod template of a workload, nil for other objects.
func Template(object Object) *corev1.PodTemplateSpec {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	}
	return nil
}

// find returns a container of a template, an empty one where there is no such container.
func find(template *corev1.PodTemplateSpec, container string) *corev1.Container {
	if template != nil {
		for _, list := range [][]corev1.Container{template.Spec.InitContainers, template.Spec.Containers} {
			for i := range list {
				if list[i].Name == container {
					return &list[i]
				}
			}
		}
	}
	return &corev1.Container{}
}

// Image returns a container's image, empty where there is no such container.
func Image(object Object, container string) string { return find(Template(object), container).Image }

// EnvValue returns the value of an environment variable, and whether the variable is there.
func EnvValue(object Object, container, name string) (value string, found bool) {
	for _, variable := range find(Template(object), container).Env {
		if variable.Name == name {
			return variable.Value, true
		}
	}
	return "", false
}

// Revision counts the rollouts of a Deployment, the first one included; its generation counts every write, and annotations too.
func Revision(d *appsv1.Deployment) int {
	n, err := strconv.Atoi(d.Annotations["deployment.kubernetes.io/revision"])
	if err != nil {
		return 0 // the controller has not looked yet
	}
	return n
}

// Settled tells whether kubectl rollout status would return at once. An annotation written to a Deployment unsettles it for a
// moment, until its controller has looked: wait with Scenario.Settle rather than ask once.
func Settled(object Object) bool {
	switch o := object.(type) {
	case *appsv1.Deployment:
		want := ptr.Deref(o.Spec.Replicas, 1)
		return o.Status.ObservedGeneration >= o.Generation && o.Status.UpdatedReplicas == want &&
			o.Status.Replicas == want && o.Status.AvailableReplicas == want
	case *appsv1.StatefulSet:
		want := ptr.Deref(o.Spec.Replicas, 1)
		return o.Status.ObservedGeneration >= o.Generation && o.Status.UpdatedReplicas == want &&
			o.Status.AvailableReplicas == want && o.Status.CurrentRevision == o.Status.UpdateRevision
	case *appsv1.DaemonSet:
		want := o.Status.DesiredNumberScheduled
		return o.Status.ObservedGeneration >= o.Generation && o.Status.UpdatedNumberScheduled == want &&
			o.Status.NumberAvailable == want
	}
	return true // anything else has no rollout
}

// EnvOwners returns who owns the value of an environment variable, as "manager/Operation", sorted.
func EnvOwners(object Object, container, name string) []string {
	return owners(object, "f:containers", key(container), "f:env", key(name), "f:value")
}

// ImageOwners returns who owns a container's image, as EnvOwners does.
func ImageOwners(object Object, container string) []string {
	return owners(object, "f:containers", key(container), "f:image")
}

func key(name string) string { return fmt.Sprintf("k:{\"name\":%q}", name) }

// owners returns who owns a field of the pod template's specification, given as managedFields writes its path.
func owners(object Object, path ...string) (found []string) {
	path = append([]string{"f:spec", "f:template", "f:spec"}, path...)
	if _, is := object.(*batchv1.CronJob); is {
		path = append([]string{"f:spec", "f:jobTemplate"}, path...)
	}
	for _, entry := range object.GetManagedFields() {
		if entry.FieldsV1 == nil || entry.Subresource != "" {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			continue // the API server writes no broken JSON
		}
		if _, owned, _ := unstructured.NestedFieldNoCopy(fields, path...); owned {
			found = append(found, fmt.Sprintf("%s/%s", entry.Manager, entry.Operation))
		}
	}
	slices.Sort(found)
	return found
}
