package chart

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// decode reads a rendering as a strict API server does: an unknown field, a duplicate key, a value of another type and an
// object of a kind that the chart has no business with are errors.
func decode(t *testing.T, rendered string) (found []runtime.Object) {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(rendered)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if bytes.Contains(document, []byte("\napiVersion: monitoring.coreos.com/")) {
			continue // the API server judges it, where the examples are installed
		}
		object, _, err := decoder.Decode(document, nil, nil)
		require.NoError(t, err, "%s", document)
		switch object.(type) {
		case *corev1.ServiceAccount, *corev1.ConfigMap, *corev1.Pod, *batchv1.CronJob, *rbacv1.Role, *rbacv1.RoleBinding,
			*networkingv1.NetworkPolicy, *admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding:
			found = append(found, object)
		default:
			require.Failf(t, "unexpected object", "%T", object)
		}
	}
}

// of are the objects of a type.
func of[T runtime.Object](objects []runtime.Object) (found []T) {
	for _, object := range objects {
		if typed, is := object.(T); is {
			found = append(found, typed)
		}
	}
	return found
}

// tickOf is the pod of the only CronJob.
func tickOf(t *testing.T, objects []runtime.Object) corev1.PodSpec {
	t.Helper()
	cronJobs := of[*batchv1.CronJob](objects)
	require.Len(t, cronJobs, 1)
	spec := cronJobs[0].Spec.JobTemplate.Spec.Template.Spec
	require.Len(t, spec.Containers, 1)
	return spec
}

// workload is an entry of the program's configuration.
type workload struct{ Kind, Name, Namespace string }

// configOf is the file that the program reads, and the workloads that it names.
func configOf(t *testing.T, objects []runtime.Object) (text string, workloads []workload) {
	t.Helper()
	for _, config := range of[*corev1.ConfigMap](objects) {
		text += config.Data["config.yaml"]
	}
	var config struct {
		Targets []struct{ Workloads []workload }
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &config))
	for _, target := range config.Targets {
		workloads = append(workloads, target.Workloads...)
	}
	require.NotEmpty(t, workloads)
	return text, workloads
}
