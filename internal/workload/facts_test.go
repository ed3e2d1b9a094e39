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
		container("api", ingestor), container("web", ingestor), container("proxy", "nginx:1.2"), container("bare", pinned("ghcr.io/tracebloc/ingestor")),
	))
	type bindings = []workload.Binding
	type causes = [][]failure.Cause
	const invalid, mismatch = failure.SlotInvalid, failure.SlotMismatch
	digestOnly := binding(t, "a", ingestor, "bare")
	digestOnly.Target.DigestOnly = true
	a, b := binding(t, "a", ingestor, "api"), binding(t, "b", ingestor, "web")
	for name, c := range map[string]struct {
		bindings bindings
		want     causes
		mark     string
	}{
		"one slot each":                 {bindings{a, b}, causes{{""}, {""}}, ""},
		"two slots of one":              {bindings{binding(t, "a", ingestor, "api", "web")}, causes{{"", ""}}, ""},
		"two targets, one slot":         {bindings{a, a}, causes{{invalid}, {invalid}}, ""},
		"one target, one slot, twice":   {bindings{binding(t, "a", ingestor, "api", "api")}, causes{{invalid, invalid}}, ""},
		"three, and the third is fine":  {bindings{a, binding(t, "b", ingestor, "api", "web")}, causes{{invalid}, {invalid, ""}}, ""},
		"one target follows two images": {bindings{binding(t, "a", "", "api", "proxy")}, causes{{"", mismatch}}, ""},
		"no such container":             {bindings{binding(t, "a", ingestor, "none"), b}, causes{{failure.WorkloadMissing}, {""}}, ""},
		"a digest alone":                {bindings{binding(t, "a", ingestor, "bare")}, causes{{mismatch}}, ""},
		"a digest alone with our mark":  {bindings{binding(t, "a", ingestor, "bare")}, causes{{""}}, "x"},
		"a digest alone, pin: digest":   {bindings{digestOnly}, causes{{""}}, ""},
	} {
		o.Meta.Labels = map[string]string{"mark": c.mark}
		got := make(causes, len(c.bindings))
		for at, places := range o.Locate(c.bindings) {
			for _, place := range places {
				cause := failure.None
				if place.Problem != nil {
					cause = place.Problem.Cause
				}
				got[at] = append(got[at], cause)
			}
		}
		assert.Equal(t, c.want, got, name)
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
