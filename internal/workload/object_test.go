package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

func TestAnObjectIsOneOfFourKinds(t *testing.T) {
	t.Parallel()
	spec := corev1.PodSpec{ServiceAccountName: "agent", ImagePullSecrets: []corev1.LocalObjectReference{{Name: "b"}, {Name: "a"}}}
	for kind, resource := range map[config.Kind]string{
		config.Deployment: "apps/deployments", config.StatefulSet: "apps/statefulsets", config.DaemonSet: "apps/daemonsets", config.CronJob: "batch/cronjobs",
	} {
		o := object(t, kind, spec)
		assert.Equal(t, workload.Ref{Kind: kind, Namespace: "tracebloc", Name: "stg-jobs-manager"}, o.Ref)
		assert.Equal(t, string(kind)+" tracebloc/stg-jobs-manager", o.String())
		assert.Equal(t, resource, o.Group()+"/"+o.Resource())
		assert.Equal(t, "42", o.Meta.ResourceVersion)
		assert.Equal(t, []string{"b", "a"}, o.Secrets())
		assert.Equal(t, "agent", o.ServiceAccount())
		assert.False(t, o.Paused)
	}
	assert.Equal(t, "default", object(t, config.Deployment, corev1.PodSpec{}).ServiceAccount())
	assert.Nil(t, object(t, config.CronJob, spec).Selector)
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}
	paused := made(t, &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Paused: true, Selector: selector}})
	assert.True(t, paused.Paused)
	assert.Equal(t, selector, paused.Selector)
	for _, other := range []any{nil, &metav1.Status{}, &appsv1.ReplicaSet{}, appsv1.Deployment{}} {
		_, err := workload.New(other)
		assert.Error(t, err)
	}
}
