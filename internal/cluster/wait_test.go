package cluster

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// watches is a watch that sends one event, of a rollout that goes on, and then nothing more.
func watches(r *http.Request) (*http.Response, error) {
	body, write := io.Pipe()
	context.AfterFunc(r.Context(), func() { _ = write.CloseWithError(r.Context().Err()) })
	go func() {
		_ = json.NewEncoder(write).Encode(map[string]any{"type": "MODIFIED", "object": deployment("2", 1)})
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Request: r}, nil
}

// A rollout is followed whatever becomes of the watch: the object is read again, and not too often. An API server that does not
// answer to the end is no rollout that makes no progress.
func TestARolloutIsFollowedWithoutAWatch(t *testing.T) {
	t.Parallel()
	unsettled, settled, broken := sends(200, deployment("1", 1)), sends(200, deployment("9", 2)), refuses(500, metav1.StatusReasonInternalError)
	for name, c := range map[string]struct {
		watch answer
		reads []answer
		took  time.Duration
		most  int // requests
		cause failure.Cause
	}{
		"the watch is silent":           {hangs, []answer{settled}, watchFor, 2, failure.None},
		"it is silent after an event":   {watches, []answer{settled}, watchFor, 2, failure.None},
		"it fails at once":              {broken, []answer{unsettled, unsettled, settled}, 3 * pollEvery, 6, failure.None},
		"reading fails, too":            {broken, []answer{broken}, time.Minute, 90, failure.API},
		"reading alone fails":           {watches, []answer{broken}, time.Minute, 6, failure.None},
		"there is nothing to wait for ": {watches, nil, 0, 0, failure.None},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, s := asked(t, func(r *http.Request) (*http.Response, error) {
				if strings.Contains(r.URL.RawQuery, "watch=true") {
					return c.watch(r)
				}
				next := c.reads[0]
				c.reads = append(c.reads[1:], next)
				return next(r)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			_, err := client.Wait(ctx, read(t, deployment("1", 0)), func(o *workload.Object) bool {
				return o.Rollout(time.Time{}).Settled || c.reads == nil
			})
			assert.Equal(t, c.took, time.Since(began), name)
			assert.LessOrEqual(t, len(s.calls), c.most, "%s: %v", name, s.calls)
			cause := failure.None
			if err != nil {
				cause = failure.Of(err, failure.BadResponse).Cause
			}
			assert.Equal(t, c.cause, cause, name)
		})
	}
}
