package scenario_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// house is a target on several Deployments, whose tag is gone from the registry.
type house struct {
	*harness.Scenario
	t      *testing.T
	digest string
}

func houseOf(t *testing.T, names ...string) *house {
	t.Helper()
	h := &house{Scenario: environment.Scenario(t), t: t}
	h.digest = h.Push(ingestor, image("first"))
	for _, name := range names {
		h.deploy(name)
	}
	h.order(names...)
	requireOutcomes(t, h.Tick(), 0, "adopted")
	require.NoError(t, h.Site.Delete(ingestor))
	return h
}

func (h *house) deploy(name string) {
	h.t.Helper()
	h.Deploy(workloads.Deployment(name, workloads.Container("main", ingestor+"@"+h.digest)))
}

// order is the order in which the configuration has the target's workloads.
func (h *house) order(names ...string) {
	h.t.Helper()
	entries := ""
	for _, name := range names {
		entries += entry("Deployment", name, "")
	}
	h.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
}

func (h *house) remove(name string) {
	h.t.Helper()
	require.NoError(h.t, h.Client.AppsV1().Deployments(h.Namespace).Delete(h.t.Context(), name, metav1.DeleteOptions{}))
}

// tick runs a tick, which has so many failures, noted on this workload and on no other.
func (h *house) tick(exit, count int, home string, others ...string) {
	h.t.Helper()
	result := h.Tick()
	harness.RequireExit(h.t, exit, result)
	assert.Equal(h.t, count, result.Report.Target("ingestor").Failures)
	annotations := h.Deployment(home).Annotations
	assert.Equal(h.t, strconv.Itoa(count), annotations[failures], home)
	if count == 3 {
		assert.Contains(h.t, annotations[lastError], "not-found: ", home)
	}
	for _, name := range others {
		assert.NotContains(h.t, h.Deployment(name).Annotations, failures, name)
		assert.NotContains(h.t, h.Deployment(name).Annotations, lastError, name)
	}
}

// A target's counters stand on the first of its workloads that exists. They move with it, and none stays behind: where the
// order of the configuration has changed, where a workload was added in front, where the first one is gone and comes back.
func TestTheCountersMoveWithTheFirstWorkload(t *testing.T) {
	t.Parallel()
	t.Run("another order", func(t *testing.T) {
		t.Parallel()
		h := houseOf(t, "one", "two")
		h.tick(0, 1, "one", "two")
		h.tick(0, 2, "one", "two")
		h.order("two", "one")
		h.tick(1, 3, "two", "one")
		h.order("one", "two")
		h.tick(1, 3, "one", "two")
		require.NoError(t, h.Site.Tag(ingestor, h.digest))
		harness.RequireExit(t, 0, h.Tick())
		for _, name := range []string{"one", "two"} {
			assert.NotContains(t, h.Deployment(name).Annotations, failures)
			assert.NotContains(t, h.Deployment(name).Annotations, lastError)
		}
	})
	t.Run("one in front", func(t *testing.T) {
		t.Parallel()
		h := houseOf(t, "one", "two")
		h.tick(0, 1, "one", "two")
		h.deploy("zero")
		h.order("zero", "one", "two")
		h.tick(0, 2, "zero", "one", "two")
		h.tick(1, 3, "zero", "one", "two")
	})
	t.Run("the first is gone, and comes back", func(t *testing.T) {
		t.Parallel()
		h := houseOf(t, "one", "two", "three")
		h.remove("one")
		h.tick(1, 1, "two", "three") // exit 1: it does not exist
		h.tick(1, 2, "two", "three")
		h.tick(1, 3, "two", "three")
		h.order("two", "three")
		h.tick(1, 3, "two", "three")
		h.deploy("one")
		h.order("one", "two", "three")
		h.tick(1, 3, "one", "two", "three")
	})
	t.Run("the first takes leave, and is still there", func(t *testing.T) {
		t.Parallel()
		h := houseOf(t, "one", "two")
		h.tick(0, 1, "one", "two")
		h.Patch(harness.Helm, h.Deployment("one"), `{"metadata":{"finalizers":["example.com/wait"]}}`)
		h.remove("one")
		h.tick(1, 2, "two")
		h.tick(1, 3, "two")
		h.Patch(harness.Helm, h.Deployment("one"), `{"metadata":{"finalizers":null}}`)
	})
}

// A target at its threshold is exit 1, whatever row its workloads are in, unless a person holds all of them.
func TestATargetAtItsThresholdIsLoudUnlessAllIsHeld(t *testing.T) {
	t.Parallel()
	h := houseOf(t, "one", "two")
	h.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
	h.tick(1, 1, "one", "two")
	h.Kubectl("label", "deployment/one", "tracebloc.io/refresh-hold=true")
	h.tick(1, 1, "one", "two")
	h.Kubectl("label", "deployment/two", "tracebloc.io/refresh-hold=true")
	h.tick(0, 1, "one", "two")
	h.Kubectl("label", "deployment/one", "tracebloc.io/refresh-hold-")
	h.tick(1, 1, "one", "two")
	h.order("two", "one")
	h.Kubectl("label", "deployment/one", "tracebloc.io/refresh-hold=true")
	h.tick(0, 1, "two", "one")
}
