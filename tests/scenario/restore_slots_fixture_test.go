package scenario_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// twin is a workload "jobs" with two slots of the target "ingestor", in its containers "api" and "side".
type twin struct {
	*harness.Scenario
	t    *testing.T
	kind string
	env  bool // the slots are variables
	// first is what both slots hold when the target is adopted; older is what a person puts into the second one.
	first, older string

	bad []string
}

// twinOf makes a workload of a kind, with slots in image mode or in env mode, and adopts it.
func twinOf(t *testing.T, kind string, env bool, options ...workloads.Option) *twin {
	t.Helper()
	w := &twin{Scenario: environment.Scenario(t), t: t, kind: kind, env: env}
	w.older, w.first = w.Push(ingestor, image("older")), w.Push(ingestor, image("first"))
	var more []string
	if env {
		more = append(more, "env: "+slot)
		options = append(options, workloads.Container("api", jobsManager), workloads.Env("api", slot, w.first),
			workloads.Container("side", jobsManager), workloads.Env("side", slot, w.first))
	} else {
		options = append(options, workloads.Container("api", ingestor+"@"+w.first), workloads.Container("side", ingestor+"@"+w.first))
	}
	w.Deploy(build(kind, "jobs", options...))
	w.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(kind, "jobs", "api", more...)+entry(kind, "jobs", "side", more...)))
	requireOutcomes(t, w.Tick(), 0, "adopted")
	return w
}

// pinned is the workload once a person has set its second slot to the older digest, and a tick has held that.
func (w *twin) pinned() *twin {
	w.t.Helper()
	if w.env {
		w.Kubectl("set", "env", w.kind+"/jobs", "-c", "side", slot+"="+w.older)
	} else {
		w.Kubectl("set", "image", w.kind+"/jobs", "side="+ingestor+"@"+w.older)
	}
	w.settle()
	requireOutcomes(w.t, w.Tick(), 0, "held")
	w.requireHeld(w.first, w.older)
	return w
}

// crashes moves the tag on to a build whose pods crash, as those of the ones before do.
func (w *twin) crashes(build string) (latest string) {
	w.t.Helper()
	latest = w.Push(ingestor, image(build))
	w.bad = append(w.bad, latest)
	breaks(w.Scenario, crash(), w.bad...)
	return latest
}

func (w *twin) settle() { w.Settle(build(w.kind, "jobs")) }

// slots are the digests in the two slots.
func (w *twin) slots() [2]string {
	w.t.Helper()
	o := look(w.Scenario, w.kind, "jobs")
	var held [2]string
	for i, container := range []string{"api", "side"} {
		if w.env {
			held[i], _ = workloads.EnvValue(o, container, slot)
			continue
		}
		reference := workloads.Image(o, container)
		assert.True(w.t, strings.HasPrefix(reference, ingestor+"@"), reference)
		held[i] = strings.TrimPrefix(reference, ingestor+"@")
	}
	return held
}

// requireHeld asserts what the slots hold, and that mark and record say so: slots that differ are together unpinned.
func (w *twin) requireHeld(api, side string) {
	w.t.Helper()
	require.Equal(w.t, [2]string{api, side}, w.slots())
	requireRecords(w.t, look(w.Scenario, w.kind, "jobs"), api, api == side)
}

// requireServing asserts that the workload settles on what its slots hold, and that every pod that is left is Ready.
func (w *twin) requireServing() {
	w.t.Helper()
	w.settle()
	w.Eventually("every pod is Ready", func() bool {
		pods := w.Kubectl("get", "pods", "-o", `jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
		return strings.Contains(pods, "True") && !strings.Contains(pods, "False")
	})
}

// requireRecords asserts mark and record of a workload: those of a digest, or unpinned.
func requireRecords(t *testing.T, o workloads.Object, digest string, pinned bool) {
	t.Helper()
	wantMark, wantRecorded := label(digest), digest
	if !pinned {
		wantMark, wantRecorded = "unpinned", "unpinned"
	}
	got, _, _ := strings.Cut(o.GetLabels()[mark], ".") // what follows names the slots
	assert.Equal(t, wantMark, got, "the mark")
	assert.Equal(t, wantRecorded, o.GetAnnotations()[recorded], "the record")
}

// requireNothingOdd asserts that the next ticks find what was restored in order: the digest that failed is rejected still,
// nothing is put anywhere, and once that is noted nothing is written.
func requireNothingOdd(t *testing.T, s *harness.Scenario) {
	t.Helper()
	for range 2 {
		s.Forget()
		result := s.Tick()
		requireOutcomes(t, result, 1, "rejected")
		assert.Equal(t, "rollout-failed", result.Report.Targets[0].Workloads[0].Cause)
		assert.Zero(t, slotPatches(s))
	}
	assert.Empty(t, s.API.Writes())
}

// requireMovesOnTogether asserts that a new digest leads out: both slots take it.
func (w *twin) requireMovesOnTogether() {
	w.t.Helper()
	good := w.Push(ingestor, image("good"))
	w.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcomes(w.t, w.Tick(), 0, "refreshed")
	w.requireHeld(good, good)
	w.requireServing()
}

// reverts is the strategic merge patch that sets both variables.
func reverts(api, side string) string {
	container := func(name, value string) string {
		return `{"name":"` + name + `","env":[{"name":"` + slot + `","value":"` + value + `"}]}`
	}
	return `{"spec":{"template":{"spec":{"containers":[` + container("api", api) + "," + container("side", side) + `]}}}}`
}
