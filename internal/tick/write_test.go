package tick

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/image"
)

const (
	put    = "web app=sha256:bbbbbbbbbbbb" // the patch of a refresh
	record = "web"                         // any other
)

// annotated is a write of somebody who has nothing to do with us.
func annotated(d *appsv1.Deployment) { d.Annotations["their.own/annotation"] += "x" }

func held(d *appsv1.Deployment) { d.Labels[keys.Hold()] = "true" }

// gaveUp is a rollout that hangs, of which the controller has said so many minutes ago that it gave up.
func gaveUp(minutes int) change {
	return func(d *appsv1.Deployment) {
		hang(d)
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded",
			LastUpdateTime: metav1.NewTime(now.Add(-time.Duration(minutes) * time.Minute)),
		}}
	}
}

// Every write is about what was read. Where that has changed in between, it is read and decided again, so that ticks side by
// side do together what one would have done.
func TestI28I43I80AWriteThatMeetsAConflictIsDecidedAgain(t *testing.T) {
	t.Parallel()
	recordedAs := func(record annotate.Content) change {
		return remembers(annotate.Record{Mark: record, Recorded: record})
	}
	b, c := annotate.Of(digestB), annotate.Of(digestC)
	ofC := attempting(0)
	ofC.Mark, ofC.State.Attempt = c, &annotate.Attempt{Digest: digestC}
	stuck := all(gaveUp(9), func(d *appsv1.Deployment) { d.Annotations[keys.SkipStreak()] = "7" })
	for name, test := range map[string]struct {
		is      change   // the Deployment, in place of one that is settled
		before  []change // each patch
		during  []change // the wait
		want    decide.Outcome
		says    string
		live    image.Digest
		patches []string
		events  []string
	}{
		// The patch of the slot.
		"somebody annotates": {
			before: []change{annotated}, during: []change{settle}, want: decide.Refreshed, live: digestB,
			patches: []string{put, put, record}, events: []string{"DigestRefreshed"},
		},
		"a person holds it": {before: []change{held}, want: decide.Held, live: digestA, patches: []string{put}},
		"another tick has recorded B": {
			before: []change{all(runs(digestB), settle, recordedAs(b))}, want: decide.Unchanged, live: digestB, patches: []string{put},
		},
		"another tick knows of C": {
			before: []change{all(runs(digestC), settle, remembers(ofC))}, want: decide.Waiting, live: digestC, patches: []string{put, record},
		},
		"another tick has recorded C": {
			before: []change{all(runs(digestC), settle, recordedAs(c))}, want: decide.Waiting, live: digestC, patches: []string{put, record},
		},
		"another image is put there": {
			before: []change{func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "nginx:1" }},
			want:   decide.Failed, patches: []string{put},
		},
		"somebody never ends": {
			before: slices.Repeat([]change{annotated}, maxConflicts), want: decide.Failed, says: "changed 12 times", live: digestA,
			patches: slices.Repeat([]string{put}, maxConflicts),
		},

		// The record after the wait.
		"another tick has recorded it": {
			before: []change{nil, recordedAs(b)}, during: []change{settle}, want: decide.Refreshed, live: digestB, patches: []string{put, record},
		},
		"another tick has counted it": {
			before: []change{nil, remembers(attempting(1))}, during: []change{hang}, want: decide.Failed, says: "attempt 1/3", live: digestB,
			patches: []string{put, record},
		},
		"somebody annotates meanwhile": {
			before: []change{nil, annotated}, during: []change{settle}, want: decide.Refreshed, live: digestB,
			patches: []string{put, record, record}, events: []string{"DigestRefreshed"},
		},
		"a person takes it": {
			before: []change{nil, held}, during: []change{hang}, want: decide.Held, live: digestB, patches: []string{put, record},
		},

		// A controller's report that it gave up is about the rollout before, until it says more.
		"gave up before": {
			is: stuck, during: []change{gaveUp(9), settle}, want: decide.Refreshed, live: digestB,
			patches: []string{put, record}, events: []string{"DigestRefreshed"},
		},
		"gave up before another tick's patch": {
			is: stuck, before: []change{all(runs(digestB), remembers(attempting(0)))}, during: []change{gaveUp(9), settle},
			want: decide.Refreshed, live: digestB, patches: []string{put, record}, events: []string{"DigestRefreshed"},
		},
		"gave up again": {
			is: stuck, during: []change{gaveUp(9), gaveUp(0), settle}, want: decide.Failed, says: "ProgressDeadlineExceeded", live: digestB,
			patches: []string{put, record}, events: []string{"RolloutFailed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := holding(deployment("web", test.is))
				s.before["web"], s.during["web"] = test.before, test.during
				got := ticking(t, s, digestB, following("web")).Run(t.Context(), false).Targets[0].Workloads[0]
				assert.Equal(t, test.want, got.Outcome, got.Message)
				assert.Contains(t, got.Message.String(), test.says)
				assert.Equal(t, string(test.live), got.Live)
				assert.Equal(t, test.patches, s.patches)
				assert.Equal(t, test.events, s.events)
			})
		})
	}
}

// A workload that is decided again has no place among MAX_ROLLOUTS where it had none before.
func TestI57AConflictGivesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := holding(deployment("web"), deployment("api"))
		s.before["api"], s.during["web"] = []change{annotated}, []change{settle}
		report := ticking(t, s, digestB, following("web", "api"), "MAX_ROLLOUTS=1").Run(t.Context(), false)
		assert.Equal(t, decide.Waiting, report.Targets[1].Workloads[0].Outcome)
		assert.ElementsMatch(t, []string{put, record, "api", "api"}, s.patches)
		assert.NotNil(t, s.record("api").State.TurnSince)
	})
}
