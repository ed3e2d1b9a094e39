package cluster

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// after answers the first so many requests by problem, and then as it should be.
func after(failing int, problem http.HandlerFunc) http.HandlerFunc {
	var count atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		if int(count.Add(1)) <= failing {
			problem(w, r)
			return
		}
		answer(w, http.StatusOK, deployment("2", 2))
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		http.Error(w, "<html>problem</html>", code)
	}
}

func broken(_ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

// What passes by itself is asked again, reads and writes alike.
func TestRequestsAreSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failing     int
		problem     http.HandlerFunc
		least, most time.Duration
	}{
		"no problem":                {0, nil, 0, 0},
		"500 twice":                 {2, status(500), 600 * time.Millisecond, time.Second},
		"502":                       {1, status(502), 200 * time.Millisecond, time.Second},
		"503 three times":           {3, status(503), 1400 * time.Millisecond, 2 * time.Second},
		"504":                       {1, status(504), 200 * time.Millisecond, time.Second},
		"429":                       {1, status(429), 200 * time.Millisecond, 2 * time.Second},
		"401, from one of several":  {1, status(401), 2 * time.Second, 3 * time.Second},
		"429 with Retry-After":      {2, status(429, "Retry-After", "4"), 8 * time.Second, 9 * time.Second},
		"503 with Retry-After":      {1, status(503, "Retry-After", "5"), 5 * time.Second, 6 * time.Second},
		"Retry-After of no seconds": {3, status(429, "Retry-After", "0"), 0, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, after(c.failing, c.problem), func(t *testing.T, s *standIn) {
				began := time.Now()
				object, err := s.client.Get(context.Background(), ref())
				require.NoError(t, err)
				assert.Equal(t, "2", object.Meta.ResourceVersion)
				assert.Len(t, s.called(), c.failing+1)
				assert.Equal(t, "GET "+path, s.called()[0])
				took(t, began, c.least, c.most)
			})
			inBubble(t, after(c.failing, c.problem), func(t *testing.T, s *standIn) {
				_, err := s.client.Patch(context.Background(), read(t, "1", 0), workload.Change{Labels: map[string]string{"a": "b"}})
				require.NoError(t, err)
				assert.Len(t, s.called(), c.failing+1)
				assert.Equal(t, "PATCH "+path+"?fieldManager=image-refresh", s.called()[0])
			})
		})
	}
}

func TestAConnectionThatBreaksIsMadeAgain(t *testing.T) {
	t.Parallel()
	var s *standIn
	handler := after(1, func(http.ResponseWriter, *http.Request) { s.drop() })
	inBubble(t, handler, func(t *testing.T, in *standIn) {
		s = in
		_, err := s.client.Patch(context.Background(), read(t, "1", 0), workload.Change{Labels: map[string]string{"a": "b"}})
		require.NoError(t, err)
		assert.Len(t, s.called(), 2)
	})
}

func TestAConnectionThatIsRefusedIsTriedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, after(0, nil), func(t *testing.T, s *standIn) {
		s.refusals = []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNREFUSED}
		_, err := s.client.Patch(context.Background(), read(t, "1", 0), workload.Change{Labels: map[string]string{"a": "b"}})
		require.NoError(t, err)
		assert.Empty(t, s.refusals)
	})
	inBubble(t, after(0, nil), func(t *testing.T, s *standIn) {
		s.refusals = []error{syscall.EHOSTUNREACH}
		_, err := s.client.Patch(context.Background(), read(t, "1", 0), workload.Change{Labels: map[string]string{"a": "b"}})
		require.ErrorContains(t, err, "could not patch Deployment tracebloc/stg-api")
	})
}

// client-go's own limit of five requests a second would take minutes over a thousand workloads.
func TestRequestsAreNotSlowedDown(t *testing.T) {
	t.Parallel()
	inBubble(t, after(0, nil), func(t *testing.T, s *standIn) {
		began := time.Now()
		for range 50 {
			_, err := s.client.Get(context.Background(), ref())
			require.NoError(t, err)
		}
		took(t, began, 0, 0)
	})
}

// However it fails, a request ends, and says what failed in words that hold no secret.
func TestRequestsEnd(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, c := range map[string]struct {
		problem http.HandlerFunc
		most    time.Duration
		calls   int
		says    string
	}{
		"500 for ever":           {status(500), 2 * time.Second, tries, "could not patch Deployment tracebloc/stg-api"},
		"429 for ever":           {status(429, "Retry-After", "3"), requestTimeout, 7, "Deployment tracebloc/stg-api"},
		"429 for an hour":        {status(429, "Retry-After", "3600"), requestTimeout, 1, "did not answer in time"},
		"401 for ever":           {status(401), 3 * time.Second, 2, "does not accept our credentials"},
		"no answer (I18)":        {hang, requestTimeout, 1, "did not answer in time, asked to patch Deployment tracebloc/stg-api"},
		"a stream that is reset": {broken, 2 * time.Second, 1, "could not patch Deployment tracebloc/stg-api"},
		"an answer that never ends": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"kind":"Deployment","apiVersion":"apps/v1",`))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, requestTimeout, 1, "Deployment tracebloc/stg-api"},
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>log in</html>"))
		}, time.Second, 1, "could not patch Deployment tracebloc/stg-api"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, c.problem, func(t *testing.T, s *standIn) {
				began := time.Now()
				_, err := s.client.Patch(context.Background(), read(t, "1", 0), workload.Change{Labels: map[string]string{"a": "b"}})
				took(t, began, 0, c.most)
				failed, ok := errors.AsType[*failure.Error](err)
				require.True(t, ok, "%v", err)
				assert.Equal(t, failure.API, failed.Cause)
				assert.Contains(t, failed.Message, c.says)
				assert.NotContains(t, failed.Error(), "MARKER")
				assert.LessOrEqual(t, len(s.called()), c.calls)
			})
		})
	}
}

func TestARequestEndsWithTheTick(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	inBubble(t, hang, func(t *testing.T, s *standIn) {
		ctx, stop := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { stop(errors.New("terminated signal received")) })
		began := time.Now()
		var all sync.WaitGroup
		for range 5 { // two are under way, three wait for a place
			all.Go(func() {
				_, err := s.client.Get(ctx, ref())
				assert.True(t, errors.Is(err, context.Canceled) && failure.Of(err, failure.None).Cause == failure.API)
				assert.ErrorContains(t, err, "the tick was told to end while it was to get Deployment tracebloc/stg-api")
			})
		}
		all.Wait()
		took(t, began, time.Second, time.Second)
		assert.Len(t, s.called(), 2)
	})
}

func TestNoMoreRequestsAreUnderWayThanAllowed(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	handler := func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(time.Second)
		now.Add(-1)
		answer(w, http.StatusOK, deployment("1", 2))
	}
	inBubble(t, handler, func(t *testing.T, s *standIn) {
		began := time.Now()
		var all sync.WaitGroup
		for range 9 {
			all.Go(func() {
				_, err := s.client.Get(context.Background(), ref())
				assert.NoError(t, err)
			})
		}
		all.Wait()
		assert.EqualValues(t, 2, most.Load())
		took(t, began, 5*time.Second, 5*time.Second)
	})
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code        int
		reason      metav1.StatusReason
		message     string
		get         failure.Cause
		getSays     string
		patchSays   string
		patchIsAPI  bool
		gotConflict bool
	}{
		"not found": {code: 404, reason: metav1.StatusReasonNotFound, message: "deployments.apps \"stg-api\" not found",
			get: failure.WorkloadMissing, getSays: "Deployment tracebloc/stg-api does not exist", patchSays: "Deployment tracebloc/stg-api is gone"},
		"forbidden (I17)": {code: 403, reason: metav1.StatusReasonForbidden, message: "deployments.apps \"stg-api\" is forbidden: User \"u\" cannot",
			get: failure.API, getSays: "forbids get on deployments stg-api in namespace tracebloc", patchSays: "forbids patch on deployments stg-api in namespace tracebloc"},
		"denied by a webhook": {code: 400, reason: metav1.StatusReasonBadRequest, message: `admission webhook "validate.example.com" denied the request: no`,
			get: failure.API, getSays: "admission webhook validate.example.com refuses", patchSays: "the admission webhook validate.example.com refuses to let us patch Deployment"},
		"denied by a webhook with 403": {code: 403, reason: metav1.StatusReasonForbidden, message: `admission webhook "validate.example.com" denied the request without explanation`,
			get: failure.API, getSays: "admission webhook validate.example.com refuses", patchSays: "which is no matter of permissions"},
		"denied by a policy": {code: 403, reason: metav1.StatusReasonForbidden, message: `deployments.apps "stg-api" is forbidden: ValidatingAdmissionPolicy 'signed-only' with binding 'b' denied request: no`,
			get: failure.API, getSays: "admission policy signed-only refuses", patchSays: "the admission policy signed-only refuses to let us patch Deployment"},
		"unauthorized": {code: 401, reason: metav1.StatusReasonUnauthorized, message: "Unauthorized",
			get: failure.API, getSays: "does not accept our credentials, asked to get Deployment tracebloc/stg-api", patchSays: "asked to patch Deployment"},
		"invalid": {code: 422, reason: metav1.StatusReasonInvalid, message: "spec.template: Invalid value\x1b[31m",
			get: failure.API, getSays: "invalid", patchSays: "finds the change to Deployment tracebloc/stg-api invalid: spec.template: Invalid value"},
		"a conflict": {code: 409, reason: metav1.StatusReasonConflict, message: "the object has been modified",
			get: failure.API, getSays: "could not get Deployment tracebloc/stg-api", gotConflict: true, patchSays: ErrConflict.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := func(w http.ResponseWriter, _ *http.Request) { refuse(w, c.code, c.reason, c.message) }
			inBubble(t, handler, func(t *testing.T, s *standIn) {
				_, err := s.client.Get(context.Background(), ref())
				failed, ok := errors.AsType[*failure.Error](err)
				require.True(t, ok)
				assert.Equal(t, c.get, failed.Cause)
				assert.Contains(t, failed.Message, c.getSays)
				assert.False(t, strings.ContainsRune(failed.Message, '\x1b'))

				_, err = s.client.Patch(context.Background(), read(t, "1", 0), workload.Change{Labels: map[string]string{"a": "b"}})
				require.ErrorContains(t, err, c.patchSays)
				assert.Equal(t, c.gotConflict, IsConflict(err))
				if !c.gotConflict {
					failed, ok = errors.AsType[*failure.Error](err)
					require.True(t, ok)
					assert.Equal(t, failure.API, failed.Cause)
				}
				calls := 2
				if c.code == http.StatusUnauthorized {
					calls = 4 // once, for an API server among several
				}
				assert.Len(t, s.called(), calls, "what does not pass by itself is not asked again")
			})
		})
	}
}

// client-go prints warnings to stderr, where nothing but our own lines is wanted.
func TestWarningsOfTheAPIServerAreLogged(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Warning", `299 - "apps/v1 is old"`)
		answer(w, http.StatusOK, deployment("1", 2))
	}, func(t *testing.T, s *standIn) {
		_, err := s.client.Get(context.Background(), ref())
		require.NoError(t, err)
		synctest.Wait()
		assert.Contains(t, s.logs.String(), `"level":"WARN","msg":"the API server warns: apps/v1 is old"`)
	})
}
