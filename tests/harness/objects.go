package harness

import (
	"cmp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Managers as they are seen in managedFields, for Create, Apply and Patch.
const (
	Helm   = "helm"
	Argo   = "argocd-controller"
	Person = "kubectl-edit"
)

// settleTimeout is for a machine that is busy with everything else; what holds is seen at once.
const settleTimeout = time.Minute

// resource finds the client for an object that says its kind, each of which has the plural that one would guess.
func (s *Scenario) resource(object workloads.Object) dynamic.ResourceInterface {
	kind := object.GetObjectKind().GroupVersionKind()
	require.NotEmpty(s.t, kind.Kind, "the object does not say its kind")
	namespace := cmp.Or(object.GetNamespace(), s.Namespace)
	return s.objects.Resource(kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")).Namespace(namespace)
}

func (s *Scenario) raw(object runtime.Object) *unstructured.Unstructured {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	require.NoError(s.t, err)
	delete(content, "status")
	return &unstructured.Unstructured{Object: content}
}

// Create makes objects as Helm 3 does: by Update, manager helm.
func (s *Scenario) Create(objects ...workloads.Object) {
	s.t.Helper()
	for _, object := range objects {
		_, err := s.resource(object).Create(s.t.Context(), s.raw(object), metav1.CreateOptions{FieldManager: Helm})
		require.NoError(s.t, err)
	}
}

// Apply makes or changes an object as a deployer does by server-side apply: Helm 4, Argo CD. It never takes a field from
// somebody else by force; the conflict is the error.
func (s *Scenario) Apply(manager string, object workloads.Object) error {
	s.t.Helper()
	options := metav1.ApplyOptions{FieldManager: manager}
	_, err := s.resource(object).Apply(s.t.Context(), object.GetName(), s.raw(object), options)
	return err
}

// Deploy creates workloads and waits until they are settled.
func (s *Scenario) Deploy(objects ...workloads.Object) {
	s.t.Helper()
	s.Create(objects...)
	s.Settle(objects...)
}

// Patch changes an object by a strategic merge patch, as manager.
func (s *Scenario) Patch(manager string, object workloads.Object, patch string) {
	s.t.Helper()
	options := metav1.PatchOptions{FieldManager: manager}
	_, err := s.resource(object).Patch(s.t.Context(), object.GetName(), types.StrategicMergePatchType, []byte(patch), options)
	require.NoError(s.t, err)
}

// Settle waits until workloads are settled.
func (s *Scenario) Settle(objects ...workloads.Object) {
	s.t.Helper()
	for _, object := range objects {
		what := object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetName()
		s.Eventually(what+" is settled", func() bool { return workloads.Settled(s.read(object)) })
	}
}

// Eventually polls until something holds; the test fails where it does not within a minute.
func (s *Scenario) Eventually(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(settleTimeout); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %s: %s", settleTimeout, what)
		}
	}
}

// read returns the object as it is in the cluster now.
func (s *Scenario) read(object workloads.Object) workloads.Object {
	s.t.Helper()
	raw, err := s.resource(object).Get(s.t.Context(), object.GetName(), metav1.GetOptions{})
	require.NoError(s.t, err)
	read, err := scheme.Scheme.New(raw.GroupVersionKind())
	require.NoError(s.t, err)
	require.NoError(s.t, runtime.DefaultUnstructuredConverter.FromUnstructured(raw.Object, read))
	return read.(workloads.Object)
}

// Deployment returns a Deployment as it is now.
func (s *Scenario) Deployment(name string) *appsv1.Deployment {
	s.t.Helper()
	return s.read(workloads.Deployment(name)).(*appsv1.Deployment)
}

// StatefulSet returns a StatefulSet as it is now.
func (s *Scenario) StatefulSet(name string) *appsv1.StatefulSet {
	s.t.Helper()
	return s.read(workloads.StatefulSet(name)).(*appsv1.StatefulSet)
}

// DaemonSet returns a DaemonSet as it is now.
func (s *Scenario) DaemonSet(name string) *appsv1.DaemonSet {
	s.t.Helper()
	return s.read(workloads.DaemonSet(name)).(*appsv1.DaemonSet)
}

// CronJob returns a CronJob as it is now.
func (s *Scenario) CronJob(name string) *batchv1.CronJob {
	s.t.Helper()
	return s.read(workloads.CronJob(name)).(*batchv1.CronJob)
}

// reasons tell the program's Events from those of the controllers.
var reasons = []string{
	"DigestRefreshed", "DigestReapplied", "ResolveFailing", "RolloutFailed", "RolledBack", "RefreshHeld", "RefreshFrozen", "RefreshContested", "Recovered",
}

// Events returns the program's Events in the namespace.
func (s *Scenario) Events() []eventsv1.Event {
	s.t.Helper()
	list, err := s.Client.EventsV1().Events(s.Namespace).List(s.t.Context(), metav1.ListOptions{})
	require.NoError(s.t, err)
	return slices.DeleteFunc(list.Items, func(event eventsv1.Event) bool { return !slices.Contains(reasons, event.Reason) })
}
