package cluster

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// What the selector matches beside the workload's own pods may be much, and come first.
func TestI84PodsAreReadPageByPageToABound(t *testing.T) {
	t.Parallel()
	queries := []workload.PodQuery{query(newDigest, "api")}
	for name, c := range map[string]struct {
		pages int // with only a canary's pods, before the workload's own
		fails bool
		calls int
		found bool
	}{
		"the third page":                {pages: 2, calls: 3, found: true},
		"too many":                      {pages: 99, calls: 10},
		"a list that expires meanwhile": {pages: 2, fails: true, calls: 2},
	} {
		s := &server{answer: func(r *http.Request, try int) (*http.Response, error) {
			list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: one(crashes)}
			if c.fails && try > 1 {
				return refuses(410, metav1.StatusReasonExpired)(r)
			}
			if try <= c.pages {
				list.Items, list.Continue = one(crashes, ofOwner("ReplicaSet", "stg-api-canary-5d4c8")), fmt.Sprint("page-", try+1)
			}
			return sends(200, list)(r)
		}}
		got := s.client(t).PodProblems(t.Context(), read(t, deployment("1", 0)), queries)
		assert.Equal(t, []bool{c.found}, got.Evidence, name)
		assert.False(t, got.Unreadable, name)
		assert.Len(t, s.calls, c.calls, name)
		assert.Equal(t, "GET /api/v1/namespaces/tracebloc/pods?labelSelector=app%3Dapi&limit=100", s.calls[0], name)
	}
	s := &server{} // the pods of a CronJob are its Jobs': an empty selector would match all there are
	got := s.client(t).PodProblems(t.Context(), &workload.Object{Ref: workload.Ref{Kind: config.CronJob}}, queries)
	assert.Equal(t, decide.PodProblems{Evidence: []bool{false}, Crashed: []bool{false}}, got)
}
