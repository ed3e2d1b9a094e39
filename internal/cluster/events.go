package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

const (
	maxNote = 1024 // how many bytes events.k8s.io/v1 takes in a note
	maxName = 253  // how many characters any object's name may have
)

// Emit writes an Event about a workload.
func (c *Client) Emit(ctx context.Context, object *workload.Object, event decide.Event, now time.Time) error {
	body := eventOf(object, event, c.runbook, now)
	err := c.do(ctx, func(ctx context.Context) error {
		return c.groups[eventsv1.GroupName].Post().Namespace(object.Namespace).Resource("events").Body(body).Do(ctx).Error()
	})
	if err != nil && !apierrors.IsAlreadyExists(err) { // the answer to the first try was lost
		return fmt.Errorf("emitting an Event about %s: %w", object.Ref, err)
	}
	return nil
}

// eventOf is an Event as the API server takes it.
func eventOf(object *workload.Object, event decide.Event, runbook failure.Runbook, now time.Time) *eventsv1.Event {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	kind := corev1.EventTypeWarning
	switch event.Reason {
	case decide.DigestRefreshed, decide.DigestReapplied, decide.RefreshHeld, decide.Recovered:
		kind = corev1.EventTypeNormal
	case decide.ResolveFailing, decide.RolloutFailed, decide.RolledBackEvent, decide.RefreshFrozen, decide.RefreshContested:
	}
	reference := runbook.Reference(event.Cause) // never cut off: the reader may have nothing else
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Name: eventName(object.Name), Namespace: object.Namespace},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "tracebloc.io/" + workload.FieldManager,
		ReportingInstance:   host,
		Action:              "Refresh",
		Reason:              string(event.Reason),
		Type:                kind,
		Note:                failure.Cut(event.Note, maxNote-len(reference)) + reference,
		Regarding: corev1.ObjectReference{
			APIVersion: object.Group() + "/v1", Kind: string(object.Kind), Namespace: object.Namespace, Name: object.Name,
			UID: object.Meta.UID, ResourceVersion: object.Meta.ResourceVersion,
		},
	}
}

// eventName is the name of a new Event, the same for each try to write it: an Event is told once, whatever
// becomes of the answer.
func eventName(object string) string {
	id := "." + strings.ToLower(rand.Text()[:16])
	return strings.TrimRight(object[:min(len(object), maxName-len(id))], "-.") + id
}
