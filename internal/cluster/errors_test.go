package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// A signal ends requests that are under way and those that wait for a place, two of them at a time.
func TestRequestsEndWithTheTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, s := asked(t, hangs)
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(errors.New("terminated signal received")) })
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				_, err := client.Get(ctx, ref)
				said := strings.Contains(err.Error(), "the tick was told to end while it was to get Deployment tracebloc/stg-api")
				assert.True(t, errors.Is(err, context.Canceled) && said, "%v", err)
			})
		}
		began := time.Now()
		all.Wait()
		assert.Equal(t, time.Second, time.Since(began))
		assert.Len(t, s.calls, 2)
	})
}

// A webhook that the API server waits for takes the time of all tries: what it answered first is said.
func TestI18AnAnswerSaysMoreThanNoneInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _ := asked(t, func(r *http.Request) (*http.Response, error) {
			time.Sleep(requestTimeout / 2)
			return sends(500, metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: 500,
				Reason: metav1.StatusReasonInternalError, Message: `failed calling webhook "slow.example.com": context deadline exceeded`,
			})(r)
		}, hangs)
		_, err := client.DryRun(t.Context(), ref, workload.Change{})
		assert.ErrorContains(t, err, "cannot call the admission webhook slow.example.com")
	})
}

// What the API server answers, in the words of an operator.
func TestI17FailuresSayWhatToDo(t *testing.T) {
	t.Parallel()
	status := func(code int32, reason metav1.StatusReason, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message}}
	}
	for says, err := range map[string]error{
		"forbids patch on deployments stg-api in namespace tracebloc": status(403, metav1.StatusReasonForbidden, "is forbidden"),
		"is gone: it was deleted while the tick was running":          status(404, metav1.StatusReasonNotFound, "not found"),
		"finds the change to Deployment tracebloc/stg-api invalid: b": status(422, metav1.StatusReasonInvalid, "\x1b[31mb"),
		"the admission webhook v refuses to let us patch":             status(400, metav1.StatusReasonBadRequest, `admission webhook "v" denied the request: no`),
		"the admission webhook w refuses":                             status(403, metav1.StatusReasonForbidden, `admission webhook "w" denied the request`),
		"the admission policy signed-only refuses": status(403, metav1.StatusReasonForbidden,
			`deployments.apps "stg-api" is forbidden: ValidatingAdmissionPolicy 'signed-only' with binding 'b' denied request: no`),
		"the API server cannot call the admission webhook x, and so does not patch": status(500, metav1.StatusReasonInternalError,
			`Internal error occurred: failed calling webhook "x": failed to call webhook: Post "https://x.svc:443/": no route to host`),
	} {
		failed := failureOf("patch", ref, err)
		assert.Contains(t, failed.Message, says)
		assert.Equal(t, failure.API, failed.Cause)
		assert.NotContains(t, failed.Message, "\x1b")
	}
	assert.Equal(t, failure.WorkloadMissing, failureOf("get", ref, status(404, metav1.StatusReasonNotFound, "not found")).Cause)
	assert.False(t, IsConflict(nil))
	assert.True(t, IsConflict(errors.Join(io.EOF, ErrConflict)))
}
