package annotate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// What another prefix or target has left is known by its shape; a mark, which has none, also by who wrote it.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	keys, mark := annotate.NewKeys("p.io"), annotate.Mark(digest("a"))
	byHand := annotate.State{Rejected: []annotate.Rejection{{Digest: annotate.Of(digest("b")), By: annotate.ByPerson}}}.String()
	byFailure := annotate.State{Rejected: []annotate.Rejection{{Digest: annotate.Of(digest("b")), By: annotate.ByFailure}}}.String()
	for name, c := range map[string]struct {
		labels, annotations map[string]string
		want                annotate.Leftovers
	}{
		"nothing": {},
		"what is read": {
			map[string]string{keys.Mark("here"): mark, keys.Hold(): "true", "app": "web"},
			map[string]string{keys.Recorded("here"): "x", keys.State("here"): byHand, keys.Failures("here"): "1", keys.LastError("here"): "x", keys.SkipStreak(): "1"},
			annotate.Leftovers{},
		},
		"counters of a target whose home it is": {annotations: map[string]string{keys.Failures("elsewhere"): "1", keys.LastError("elsewhere"): "x"}},
		"a target that is not here any more": {
			map[string]string{keys.Mark("elsewhere"): mark}, map[string]string{keys.Recorded("elsewhere"): "x"},
			annotate.Leftovers{Labels: []string{"p.io/elsewhere-digest"}, Annotations: []string{"p.io/last-refreshed-elsewhere-digest"}},
		},
		"a target that is gone": {
			map[string]string{keys.Mark("gone"): "unpinned"}, map[string]string{keys.State("gone"): byFailure, keys.Failures("gone"): "1", keys.LastError("gone"): "x"},
			annotate.Leftovers{
				Labels:      []string{"p.io/gone-digest"},
				Annotations: []string{"p.io/gone-refresh-consecutive-failures", "p.io/gone-refresh-last-error", "p.io/gone-refresh-state"},
			},
		},
		"another prefix": {
			map[string]string{"q.io/here-digest": mark, "q.io/refresh-hold": "true"}, map[string]string{"q.io/last-refreshed-here-digest": "x", "q.io/here-refresh-state": byHand},
			annotate.Leftovers{
				Labels: []string{"q.io/here-digest"}, Annotations: []string{"q.io/here-refresh-state", "q.io/last-refreshed-here-digest"},
				Holds: []string{"q.io/refresh-hold"}, ByHand: []string{"q.io/here-refresh-state"},
			},
		},
		"a hold that holds nothing anywhere": {labels: map[string]string{"q.io/refresh-hold": "false"}},
		"somebody else's":                    {map[string]string{"q.io/foreign-digest": mark, "q.io/version-digest": "v1", "q.io/x-digest": ""}, map[string]string{"q.io/state": "x", "last-refreshed": "x"}, annotate.Leftovers{}},
	} {
		is := func(name string) func(string) bool { return func(target string) bool { return target == name } }
		got := keys.Leftovers(c.labels, c.annotations, annotate.Reader{
			Carries:    is("here"),
			Configured: func(target string) bool { return target == "here" || target == "elsewhere" },
			Ours:       func(label string) bool { return label != "q.io/foreign-digest" },
		})
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, len(c.want.Labels)+len(c.want.Annotations)+len(c.want.Holds) == 0, got.Empty(), name)
	}
}
