package workloads

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// Container adds a container.
func Container(name, image string) Option {
	return Pod(func(template *corev1.PodTemplateSpec) {
		template.Spec.Containers = append(template.Spec.Containers, corev1.Container{Name: name, Image: image})
	})
}

// InitContainer adds an init container.
func InitContainer(name, image string) Option {
	return Pod(func(template *corev1.PodTemplateSpec) {
		template.Spec.InitContainers = append(template.Spec.InitContainers, corev1.Container{Name: name, Image: image})
	})
}

// Env adds an environment variable to a container that an earlier option added. Twice the same name makes a list with one
// name twice.
func Env(container, name, value string) Option {
	return variable(container, corev1.EnvVar{Name: name, Value: value})
}

// EnvFromConfigMap adds a variable that is fed from a ConfigMap.
func EnvFromConfigMap(container, name, configMap, key string) Option {
	return variable(container, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: configMap}, Key: key, Optional: ptr.To(true),
		},
	}})
}

func variable(container string, v corev1.EnvVar) Option {
	return in(container, func(c *corev1.Container) { c.Env = append(c.Env, v) })
}

// EnvFrom lets a whole ConfigMap set variables of a container.
func EnvFrom(container, configMap string) Option {
	return in(container, func(c *corev1.Container) {
		c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: configMap}, Optional: ptr.To(true),
		}})
	})
}

func in(container string, change func(*corev1.Container)) Option {
	return Pod(func(template *corev1.PodTemplateSpec) { change(find(template, container)) })
}

// Replicas sets how many pods there are.
func Replicas(n int32) Option { return func(p *parts) { p.replicas = &n } }

// Label sets a label of the workload, not of its pods.
func Label(key, value string) Option { return func(p *parts) { p.meta.Labels[key] = value } }

// Annotation sets an annotation of the workload.
func Annotation(key, value string) Option { return func(p *parts) { p.meta.Annotations[key] = value } }

// InNamespace puts the workload into a namespace other than the scenario's.
func InNamespace(namespace string) Option { return func(p *parts) { p.meta.Namespace = namespace } }

// PullSecret names a secret that the pods pull with.
func PullSecret(name string) Option {
	return Pod(func(template *corev1.PodTemplateSpec) {
		template.Spec.ImagePullSecrets = append(template.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	})
}

// Recreate stops the old pods of a Deployment before it starts new ones.
func Recreate() Option { return func(p *parts) { p.recreate = true } }

// OnDelete leaves it to somebody to delete the old pods of a StatefulSet or DaemonSet.
func OnDelete() Option { return func(p *parts) { p.onDelete = true } }

// ProgressDeadline is after how many seconds without progress a Deployment's controller reports failure.
func ProgressDeadline(seconds int32) Option { return func(p *parts) { p.progressDeadline = &seconds } }

// NodeSelector binds the pods to nodes with a label.
func NodeSelector(key, value string) Option {
	return Pod(func(template *corev1.PodTemplateSpec) { template.Spec.NodeSelector = map[string]string{key: value} })
}

// Pod changes the pod template in any other way.
func Pod(change func(*corev1.PodTemplateSpec)) Option { return func(p *parts) { change(&p.template) } }
