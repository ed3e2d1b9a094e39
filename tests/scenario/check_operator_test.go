package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
)

// An operator puts back what it rendered: a check names its resource before a tick fights with it.
func TestCheckNamesTheOperator(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	owner, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "store"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	refers := func(controller string) {
		s.Patch(harness.Helm, s.Deployment("jobs"), `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"store","uid":"`+string(owner.UID)+`","controller":`+controller+`}]}}`)
	}
	refers("false")
	for _, line := range check(t, s, 0).Checks {
		assert.NotEqual(t, "ownership", line.Check)
	}
	refers("true")
	line := requireCheck(t, check(t, s, 0), "ownership", "warning", "jobs")
	assert.Contains(t, line.Message, "ConfigMap store (v1)")
}
