package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

func TestNewTakesEachKind(t *testing.T) {
	t.Parallel()
	spec := corev1.PodSpec{
		Containers: []corev1.Container{container("api", "x")}, ServiceAccountName: "agent",
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "b"}, {Name: "a"}},
	}
	for kind, want := range map[config.Kind]struct{ resource, group string }{
		config.Deployment: {"deployments", "apps"}, config.StatefulSet: {"statefulsets", "apps"},
		config.DaemonSet: {"daemonsets", "apps"}, config.CronJob: {"cronjobs", "batch"},
	} {
		o := object(t, kind, spec)
		assert.Equal(t, workload.Ref{Kind: kind, Namespace: "tracebloc", Name: "stg-jobs-manager"}, o.Ref)
		assert.Equal(t, string(kind)+" tracebloc/stg-jobs-manager", o.String())
		assert.Equal(t, want.resource, o.Resource())
		assert.Equal(t, want.group, o.Group())
		assert.Equal(t, "42", o.Meta.ResourceVersion)
		assert.Equal(t, []string{"b", "a"}, o.Secrets())
		assert.Equal(t, "agent", o.ServiceAccount())
		assert.False(t, o.Paused)
	}
	assert.Equal(t, "default", object(t, config.Deployment, corev1.PodSpec{}).ServiceAccount())
	assert.Empty(t, workload.Ref{Kind: "Job"}.Resource())
}

func TestNewKnowsWhoPausesAndSelects(t *testing.T) {
	t.Parallel()
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}
	o, err := workload.New(&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Paused: true, Selector: selector}})
	require.NoError(t, err)
	assert.True(t, o.Paused)
	assert.Equal(t, selector, o.Selector)
	assert.Nil(t, object(t, config.CronJob, corev1.PodSpec{}).Selector)
}

func TestNewRefusesOtherObjects(t *testing.T) {
	t.Parallel()
	for _, other := range []any{nil, &metav1.Status{}, &appsv1.ReplicaSet{}, appsv1.Deployment{}} {
		_, err := workload.New(other)
		assert.Error(t, err)
	}
}
