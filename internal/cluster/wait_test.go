package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// event sends one event of a watch.
func event(w http.ResponseWriter, kind string, object any) {
	w.Header().Set("Content-Type", "application/json")
	raw, _ := json.Marshal(object)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": json.RawMessage(raw)})
	_ = http.NewResponseController(w).Flush()
}

func expired() metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: 410,
		Reason: metav1.StatusReasonExpired, Message: "too old resource version",
	}
}

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// following answers watches and reads of stg-api. It settles at a moment; reads say so from then on.
func following(settles time.Duration, watch, get http.HandlerFunc) http.HandlerFunc {
	var began atomic.Pointer[time.Time]
	return func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		began.CompareAndSwap(nil, &now)
		switch {
		case r.URL.Query().Get("watch") == "true" || r.URL.Query().Get("watch") == "1":
			watch(w, r)
		case get != nil:
			get(w, r)
		case time.Since(*began.Load()) >= settles:
			answer(w, http.StatusOK, deployment("9", 2))
		default:
			answer(w, http.StatusOK, deployment("1", 1))
		}
	}
}

func settled(o *workload.Object) bool { return o.Rollout(time.Time{}).Settled }

func count(calls []string, part string) int {
	n := 0
	for _, call := range calls {
		if strings.Contains(call, part) {
			n++
		}
	}
	return n
}

func TestWaitSeesTheRolloutThrough(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	for name, c := range map[string]struct {
		handler     http.HandlerFunc
		least, most time.Duration
		watches     int
		reads       int
	}{
		"by one watch": {following(time.Hour, func(w http.ResponseWriter, r *http.Request) {
			for _, updated := range []int32{0, 1, 2} {
				time.Sleep(time.Second)
				event(w, "MODIFIED", deployment(string('2'+updated), updated))
			}
			silent(w, r)
		}, nil), 3 * time.Second, 3 * time.Second, 1, 0},
		"though the watch is silent": {following(time.Second, silent, nil), watchFor, watchFor + time.Second, 1, 1},
		"though the watch answers and is silent then": {following(time.Second, func(w http.ResponseWriter, r *http.Request) {
			event(w, "MODIFIED", deployment("2", 1))
			silent(w, r)
		}, nil), watchFor, watchFor + time.Second, 1, 1},
		"though the watch is forbidden": {following(5*time.Second, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 403, metav1.StatusReasonForbidden, "cannot watch")
		}, nil), 6 * time.Second, 6 * time.Second, 3, 3},
		"though the watch ends at once, again and again": {following(9*time.Second, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
		}, nil), 10 * time.Second, 10 * time.Second, 5, 5},
		"though the version is gone when watching begins": {following(time.Second, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusGone, expired())
		}, nil), 2 * time.Second, 2 * time.Second, 1, 1},
		"though the version goes while watching": {following(30*time.Second, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(40 * time.Second)
			event(w, "ERROR", expired())
		}, nil), 40 * time.Second, 40 * time.Second, 1, 1},
		"though bookmarks come": {following(time.Second, func(w http.ResponseWriter, r *http.Request) {
			bookmark := deployment("5", 0)
			bookmark.Name, bookmark.Spec.Replicas = "", new(int32)
			event(w, "BOOKMARK", bookmark)
			silent(w, r)
		}, nil), 0, watchFor + time.Second, 1, 1},
		"though the server hangs for a while": {following(0, silent, func(w http.ResponseWriter, r *http.Request) {
			if tries.Add(1) == 1 {
				silent(w, r)
				return
			}
			answer(w, http.StatusOK, deployment("9", 2))
		}), watchFor + requestTimeout, 2*watchFor + requestTimeout + time.Second, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, c.handler, func(t *testing.T, s *standIn) {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
				defer cancel()
				began := time.Now()
				object, err := s.client.Wait(ctx, read(t, "1", 0), settled)
				require.NoError(t, err)
				assert.True(t, settled(object))
				assert.Equal(t, "stg-api", object.Name)
				took(t, began, c.least, c.most)
				watches := count(s.called(), "watch=true")
				assert.Equal(t, c.watches, watches)
				assert.Equal(t, c.reads, len(s.called())-watches)
				for _, call := range s.called() {
					if strings.Contains(call, "watch=true") {
						assert.Contains(t, call, "GET /apis/apps/v1/namespaces/tracebloc/deployments?")
						assert.Contains(t, call, "fieldSelector=metadata.name%3Dstg-api", "which is all that the Role grants")
						assert.Contains(t, call, "resourceVersion=")
						continue
					}
					assert.Equal(t, "GET "+path, call)
				}
			})
		})
	}
}

// A rollout that is over needs no request.
func TestWaitAsksNothingWhereThereIsNothingToWaitFor(t *testing.T) {
	t.Parallel()
	inBubble(t, silent, func(t *testing.T, s *standIn) {
		object := read(t, "1", 2)
		got, err := s.client.Wait(context.Background(), object, settled)
		require.NoError(t, err)
		assert.Same(t, object, got)
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		got, err = s.client.Wait(ended, read(t, "1", 0), settled)
		require.NoError(t, err)
		assert.False(t, settled(got))
		assert.Empty(t, s.called())
	})
}

func TestWaitEndsInTime(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"nothing settles":          following(time.Hour, silent, nil),
		"the watch is forbidden":   following(time.Hour, status(403), nil),
		"the API server hangs":     following(time.Hour, silent, silent),
		"the watch is never begun": following(time.Hour, status(429, "Retry-After", "1000"), nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, handler, func(t *testing.T, s *standIn) {
				for _, limit := range []time.Duration{time.Second, time.Minute} {
					ctx, cancel := context.WithTimeout(context.Background(), limit)
					began := time.Now()
					object, err := s.client.Wait(ctx, read(t, "1", 0), settled)
					cancel()
					require.NoError(t, err)
					assert.False(t, settled(object))
					took(t, began, limit, limit)
				}
			})
		})
	}
}

// An API server that does not answer to the end is no rollout that makes no progress.
func TestWaitSaysThatItCouldNotRead(t *testing.T) {
	t.Parallel()
	inBubble(t, status(500), func(t *testing.T, s *standIn) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := time.Now()
		object, err := s.client.Wait(ctx, read(t, "1", 0), settled)
		require.ErrorContains(t, err, "could not get Deployment tracebloc/stg-api")
		assert.Equal(t, "1", object.Meta.ResourceVersion, "the newest that was seen")
		took(t, began, time.Minute, time.Minute)
	})
	inBubble(t, following(time.Hour, func(w http.ResponseWriter, _ *http.Request) { event(w, "ERROR", expired()) }, status(500)),
		func(t *testing.T, s *standIn) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, err := s.client.Wait(ctx, read(t, "1", 0), settled)
			require.Error(t, err, "a watch that only says that it is over shows nothing")
		})
	var watches atomic.Int32
	inBubble(t, following(time.Hour, func(w http.ResponseWriter, r *http.Request) {
		if watches.Add(1) < 3 {
			status(500)(w, r)
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		silent(w, r)
	}, status(500)), func(t *testing.T, s *standIn) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, err := s.client.Wait(ctx, read(t, "1", 0), settled)
		require.NoError(t, err, "it was watched to the end, and nothing happened")
		assert.EqualValues(t, 3, watches.Load())
	})
}

func TestWaitEndsWhereTheWorkloadIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, following(time.Hour, func(w http.ResponseWriter, r *http.Request) {
		event(w, "DELETED", deployment("5", 0))
		silent(w, r)
	}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, metav1.StatusReasonNotFound, "not found") }),
		func(t *testing.T, s *standIn) {
			began := time.Now()
			_, err := s.client.Wait(context.Background(), read(t, "1", 0), settled)
			failed, ok := errors.AsType[*failure.Error](err)
			require.True(t, ok)
			assert.Equal(t, failure.WorkloadMissing, failed.Cause)
			took(t, began, 0, pollEvery)
		})
}

// A tick that is told to end does not wait for anything.
func TestWaitEndsWithTheTick(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"while it watches": following(time.Hour, silent, nil),
		"while it pauses":  following(time.Hour, status(403), nil),
		"while it reads":   following(time.Hour, status(403), silent),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, handler, func(t *testing.T, s *standIn) {
				ctx, stop := context.WithCancel(context.Background())
				time.AfterFunc(3*time.Second+time.Millisecond, stop)
				began := time.Now()
				_, err := s.client.Wait(ctx, read(t, "1", 0), settled)
				require.NoError(t, err)
				took(t, began, 3*time.Second, 3*time.Second+time.Millisecond)
			})
		})
	}
}
