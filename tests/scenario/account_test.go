package scenario_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const privateConfig = `
targets:
  - name: ingestor
    image: ghcr.io/tracebloc/private:1
    workloads: [{kind: Deployment, name: jobs, container: api}]
`

// private makes a scenario with a Deployment that runs a private image, and the secret that pulls it mounted as
// the chart mounts it.
func private(t *testing.T, secret string, options ...workloads.Option) *harness.Scenario {
	t.Helper()
	s := environment.Scenario(t)
	const password = "hunter2-of-the-private-registry"
	s.Push("ghcr.io/tracebloc/private:1", registries.Index("first", "linux/amd64"))
	s.Site.GHCR.SetPrivate("tracebloc/private", true)
	s.Site.GHCR.AddAccount("puller", password, "tracebloc/private")
	mount(t, s, secret, entries{"ghcr.io": {"puller", password}})
	s.Deploy(workloads.Deployment("jobs", append([]workloads.Option{workloads.Container("api", "ghcr.io/tracebloc/private:1")}, options...)...))
	s.Configure(privateConfig)
	return s
}

// A private image is resolved with the pull secret that the workload names, or its service account does.
func TestAPrivateImageIsResolvedAsItsPodsPullIt(t *testing.T) {
	t.Parallel()
	t.Run("the workload's own secret", func(t *testing.T) {
		t.Parallel()
		s := private(t, "puller", workloads.PullSecret("puller"))
		requireOutcome(t, s.Tick(), 0, "adopted", "")
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
		assert.Empty(t, s.API.Requests(apiproxy.Read("serviceaccounts", "")), "not asked where it cannot matter")
	})
	t.Run("its service account's secret", func(t *testing.T) {
		t.Parallel()
		s := private(t, "puller")
		requireOutcome(t, s.Tick(), 0, "adopted", "")
		requireOutcome(t, s.Tick(), 0, "skipped", "unauthorized") // the account names none yet
		patch, err := json.Marshal(corev1.ServiceAccount{ImagePullSecrets: []corev1.LocalObjectReference{{Name: "puller"}}})
		require.NoError(t, err)
		s.Eventually("the service account exists", func() bool {
			_, err := s.Client.CoreV1().ServiceAccounts(s.Namespace).Patch(t.Context(), "default", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err == nil
		})
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
	})
	t.Run("a secret that is not mounted", func(t *testing.T) {
		t.Parallel()
		s := private(t, "puller", workloads.PullSecret("absent"))
		requireOutcome(t, s.Tick(), 0, "adopted", "")
		failed := requireOutcome(t, s.Tick(), 0, "skipped", "credential-missing")
		assert.Contains(t, failed.Message, "absent")
	})
}
