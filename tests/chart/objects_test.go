package chart

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// objects are what a rendering holds, by type.
type objects struct {
	accounts []*corev1.ServiceAccount
	configs  []*corev1.ConfigMap
	roles    []*rbacv1.Role
	bindings []*rbacv1.RoleBinding
	cronJobs []*batchv1.CronJob
	pods     []*corev1.Pod
	networks []*networkingv1.NetworkPolicy
	policies []*admissionv1.ValidatingAdmissionPolicy
	confines []*admissionv1.ValidatingAdmissionPolicyBinding
	others   []*unstructured.Unstructured // of kinds that no API server knows by itself
}

// decode reads a rendering as a strict API server does: an unknown field, a duplicate key, a value of another
// type and an object of a kind that the chart has no business with are errors.
func decode(t *testing.T, rendered string) objects {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, rbacv1.AddToScheme, batchv1.AddToScheme, networkingv1.AddToScheme, admissionv1.AddToScheme,
	} {
		require.NoError(t, add(scheme))
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	documents := utilyaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(rendered)))
	defer func() { require.NoError(t, documents.Close()) }()
	var found objects
	for {
		buffer := make([]byte, 1<<20)
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if strings.TrimSpace(string(buffer[:n])) == "" {
			continue
		}
		object, kind, err := decoder.Decode(buffer[:n], nil, nil)
		if err != nil && kind != nil && kind.Group == "monitoring.coreos.com" {
			object = &unstructured.Unstructured{}
			err = yaml.UnmarshalStrict(buffer[:n], &object.(*unstructured.Unstructured).Object)
		}
		require.NoError(t, err, "%s", buffer[:n])
		switch object := object.(type) {
		case *corev1.ServiceAccount:
			found.accounts = append(found.accounts, object)
		case *corev1.ConfigMap:
			found.configs = append(found.configs, object)
		case *rbacv1.Role:
			found.roles = append(found.roles, object)
		case *rbacv1.RoleBinding:
			found.bindings = append(found.bindings, object)
		case *batchv1.CronJob:
			found.cronJobs = append(found.cronJobs, object)
		case *corev1.Pod:
			found.pods = append(found.pods, object)
		case *networkingv1.NetworkPolicy:
			found.networks = append(found.networks, object)
		case *admissionv1.ValidatingAdmissionPolicy:
			found.policies = append(found.policies, object)
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			found.confines = append(found.confines, object)
		case *unstructured.Unstructured:
			found.others = append(found.others, object)
		default:
			require.Failf(t, "unexpected object", "%T", object)
		}
	}
}

// configOf is the file that the program reads.
func configOf(t *testing.T, found objects) string {
	t.Helper()
	for _, config := range found.configs {
		if text, is := config.Data["config.yaml"]; is {
			return text
		}
	}
	require.Fail(t, "no ConfigMap holds the program's configuration")
	return ""
}

// configuration is as much of the program's file as these tests need.
type configuration struct {
	Targets []struct {
		Workloads []struct{ Kind, Name, Namespace string }
	}
}

func TestEveryExampleRendersObjectsThatTheAPIKnows(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		for _, file := range ciFiles(t) {
			t.Run(filepath.Base(file), func(t *testing.T) {
				found := decode(t, h.mustTemplate(t, chartDir, "--values", file))
				require.Len(t, found.accounts, 1)
				require.NotEmpty(t, found.configs)
				require.Len(t, found.cronJobs, 1)
				require.Len(t, found.pods, 1)
				pod := found.cronJobs[0].Spec.JobTemplate.Spec.Template.Spec
				assertNoUserID(t, pod)
				assertChecksAsItRuns(t, found.pods[0], pod)
				assertGrantsByName(t, found)
				assertGrantsWhatIsNeeded(t, found)
			})
		}
	})
}

// assertChecksAsItRuns: what helm test finds is true of a tick, because its pod is that of a tick but for the command.
func assertChecksAsItRuns(t *testing.T, check *corev1.Pod, tick corev1.PodSpec) {
	t.Helper()
	assert.Equal(t, "test", check.Annotations["helm.sh/hook"])
	assert.Equal(t, []string{"check", "-o", "table"}, check.Spec.Containers[0].Args)
	assert.NotNil(t, check.Spec.ActiveDeadlineSeconds)
	spec := *check.Spec.DeepCopy()
	spec.ActiveDeadlineSeconds = nil
	spec.Containers[0].Args = []string{"run"}
	assert.Equal(t, tick, spec)
}

// assertNoUserID: OpenShift assigns a range of user ids to a namespace, and refuses all others.
func assertNoUserID(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	assert.Nil(t, pod.SecurityContext.RunAsUser)
	assert.Nil(t, pod.SecurityContext.RunAsGroup)
	assert.Nil(t, pod.SecurityContext.FSGroup)
	for _, container := range pod.Containers {
		assert.Nil(t, container.SecurityContext.RunAsUser)
		assert.Nil(t, container.SecurityContext.RunAsGroup)
	}
}

// assertGrantsByName: a rule names its objects, or is one of two that cannot.
func assertGrantsByName(t *testing.T, found objects) {
	t.Helper()
	for _, role := range found.roles {
		for _, rule := range role.Rules {
			unnamed := len(rule.ResourceNames) == 0
			switch {
			case slices.Equal(rule.Resources, []string{"events"}):
				assert.Equal(t, []string{"events.k8s.io"}, rule.APIGroups)
				assert.Equal(t, []string{"create"}, rule.Verbs)
			case slices.Equal(rule.Resources, []string{"pods"}):
				assert.Equal(t, []string{"list"}, rule.Verbs)
			case slices.Equal(rule.Resources, []string{"serviceaccounts"}):
				assert.False(t, unnamed, "%s/%s: %v", role.Namespace, role.Name, rule)
				assert.Equal(t, []string{"get"}, rule.Verbs)
			default:
				assert.False(t, unnamed, "%s/%s: %v", role.Namespace, role.Name, rule)
				assert.Subset(t, []string{"deployments", "statefulsets", "daemonsets", "cronjobs"}, rule.Resources)
				assert.Equal(t, []string{"get", "list", "watch", "patch"}, rule.Verbs)
			}
		}
	}
}

// assertGrantsWhatIsNeeded: each workload of the configuration that the pod reads is named, in a Role that is
// bound to the account that the pod runs as.
func assertGrantsWhatIsNeeded(t *testing.T, found objects) {
	t.Helper()
	var config configuration
	require.NoError(t, yaml.Unmarshal([]byte(configOf(t, found)), &config))
	require.NotEmpty(t, config.Targets)
	account := found.cronJobs[0].Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName
	resources := map[string][2]string{
		"Deployment": {"apps", "deployments"}, "StatefulSet": {"apps", "statefulsets"},
		"DaemonSet": {"apps", "daemonsets"}, "CronJob": {"batch", "cronjobs"},
	}
	for _, target := range config.Targets {
		for _, workload := range target.Workloads {
			if workload.Namespace == "" {
				workload.Namespace = namespace
			}
			assert.True(t, slices.ContainsFunc(found.bindings, func(binding *rbacv1.RoleBinding) bool {
				subject := rbacv1.Subject{Kind: "ServiceAccount", Name: account, Namespace: namespace}
				return binding.Namespace == workload.Namespace && slices.Contains(binding.Subjects, subject) &&
					slices.ContainsFunc(found.roles, func(role *rbacv1.Role) bool {
						return role.Namespace == binding.Namespace && role.Name == binding.RoleRef.Name &&
							slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
								want := resources[workload.Kind]
								return slices.Contains(rule.APIGroups, want[0]) && slices.Contains(rule.Resources, want[1]) &&
									slices.Contains(rule.ResourceNames, workload.Name)
							})
					})
			}), "%v is granted to nobody", workload)
		}
	}
}
