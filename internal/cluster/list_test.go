package cluster

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
)

// A list is read a page after the other, each as large as memory allows.
func TestAListIsReadInPages(t *testing.T) {
	t.Parallel()
	page := func(name, next string) answer {
		return sends(200, batchv1.CronJobList{
			TypeMeta: metav1.TypeMeta{Kind: "CronJobList", APIVersion: "batch/v1"}, ListMeta: metav1.ListMeta{Continue: next},
			Items: []batchv1.CronJob{{ObjectMeta: metav1.ObjectMeta{Name: name}}},
		})
	}
	client, api := asked(t, page("a", "more"), page("b", ""))
	schedules, err := client.Schedules(t.Context(), "")
	require.NoError(t, err)
	var names []string
	for _, schedule := range schedules {
		names = append(names, schedule.Name)
	}
	assert.Equal(t, []string{"a", "b"}, names)
	const list = "GET /apis/batch/v1/cronjobs?"
	const query = "labelSelector=app.kubernetes.io%2Fcomponent%3Dimage-refresh&limit=1000"
	assert.Equal(t, []string{list + query, list + "continue=more&" + query}, api.calls)
}

// Of a thousand workloads, specifications and status would be most of what is read.
func TestLabelsAndAnnotationsAreReadAlone(t *testing.T) {
	t.Parallel()
	client, _ := asked(t, func(r *http.Request) (*http.Response, error) {
		assert.Contains(t, r.Header.Get("Accept"), "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
		labels := map[string]string{"tracebloc.io/refresh": "ok"}
		return sends(200, metav1.PartialObjectMetadataList{
			TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadataList", APIVersion: "meta.k8s.io/v1"},
			Items:    []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: labels}}},
		})(r)
	})
	found, err := client.Labelled(t.Context(), "shop", "")
	require.NoError(t, err)
	require.Len(t, found, len(config.Kinds()))
	assert.Equal(t, "ok", found[0].Labels["tracebloc.io/refresh"])
}

func TestASelectorThatIsNoneIsSaid(t *testing.T) {
	t.Parallel()
	client, _ := asked(t, refuses(400, metav1.StatusReasonBadRequest))
	_, err := client.Labelled(t.Context(), "shop", "a==b==c")
	require.ErrorContains(t, err, "refuses to list deployments in namespace shop")
	assert.ErrorContains(t, err, "correct the label selector")
}
