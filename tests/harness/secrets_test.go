package harness_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// witness stands in for a test that would fail.
type witness struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }
func (w *witness) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}
func (w *witness) Failed() bool { return false }

// end takes the scenario down and returns what the test would have failed
// with.
func (w *witness) end() []string {
	for _, cleanup := range slices.Backward(w.cleanups) {
		cleanup()
	}
	return w.errors
}

// A secret is found wherever a program leaves one, without being named if it
// is an account's; and nowhere else.
func TestALeakFailsItsTest(t *testing.T) {
	t.Parallel()
	apart := environment.Apart()
	w := &witness{TB: t}
	s := apart.Scenario(w)
	s.Deploy(workloads.Deployment("x"))
	const planted = "planted-in-a-test"
	s.Secret(planted)
	s.Site.GHCR.AddAccount("puller", "planted-as-a-password")
	s.Run("get", "deployment", "x")
	s.Run("get", "deployment", planted)
	s.Run("create", "configmap", "planted-as-a-password", "--dry-run=client", "-o", "name")
	s.Run("create", "configmap", "x", "--from-literal=y="+base64.StdEncoding.EncodeToString([]byte("puller:planted-as-a-password")), "--dry-run=client", "-o", "yaml")
	s.Run("config", "set-credentials", "x", "--token", planted, "--kubeconfig", filepath.Join(s.Home, "written"))
	s.Run("label", "deployment", "x", "note="+planted)
	s.Forget()
	s.Run("annotate", "deployment", "x", "note="+planted)
	_, err := s.Client.EventsV1().Events(s.Namespace).Create(t.Context(), &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "planted"}, EventTime: metav1.NowMicro(), ReportingController: "x/y", ReportingInstance: "z",
		Action: "a", Reason: "r", Type: "Normal", Note: "it is " + planted,
		Regarding: corev1.ObjectReference{Kind: "Deployment", Namespace: s.Namespace, Name: "x"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	found := w.end()
	for _, where := range []string{
		"standard error of image-refresh get deployment " + planted,
		"standard output of image-refresh create configmap planted-as-a-password",
		"standard output of image-refresh create configmap x",
		"PATCH /apis/apps/v1/namespaces/" + s.Namespace + "/deployments/x",
		"deployments/x in " + s.Namespace,
		"events/planted in " + s.Namespace,
		filepath.Join(s.Home, "written"),
	} {
		assert.True(t, slices.ContainsFunc(found, func(leak string) bool { return strings.HasPrefix(leak, where) }), where)
	}
	assert.NotContains(t, found, "standard output of image-refresh get deployment x holds a secret")
	assert.Len(t, apart.Leaks(), 3, "and the suite fails for what was printed")
}

// What looks like a credential fails the suite, whoever's it is.
func TestWhatLooksLikeACredentialIsALeak(t *testing.T) {
	t.Parallel()
	apart := environment.Apart()
	s := apart.Scenario(t)
	for i, text := range []string{
		"Authorization: Basic dXNlcjpwYXNzd29yZA==", "bearer 0123456789abcdef", "eyJhbGciOiJFUzI1NiJ9.e30.x", "http://user:password@proxy:3128",
	} {
		s.Run("create", "configmap", "x", "--from-literal=y="+text, "--dry-run=client", "-o", "yaml")
		assert.Len(t, apart.Leaks(), i+1, text)
	}
	harness.RequireExit(t, 0, s.Run("create", "configmap", "x", "--from-literal=y=a basic question http://proxy:3128/a@b", "--dry-run=client", "-o", "yaml"))
	assert.Len(t, apart.Leaks(), 4)
}
