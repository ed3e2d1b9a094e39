package annotate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// What another prefix or target has left is known by its shape; a mark, which has none, also by who wrote it.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	keys, mark := annotate.NewKeys("p.io"), annotate.Mark(digest("a"))
	byHand := annotate.State{Rejected: []annotate.Rejection{{Digest: annotate.Of(digest("b")), By: annotate.ByPerson}}}.String()
	byFailure := annotate.State{Rejected: []annotate.Rejection{{Digest: annotate.Of(digest("b")), By: annotate.ByFailure}}}.String()
	told := annotate.State{Told: &annotate.Told{Event: time.Unix(1, 0)}}.String()
	type values = map[string]string
	for name, c := range map[string]struct {
		labels, annotations values
		want                annotate.Leftovers
	}{
		"nothing": {},
		"what is read": {
			values{"p.io/here-digest": mark, keys.Hold(): "true", keys.Condition(): "ok", "app": "web"},
			values{"p.io/last-refreshed-here-digest": "x", keys.State("here"): byHand, keys.Failures("here"): "1", keys.SkipStreak(): "1"}, annotate.Leftovers{},
		},
		"counters of a target whose home it is": {nil, values{
			keys.Failures("elsewhere"): "1", keys.LastError("elsewhere"): "x", keys.FailingSince("elsewhere"): "x", keys.State("elsewhere"): told,
		}, annotate.Leftovers{}},
		"a target that is not here any more": {
			values{"p.io/elsewhere-digest": mark}, values{"p.io/last-refreshed-elsewhere-digest": "x", keys.Build("elsewhere"): "x", keys.Build("here"): "x"},
			annotate.Leftovers{
				Labels: []string{"p.io/elsewhere-digest"}, Annotations: []string{"p.io/last-refreshed-elsewhere-build", "p.io/last-refreshed-elsewhere-digest"},
			},
		},
		"a target that is gone": {
			values{"p.io/gone-digest": "unpinned"}, values{keys.State("gone"): byFailure, keys.Failures("gone"): "1", keys.LastError("gone"): "x"},
			annotate.Leftovers{Labels: []string{"p.io/gone-digest"}, Annotations: []string{keys.Failures("gone"), keys.LastError("gone"), keys.State("gone")}},
		},
		"another prefix": {
			values{"q.io/here-digest": mark, "q.io/refresh-hold": "true", "q.io/refresh": "failing"}, values{"q.io/last-refreshed-here-digest": "x", "q.io/here-refresh-state": byHand},
			annotate.Leftovers{
				Labels: []string{"q.io/here-digest", "q.io/refresh"}, Annotations: []string{"q.io/here-refresh-state", "q.io/last-refreshed-here-digest"},
				Holds: []string{"q.io/refresh-hold"}, ByHand: []string{"q.io/here-refresh-state"},
			},
		},
		"a hold that holds nothing anywhere": {values{"q.io/refresh-hold": "false"}, nil, annotate.Leftovers{}},
		"somebody else's": {
			values{"q.io/foreign-digest": mark, "q.io/version-digest": "v1", "q.io/x-digest": "", "q.io/refresh": "yes"}, values{"q.io/state": "x", "last-refreshed": "x"}, annotate.Leftovers{},
		},
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
