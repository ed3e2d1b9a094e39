package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// noted keeps the last request's body and kind of patch.
type noted struct {
	kind, agent string
	body        []byte
}

func (n *noted) handler(then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n.kind, n.agent = r.Header.Get("Content-Type"), r.UserAgent()
		n.body, _ = io.ReadAll(r.Body)
		then(w, r)
	}
}

func TestPatchSendsTheChangeAsItIs(t *testing.T) {
	t.Parallel()
	var sent noted
	inBubble(t, sent.handler(after(0, nil)), func(t *testing.T, s *standIn) {
		change := workload.Change{Annotations: map[string]string{"a": "b"}}
		object := read(t, "1", 2)
		got, err := s.client.Patch(context.Background(), object, change)
		require.NoError(t, err)
		assert.Equal(t, "2", got.Meta.ResourceVersion, "the object as it is now")
		want, err := change.StrategicMerge(object)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(sent.body))
		assert.Equal(t, "application/strategic-merge-patch+json", sent.kind)
		assert.Equal(t, "image-refresh/test", sent.agent)
	})
}

// A patch that was carried out, though its answer was lost, meets a conflict with itself when it is sent again.
func TestPatchKnowsItselfAgain(t *testing.T) {
	t.Parallel()
	ours := deployment("2", 2)
	ours.Labels = map[string]string{"a": "b"}
	again := deployment("9", 2)
	again.Labels, again.UID = ours.Labels, "created anew"
	for name, c := range map[string]struct {
		lost     int // answers
		now      any
		conflict bool
		calls    int
	}{
		"the answer was lost":                        {1, ours, false, 3},
		"the answer was lost, and somebody wrote it": {1, deployment("2", 2), true, 3},
		"the answer was lost, and another is there":  {1, again, true, 3},
		"the answer was lost, and it is gone":        {1, nil, true, 3},
		"no answer was lost":                         {0, ours, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patches := 0
			inBubble(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodGet && c.now == nil:
					refuse(w, 404, metav1.StatusReasonNotFound, "not found")
				case r.Method == http.MethodGet:
					answer(w, http.StatusOK, c.now)
				case patches < c.lost:
					patches++
					status(504)(w, r)
				default:
					refuse(w, 409, metav1.StatusReasonConflict, "the object has been modified")
				}
			}, func(t *testing.T, s *standIn) {
				got, err := s.client.Patch(context.Background(), read(t, "1", 2), workload.Change{Labels: map[string]string{"a": "b"}})
				assert.Equal(t, c.conflict, IsConflict(err), "%v", err)
				if !c.conflict {
					require.NoError(t, err)
					assert.Equal(t, "2", got.Meta.ResourceVersion)
				}
				assert.Len(t, s.called(), c.calls)
			})
		})
	}
}

// claimed is stg-api with its image claimed by us.
func claimed(t *testing.T) (*workload.Object, workload.Slot) {
	t.Helper()
	d := deployment("1", 2)
	d.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: workload.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}}}}}}}`),
	}}
	object, err := workload.New(d)
	require.NoError(t, err)
	follows, err := image.ParseReference("nginx:1")
	require.NoError(t, err)
	slot, problem := object.Find(config.Target{Image: &follows}, config.Workload{Container: "api"})
	require.Nil(t, problem)
	require.True(t, object.Claimed(slot))
	return object, slot
}

func TestReturnOwnershipIsAnotherKindOfPatch(t *testing.T) {
	t.Parallel()
	var sent noted
	inBubble(t, sent.handler(after(0, nil)), func(t *testing.T, s *standIn) {
		object, slot := claimed(t)
		got, err := s.client.ReturnOwnership(context.Background(), object, []workload.Slot{slot}, map[string][]string{"api": {"helm"}})
		require.NoError(t, err)
		assert.Equal(t, "2", got.Meta.ResourceVersion)
		assert.Equal(t, "application/merge-patch+json", sent.kind)
		assert.Contains(t, string(sent.body), `"manager":"helm"`)

		calls := len(s.called())
		got, err = s.client.ReturnOwnership(context.Background(), got, []workload.Slot{slot}, nil)
		require.NoError(t, err)
		assert.Equal(t, "2", got.Meta.ResourceVersion)
		assert.Len(t, s.called(), calls, "what we do not claim is not written")
	})
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, 409, metav1.StatusReasonConflict, "the object has been modified")
	}, func(t *testing.T, s *standIn) {
		object, slot := claimed(t)
		_, err := s.client.ReturnOwnership(context.Background(), object, []workload.Slot{slot}, nil)
		assert.True(t, IsConflict(err), "%v", err)
	})
}

// emitted decodes the Event that was sent.
func emitted(t *testing.T, body []byte) *eventsv1.Event {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, eventsv1.AddToScheme(scheme))
	decoded, _, err := serializer.NewCodecFactory(scheme).UniversalDeserializer().Decode(body, nil, nil)
	require.NoError(t, err)
	event, ok := decoded.(*eventsv1.Event)
	require.True(t, ok)
	return event
}

func created(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusCreated, &eventsv1.Event{TypeMeta: metav1.TypeMeta{Kind: "Event", APIVersion: "events.k8s.io/v1"}})
}

func TestEmitWritesAnEventThatTheAPIServerTakes(t *testing.T) {
	t.Parallel()
	var sent noted
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	inBubble(t, sent.handler(created), func(t *testing.T, s *standIn) {
		for reason, kind := range map[decide.Reason]string{
			decide.DigestRefreshed: "Normal", decide.DigestReapplied: "Normal", decide.RefreshHeld: "Normal",
			decide.ResolveFailing: "Warning", decide.RolloutFailed: "Warning", decide.RolledBackEvent: "Warning", decide.RefreshFrozen: "Warning",
		} {
			require.NoError(t, s.client.Emit(context.Background(), read(t, "1", 2), decide.Event{Reason: reason, Note: strings.Repeat("€", 500)}, at))
			got := emitted(t, sent.body)
			assert.Equal(t, kind, got.Type)
			assert.EqualValues(t, reason, got.Reason)
			assert.True(t, at.Equal(got.EventTime.Time))
			assert.LessOrEqual(t, len(got.Note), 1024)
			assert.True(t, utf8.ValidString(got.Note))
			assert.True(t, strings.HasSuffix(got.Note, "€…"))
			assert.Equal(t, "tracebloc", got.Namespace)
			assert.Equal(t, "stg-api", got.Regarding.Name)
			assert.Equal(t, "Deployment", got.Regarding.Kind)
			assert.Equal(t, "apps/v1", got.Regarding.APIVersion)
			assert.EqualValues(t, "u", got.Regarding.UID)
			assert.NotEmpty(t, got.Action)
			assert.NotEmpty(t, got.ReportingController)
			assert.NotEmpty(t, got.ReportingInstance)
		}
		assert.Equal(t, "POST /apis/events.k8s.io/v1/namespaces/tracebloc/events", s.called()[0])
	})
}

func TestEmitThatFailsSaysSo(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, 403, metav1.StatusReasonForbidden, "events is forbidden")
	}, func(t *testing.T, s *standIn) {
		err := s.client.Emit(context.Background(), read(t, "1", 2), decide.Event{Reason: decide.RefreshHeld}, time.Now())
		require.ErrorContains(t, err, "emitting an Event about Deployment tracebloc/stg-api")
		assert.Len(t, s.called(), 1)
	})
}

// An Event whose answer is lost is told once: the second try has the same name.
func TestEmitTellsOnce(t *testing.T) {
	t.Parallel()
	var names []string
	var sent noted
	inBubble(t, sent.handler(func(w http.ResponseWriter, r *http.Request) {
		names = append(names, emitted(t, sent.body).Name)
		if len(names) == 1 {
			status(503)(w, r)
			return
		}
		refuse(w, 409, metav1.StatusReasonAlreadyExists, "already exists")
	}), func(t *testing.T, s *standIn) {
		require.NoError(t, s.client.Emit(context.Background(), read(t, "1", 2), decide.Event{Reason: decide.RefreshHeld}, time.Now()))
		require.Len(t, names, 2)
		assert.Equal(t, names[0], names[1])
	})
}

func TestCutKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"x", "ä", "€", "🦭"} {
		for length := range 40 {
			text := strings.Repeat(character, length)
			got := cut(text, 20)
			assert.LessOrEqual(t, len(got), 20)
			assert.True(t, utf8.ValidString(got))
			if len(text) <= 20 {
				assert.Equal(t, text, got)
			}
		}
	}
}

func TestConflictIsNoOtherError(t *testing.T) {
	t.Parallel()
	assert.False(t, IsConflict(nil))
	assert.False(t, IsConflict(&failure.Error{}))
	assert.True(t, IsConflict(errors.Join(errors.New("x"), ErrConflict)))
}
