package cluster

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/workload"
)

// A patch that was carried out, though its answer was lost, meets a conflict with itself when it is sent again.
func TestAPatchKnowsItselfAgain(t *testing.T) {
	t.Parallel()
	ours, again := deployment("2", 2), deployment("9", 2)
	ours.Labels, again.Labels, again.UID = map[string]string{"a": "b"}, map[string]string{"a": "b"}, "created anew"
	conflict, lost := refuses(409, metav1.StatusReasonConflict), refuses(504, metav1.StatusReasonTimeout)
	for name, c := range map[string]struct {
		answers  []answer
		conflict bool
	}{
		"the answer was lost":            {[]answer{lost, conflict, sends(200, ours)}, false},
		"lost, and somebody else wrote":  {[]answer{lost, conflict, sends(200, deployment("2", 2))}, true},
		"lost, and another one is there": {[]answer{lost, conflict, sends(200, again)}, true},
		"lost, and the workload is gone": {[]answer{lost, conflict, refuses(404, metav1.StatusReasonNotFound)}, true},
		"no answer was lost":             {[]answer{conflict}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, s := asked(t, c.answers...)
			_, err := client.Patch(t.Context(), read(t, deployment("1", 2)), workload.Change{Labels: map[string]string{"a": "b"}})
			assert.Equal(t, c.conflict, IsConflict(err), "%s: %v", name, err)
			assert.Len(t, s.calls, len(c.answers), name)
		})
	}
}
