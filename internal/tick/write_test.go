package tick

import (
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

// What is patched: B into the slot of web, or its records alone.
const put, noted = "web app=sha256:bbbbbbbbbbbb", "web"

// Writes of others: of somebody who has nothing to do with us, of a person who holds the workload, and of another chart.
func annotated(d *appsv1.Deployment) { d.Annotations["their.own/annotation"] += "x" }
func held(d *appsv1.Deployment)      { d.Labels[keys.Hold()] = "true" }
func nginx(d *appsv1.Deployment)     { d.Spec.Template.Spec.Containers[0].Image = "nginx:1" }

// hang is a rollout whose new replica does not become available; the controller gave it up so many minutes ago.
func hang(minutes int) change {
	return func(d *appsv1.Deployment) {
		settle(d)
		d.Status.Replicas = 2
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded",
			LastUpdateTime: metav1.NewTime(now.Add(-time.Duration(minutes) * time.Minute)),
		}}
	}
}

// Every write is about what was read. Where that has changed in between, it is read and decided again, so that ticks side by
// side do together what one would have done; and a controller's report that it gave up is about the rollout before.
func TestI28I43AWriteThatMeetsAConflictIsDecidedAgain(t *testing.T) {
	t.Parallel()
	attempts := func(digest image.Digest) change { // of another tick
		mark := annotate.Of(digest)
		return all(runs(digest), remembers(annotate.Record{Mark: mark, Recorded: annotate.Of(digestA), State: annotate.State{
			Attempt: &annotate.Attempt{Digest: digest, Served: 1, Held: map[string]annotate.Content{"app": annotate.Of(digestA)}},
		}}))
	}
	recordsC := remembers(annotate.Record{Mark: annotate.Of(digestC), Recorded: annotate.Of(digestC)})
	stuck := all(hang(9), func(d *appsv1.Deployment) { d.Annotations[keys.SkipStreak()] = "7" })
	for name, c := range map[string]struct {
		is      change   // what is so of the Deployment beforehand
		before  []change // what happens before each patch
		during  []change // what happens, one after the other, while the tick waits
		want    decide.Outcome
		live    image.Digest
		patches []string
	}{
		"somebody annotates":         {nil, []change{annotated}, []change{settle}, decide.Refreshed, digestB, []string{put, put, noted}},
		"a person holds it":          {nil, []change{held}, nil, decide.Held, digestA, []string{put, noted}},
		"a person holds what failed": {nil, []change{nil, held}, []change{hang(0)}, decide.Held, digestB, []string{put, noted, noted}},
		"they have put C":            {nil, []change{all(attempts(digestC), settle)}, nil, decide.Waiting, digestC, []string{put, noted}},
		"they have recorded C":       {nil, []change{all(runs(digestC), settle, recordsC)}, nil, decide.Waiting, digestC, []string{put, noted}},
		"another image is there":     {nil, []change{nginx}, nil, decide.Failed, "", []string{put, noted}},
		"gave up before":             {stuck, nil, []change{hang(9), settle}, decide.Refreshed, digestB, []string{put, noted}},
		"gave up before their B":     {stuck, []change{attempts(digestB)}, []change{hang(9), settle}, decide.Refreshed, digestB, []string{put, noted}},
		"gave up again":              {stuck, nil, []change{hang(9), hang(0), settle}, decide.Failed, digestB, []string{put, noted}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := holding(deployment("web", c.is))
				s.before["web"], s.during["web"] = c.before, c.during
				got := ticking(t, s, digestB, following("web")).Run(t.Context(), false).Targets[0].Workloads[0]
				assert.Equal(t, c.want, got.Outcome, got.Message)
				assert.Equal(t, string(c.live), got.Live)
				assert.Equal(t, c.patches, s.patches)
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
		assert.ElementsMatch(t, []string{put, noted, "api", "api"}, s.patches)
	})
}
