package cluster

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// What the selector matches beside the workload's own pods may be much, and come first.
func TestI84PodsAreReadPageByPageToABound(t *testing.T) {
	t.Parallel()
	page := func(next string, pods []corev1.Pod) answer {
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: pods}
		list.Continue = next
		return sends(200, list)
	}
	canary, last := page("more", one(crashes, ofOwner("ReplicaSet", "stg-api-canary-5d4c8"))), page("", one(crashes))
	for name, c := range map[string]struct {
		answers []answer
		calls   int
		found   bool
	}{
		"the third page":                {[]answer{canary, canary, last}, 3, true},
		"too many":                      {append(slices.Repeat([]answer{canary}, 20), last), 10, false},
		"a list that expires meanwhile": {[]answer{canary, refuses(410, metav1.StatusReasonExpired)}, 2, false},
	} {
		client, s := asked(t, c.answers...)
		got := client.PodProblems(t.Context(), read(t, deployment("1", 0)), []workload.PodQuery{query(newDigest, "api")})
		assert.Equal(t, []bool{c.found}, got.Evidence, name)
		assert.False(t, got.Unreadable, name)
		assert.Len(t, s.calls, c.calls, name)
	}
	client, s := asked(t)
	client.PodProblems(t.Context(), &workload.Object{Ref: workload.Ref{Kind: config.CronJob}}, nil)
	assert.Empty(t, s.calls, "the pods of a CronJob are its Jobs': an empty selector would match all there are")
}
