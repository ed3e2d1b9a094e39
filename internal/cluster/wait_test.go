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
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// watches sends these objects, as a watch does, a second before each, and then nothing more.
func watches(objects ...*appsv1.Deployment) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		body, write := io.Pipe()
		context.AfterFunc(r.Context(), func() { _ = write.CloseWithError(r.Context().Err()) })
		go func() {
			for _, object := range objects {
				time.Sleep(time.Second)
				_ = json.NewEncoder(write).Encode(map[string]any{"type": "MODIFIED", "object": object})
			}
		}()
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Request: r}, nil
	}
}

// A rollout is followed whatever becomes of the watch: the object is read again, and not too often.
func TestARolloutIsFollowed(t *testing.T) {
	t.Parallel()
	type answer = func(*http.Request) (*http.Response, error)
	unsettled, settled := sends(200, deployment("1", 1)), sends(200, deployment("9", 2))
	internal := refuses(500, metav1.StatusReasonInternalError)
	for name, c := range map[string]struct {
		watch, get answer
		settles    int // the read that says so; 0: none
		took       time.Duration
		requests   int
		done       bool
		cause      failure.Cause
	}{
		"the watch is silent":         {watch: hangs, settles: 1, took: watchFor, requests: 2, done: true},
		"it is silent after an event": {watch: watches(deployment("2", 1)), settles: 1, took: watchFor, requests: 2, done: true},
		"it fails at once":            {watch: internal, settles: 3, took: 3 * pollEvery, requests: 6, done: true},
		"reading fails to the end":    {watch: internal, get: internal, took: time.Minute, requests: 90, cause: failure.API},
		"reading alone fails":         {watch: watches(), get: internal, took: time.Minute, requests: 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reads := 0
				s := &server{answer: func(r *http.Request, _ int) (*http.Response, error) {
					if strings.Contains(r.URL.RawQuery, "watch=true") {
						assert.Equal(t, "metadata.name=stg-api", r.URL.Query().Get("fieldSelector"), "which is all that the Role grants")
						return c.watch(r)
					}
					reads++
					switch {
					case c.get != nil:
						return c.get(r)
					case reads == c.settles:
						return settled(r)
					}
					return unsettled(r)
				}}
				client := s.client(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				done := func(o *workload.Object) bool { return o.Rollout(time.Time{}).Settled }
				began := time.Now()
				object, err := client.Wait(ctx, read(t, deployment("1", 0)), done)
				assert.Equal(t, c.took, time.Since(began))
				assert.LessOrEqual(t, len(s.calls), c.requests, "%v", s.calls)
				assert.Equal(t, c.done, done(object))
				cause := failure.None
				if failed := failure.Of(err, failure.None); failed != nil {
					cause = failed.Cause
				}
				assert.Equal(t, c.cause, cause, "%v", err)
			})
		})
	}
}
