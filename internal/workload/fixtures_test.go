package workload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

const ingestor = "ghcr.io/tracebloc/ingestor:0.3"

// The digests of the tests: A runs, and B is put there.
var digestA, digestB = digest("a"), digest("b")

func digest(letter string) image.Digest {
	return image.Digest("sha256:" + strings.Repeat(letter, 64))
}

// pinned is a reference with digest A.
func pinned(reference string) string { return reference + "@" + string(digestA) }

var keys = annotate.NewKeys("p")

func meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "tracebloc", Name: "stg-jobs-manager", ResourceVersion: "42", Generation: 3, UID: "own"}
}

// object is a workload of the kind with these containers, owned as managedFields say.
func object(t *testing.T, kind config.Kind, spec corev1.PodSpec, owners ...metav1.ManagedFieldsEntry) *workload.Object {
	t.Helper()
	template, meta := corev1.PodTemplateSpec{Spec: spec}, meta()
	meta.ManagedFields = owners
	return made(t, map[config.Kind]any{
		config.Deployment:  &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: template}},
		config.StatefulSet: &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Template: template}},
		config.DaemonSet:   &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Template: template}},
		config.CronJob: &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}},
		}},
	}[kind])
}

func made(t *testing.T, of any) *workload.Object {
	t.Helper()
	built, err := workload.New(of)
	require.NoError(t, err)
	return built
}

func container(name, image string, env ...corev1.EnvVar) corev1.Container {
	return corev1.Container{Name: name, Image: image, Env: env}
}

func env(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }

func pod(containers ...corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{Containers: containers}
}

func withInit(spec corev1.PodSpec, containers ...corev1.Container) corev1.PodSpec {
	spec.InitContainers = containers
	return spec
}

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

// find is the slot that an entry means, which must be one.
func find(t *testing.T, o *workload.Object, follows string, entry config.Workload) workload.Slot {
	t.Helper()
	slot, problem := o.Find(target(t, follows), entry)
	require.Nil(t, problem)
	return slot
}

// apply and update are entries of managedFields as the API server writes them, of this second.
func apply(manager string, second int64, fields string) metav1.ManagedFieldsEntry {
	entry := update(manager, second, fields)
	entry.Operation = metav1.ManagedFieldsOperationApply
	return entry
}

func update(manager string, second int64, fields string) metav1.ManagedFieldsEntry {
	entry := metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1("{" + fields + "}"),
	}
	if second > 0 {
		entry.Time = &metav1.Time{Time: time.Unix(second, 0)}
	}
	return entry
}

// inPod are fields of a Deployment's containers.
func inPod(containers ...string) string {
	return `"f:spec":{"f:template":{"f:spec":{"f:containers":{` + strings.Join(containers, ",") + `}}}}`
}

// The fields of managedFields for a variable of the container api, and for the container web.
func apiOwns(variable string) string {
	return `"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"DIGEST\"}":` + variable + `}}`
}

func webOwns(fields string) string { return `"k:{\"name\":\"web\"}":` + fields }
