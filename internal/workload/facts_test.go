package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// binding binds a target of this name to containers.
func binding(t *testing.T, name, follows string, containers ...string) workload.Binding {
	t.Helper()
	bound := workload.Binding{Target: target(t, follows), Mark: "mark"}
	bound.Target.Name = name
	for _, container := range containers {
		bound.Entries = append(bound.Entries, config.Workload{Container: container})
	}
	return bound
}

// A slot follows one target, once, and a target one image: neither of two is more right than the other. A digest without a
// tag is its owner's pin, unless we have put it there, or the target writes no tag.
func TestLocateFindsEachSlotOnce(t *testing.T) {
	t.Parallel()
	o := object(t, config.Deployment, pod(
		container("api", ingestor), container("web", ingestor), container("proxy", "nginx:1.2"), container("bare", pinned("ghcr.io/tracebloc/ingestor"))))
	digestOnly := binding(t, "a", ingestor, "bare")
	digestOnly.Target.DigestOnly = true
	a, b := binding(t, "a", ingestor, "api"), binding(t, "b", ingestor, "web")
	for name, c := range map[string]struct {
		bindings []workload.Binding
		want     [][]failure.Cause
		mark     string
	}{
		"one slot each":                 {[]workload.Binding{a, b}, [][]failure.Cause{{""}, {""}}, ""},
		"two slots of one":              {[]workload.Binding{binding(t, "a", ingestor, "api", "web")}, [][]failure.Cause{{"", ""}}, ""},
		"two targets, one slot":         {[]workload.Binding{a, a}, [][]failure.Cause{{failure.SlotInvalid}, {failure.SlotInvalid}}, ""},
		"one target, one slot, twice":   {[]workload.Binding{binding(t, "a", ingestor, "api", "api")}, [][]failure.Cause{{failure.SlotInvalid, failure.SlotInvalid}}, ""},
		"three, and the third is fine":  {[]workload.Binding{a, binding(t, "b", ingestor, "api", "web")}, [][]failure.Cause{{failure.SlotInvalid}, {failure.SlotInvalid, ""}}, ""},
		"one target follows two images": {[]workload.Binding{binding(t, "a", "", "api", "proxy")}, [][]failure.Cause{{"", failure.SlotMismatch}}, ""},
		"no such container":             {[]workload.Binding{binding(t, "a", ingestor, "none"), b}, [][]failure.Cause{{failure.WorkloadMissing}, {""}}, ""},
		"a digest alone":                {[]workload.Binding{binding(t, "a", ingestor, "bare")}, [][]failure.Cause{{failure.SlotMismatch}}, ""},
		"a digest alone with our mark":  {[]workload.Binding{binding(t, "a", ingestor, "bare")}, [][]failure.Cause{{""}}, "x"},
		"a digest alone, pin: digest":   {[]workload.Binding{digestOnly}, [][]failure.Cause{{""}}, ""},
	} {
		o.Meta.Labels = map[string]string{"mark": c.mark}
		causes := make([][]failure.Cause, len(c.bindings))
		for at, places := range o.Locate(c.bindings) {
			for _, place := range places {
				cause := failure.None
				if place.Problem != nil {
					cause = place.Problem.Cause
				}
				causes[at] = append(causes[at], cause)
			}
		}
		assert.Equal(t, c.want, causes, name)
	}
}

// What the slots of a binding hold together, and what is asked of pods about it: nothing where they differ or one is broken.
func TestContentsAreWhatTheSlotsHoldTogether(t *testing.T) {
	t.Parallel()
	holding := func(contents ...annotate.Content) []workload.Place {
		var places []workload.Place
		for _, content := range contents {
			places = append(places, workload.Place{Slot: workload.Slot{Live: content}})
		}
		return places
	}
	a, b := annotate.Of(digestA), annotate.Of(digestB)
	broken := append(holding(a), workload.Place{Slot: workload.Slot{Live: a}, Problem: &failure.Error{}})
	places := [][]workload.Place{holding(a, a), holding(a, b), holding(a, annotate.None), broken, nil}
	assert.Equal(t, []annotate.Content{a, annotate.Unpinned, annotate.None, annotate.None, annotate.None}, workload.Contents(places))
	asked := workload.PodQuery{Digest: digestA, Slots: []workload.Slot{{Live: a}, {Live: a}}}
	assert.Equal(t, []workload.PodQuery{asked, {}, {}, {}, {}}, workload.PodQueries(places))
}
