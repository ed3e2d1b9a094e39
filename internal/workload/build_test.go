package workload_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

func digest(c string) image.Digest { return image.Digest("sha256:" + strings.Repeat(c, 64)) }

func meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "tracebloc", Name: "stg-jobs-manager", ResourceVersion: "42", Generation: 3}
}

// object is a workload of the kind with these containers.
func object(t *testing.T, kind config.Kind, spec corev1.PodSpec) *workload.Object {
	t.Helper()
	template := corev1.PodTemplateSpec{Spec: spec}
	var of any
	switch kind {
	case config.Deployment:
		of = &appsv1.Deployment{ObjectMeta: meta(), Spec: appsv1.DeploymentSpec{Template: template}}
	case config.StatefulSet:
		of = &appsv1.StatefulSet{ObjectMeta: meta(), Spec: appsv1.StatefulSetSpec{Template: template}}
	case config.DaemonSet:
		of = &appsv1.DaemonSet{ObjectMeta: meta(), Spec: appsv1.DaemonSetSpec{Template: template}}
	case config.CronJob:
		of = &batchv1.CronJob{ObjectMeta: meta(), Spec: batchv1.CronJobSpec{
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}},
		}}
	}
	built, err := workload.New(of)
	require.NoError(t, err)
	return built
}

func container(name, image string, env ...corev1.EnvVar) corev1.Container {
	return corev1.Container{Name: name, Image: image, Env: env}
}

func variable(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }

// target follows an image; with an empty one, the container's own.
func target(t *testing.T, follows string) config.Target {
	t.Helper()
	built := config.Target{Name: "ingestor"}
	if follows != "" {
		ref, err := image.ParseReference(follows)
		require.NoError(t, err)
		built.Image = &ref
	}
	return built
}

// patch is the strategic merge patch of a change, decoded.
func patch(t *testing.T, read *workload.Object, change workload.Change) map[string]any {
	t.Helper()
	body, err := change.StrategicMerge(read)
	require.NoError(t, err)
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(body, &decoded))
	return decoded
}
