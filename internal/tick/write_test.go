package tick

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// annotated is a write of somebody who has nothing to do with us.
func annotated(d *appsv1.Deployment) { d.Annotations["their.own/annotation"] += "x" }

// puts are the calls that put something into a slot.
func (f *fakeCluster) puts() []string {
	return slices.DeleteFunc(slices.Clone(f.calls), func(call string) bool { return !strings.Contains(call, "app=") })
}

// A write is about what was read: where that has changed, it is read and decided again (I28).
func TestAConflictIsReadAndDecidedAgain_I28(t *testing.T) {
	t.Parallel()
	const put = "patch web app=sha256:bbbbbbbbbbbb"
	otherTick := func(record annotate.Record, live func(*appsv1.Deployment)) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			live(d)
			settle(d)
			remembers("web", record)(d)
		}
	}
	attempted := attempting(0)
	attempted.Mark, attempted.State.Attempt = annotate.Of(digestC), &annotate.Attempt{Digest: digestC}
	for name, c := range map[string]struct {
		meanwhile func(*appsv1.Deployment)
		outcome   decide.Outcome
		puts      []string
		live      string
		record    annotate.Record // what is remembered in the end, but for its state
	}{
		"somebody annotates": {annotated, decide.Refreshed, []string{put, put}, string(digestB), annotate.Record{Recorded: annotate.Of(digestB)}},
		"a person holds it": {func(d *appsv1.Deployment) { d.Labels["tracebloc.io/refresh-hold"] = "true" }, decide.Held,
			[]string{put}, string(digestA), annotate.Record{Recorded: annotate.Of(digestA)}},
		"another tick has put B and recorded it": {otherTick(annotate.Record{Mark: annotate.Of(digestB), Recorded: annotate.Of(digestB)}, runs(digestB)), decide.Unchanged,
			[]string{put}, string(digestB), annotate.Record{Recorded: annotate.Of(digestB)}},
		"another tick knows of C": {otherTick(attempted, runs(digestC)), decide.Waiting,
			[]string{put}, string(digestC), annotate.Record{Recorded: annotate.Of(digestA)}},
		"another tick has recorded C": {otherTick(annotate.Record{Mark: annotate.Of(digestC), Recorded: annotate.Of(digestC)}, runs(digestC)), decide.Waiting,
			[]string{put}, string(digestC), annotate.Record{Recorded: annotate.Of(digestC)}},
		"the container goes away": {func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "nginx:1" }, decide.Failed,
			[]string{put}, "", annotate.Record{Recorded: annotate.Of(digestA)}},
	} {
		synctest.Test(t, func(t *testing.T) {
			web := acting(deployment("web")).on("patch", "web", c.meanwhile).during("web", settle)
			report, _ := ran(t, web, "web")
			assert.Equal(t, c.outcome, outcomeOf(report, 0).Outcome, name)
			assert.Equal(t, c.puts, web.puts(), name)
			assert.Equal(t, c.live, outcomeOf(report, 0).Live, name)
			assert.Equal(t, c.record.Recorded, web.recordOf("web").Recorded, name)
		})
	}
}

// Two ticks at once count a failure once: the one that is later finds a count that is not the one it read (I28, I80).
func TestAConflictOverACountCountsOnce_I80(t *testing.T) {
	t.Parallel()
	const count = "tracebloc.io/web-refresh-consecutive-failures"
	otherTick := func(d *appsv1.Deployment) { d.Annotations[count] = "2" }
	for name, c := range map[string]struct {
		meanwhile func(*appsv1.Deployment)
		patches   int
	}{"another tick has counted": {otherTick, 1}, "somebody annotates": {annotated, 2}} {
		synctest.Test(t, func(t *testing.T) {
			web := acting(deployment("web", func(d *appsv1.Deployment) { d.Annotations[count] = "1" })).on("patch", "web", c.meanwhile)
			registry := serving("")
			registry.latest["web"] = decide.Latest{Failure: &failure.Error{Cause: failure.Timeout, Message: "no answer"}}
			r, _ := runner(t, following("web"), web, registry)
			report := r.Run(t.Context(), false)
			assert.Equal(t, decide.Skipped, outcomeOf(report, 0).Outcome, name)
			assert.Equal(t, 2, report.Targets[0].Failures, name)
			assert.Equal(t, "2", web.objects["web"].Annotations[count], name)
			assert.Len(t, web.calls, c.patches, name)
		})
	}
}

// A workload that somebody keeps writing to is given up for this tick.
func TestAWorkloadThatKeepsChangingFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		web := acting(deployment("web")).on("patch", "web", slices.Repeat([]func(*appsv1.Deployment){annotated}, maxConflicts)...)
		report, _ := ran(t, web, "web")
		assert.Equal(t, decide.Failed, outcomeOf(report, 0).Outcome)
		assert.Equal(t, failure.API, outcomeOf(report, 0).Cause)
		assert.Contains(t, outcomeOf(report, 0).Message, "changed 12 times")
		assert.Len(t, web.calls, maxConflicts)
	})
}

// A workload that is decided again has no place among MAX_ROLLOUTS where it had none before (I57).
func TestAConflictGivesNoTurn_I57(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := acting(deployment("web"), deployment("api")).during("web", settle).on("patch", "api", annotated)
		r, _ := runner(t, following("web", "api"), c, serving(digestB, "web", "api"), "MAX_ROLLOUTS=1")
		report := r.Run(t.Context(), false)
		assert.Equal(t, decide.Waiting, outcomeOf(report, 1).Outcome)
		assert.Equal(t, []string{"patch web app=sha256:bbbbbbbbbbbb"}, c.puts())
		assert.NotNil(t, c.recordOf("api").State.TurnSince)
	})
}

// Once told to end, a tick does not go on fighting over a workload.
func TestAConflictOnceToldToEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	web := acting(deployment("web")).on("patch", "web", annotated)
	web.meanwhile = func(kind, _ string) {
		if kind == "patch" {
			cancel()
		}
	}
	r, _ := runner(t, following("web"), web, serving(digestB, "web"))
	report := r.Run(ctx, false)
	assert.Contains(t, outcomeOf(report, 0).Message, "somebody else was writing")
	assert.Len(t, web.calls, 1)
}

// A write that is refused fails the workload, unless it only clears what is no longer true (I12).
func TestAWriteThatIsRefused_I12(t *testing.T) {
	t.Parallel()
	stale := deployment("web", func(d *appsv1.Deployment) { d.Annotations["tracebloc.io/refresh-skip-streak"] = "2" })
	for name, c := range map[string]struct {
		of      *appsv1.Deployment
		latest  decide.Latest
		outcome decide.Outcome
	}{
		"a digest":        {deployment("web"), decide.Latest{Digest: digestB}, decide.Failed},
		"what is cleared": {stale, decide.Latest{Digest: digestA}, decide.Unchanged},
	} {
		web := acting(c.of)
		web.refuses = &failure.Error{Cause: failure.API, Message: "the API server forbids it"}
		registry := serving("")
		registry.latest["web"] = c.latest
		r, log := runner(t, following("web"), web, registry)
		report := r.Run(t.Context(), false)
		assert.Equal(t, c.outcome, outcomeOf(report, 0).Outcome, name)
		assert.Contains(t, log.String()+outcomeOf(report, 0).Message, "forbids it", name)
		assert.Len(t, web.calls, 1, name)
	}
}

// What came of a wait is written where it was seen: if another tick was faster, there is nothing left to write.
func TestAConclusionThatAnotherTickHasWritten_I28(t *testing.T) {
	t.Parallel()
	recorded := remembers("web", annotate.Record{Mark: annotate.Of(digestB), Recorded: annotate.Of(digestB)})
	counted := remembers("web", attempting(1))
	for name, c := range map[string]struct {
		end       func(*appsv1.Deployment)
		meanwhile func(*appsv1.Deployment)
		outcome   decide.Outcome
		says      string
		emits     int
	}{
		"it has recorded it":    {settle, recorded, decide.Refreshed, "is rolled out", 0},
		"it has counted it":     {hang, counted, decide.Failed, "attempt 1/3", 0},
		"somebody annotates":    {settle, annotated, decide.Refreshed, "is rolled out", 1},
		"a person has taken it": {hang, func(d *appsv1.Deployment) { d.Labels["tracebloc.io/refresh-hold"] = "true" }, decide.Held, "held", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			web := acting(deployment("web")).during("web", c.end).on("patch", "web", nil, c.meanwhile)
			report, _ := ran(t, web, "web")
			assert.Equal(t, c.outcome, outcomeOf(report, 0).Outcome, name)
			assert.Contains(t, outcomeOf(report, 0).Message, c.says, name)
			assert.Len(t, web.puts(), 1, name)
			emits := slices.DeleteFunc(slices.Clone(web.calls), func(call string) bool { return !strings.HasPrefix(call, "emit") })
			assert.Len(t, emits, c.emits, "%s: %v", name, web.calls)
		})
	}
}

// Ownership that another write has got in between is returned all the same.
func TestAConflictOverOwnership(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		web := acting(deployment("web")).on("return", "web", annotated).during("web", settle)
		report, _ := ran(t, web, "web")
		assert.Equal(t, decide.Refreshed, outcomeOf(report, 0).Outcome)
		require.Equal(t, []string{
			"patch web app=sha256:bbbbbbbbbbbb", "return web map[app:[]]", "return web map[app:[]]", "patch web", "emit web DigestRefreshed",
		}, web.calls)
		assert.Empty(t, web.objects["web"].ManagedFields)
	})
}

// A controller's report that it gave up is about the rollout before, until it says more (I43).
func TestAnOldReportOfFailureIsNotAboutThisRollout(t *testing.T) {
	t.Parallel()
	gaveUp := func(minutes int) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			hang(d)
			d.Status.Conditions = []appsv1.DeploymentCondition{{
				Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded", LastUpdateTime: metav1.NewTime(now.Add(time.Duration(minutes) * time.Minute)),
			}}
		}
	}
	stuck := deployment("web", gaveUp(0), func(d *appsv1.Deployment) { d.Annotations["tracebloc.io/refresh-skip-streak"] = "7" })
	web := acting(stuck).during("web", gaveUp(0), settle)
	report, _ := ran(t, web, "web")
	assert.Equal(t, decide.Refreshed, outcomeOf(report, 0).Outcome, "the unblock attempt of what had given up")

	otherTick := func(d *appsv1.Deployment) { runs(digestB)(d); remembers("web", attempting(0))(d) }
	synctest.Test(t, func(t *testing.T) {
		web := acting(stuck).on("patch", "web", otherTick).during("web", gaveUp(0), settle)
		report, _ := ran(t, web, "web")
		assert.Equal(t, decide.Refreshed, outcomeOf(report, 0).Outcome, "the unblock attempt that another tick has put there meanwhile")
		assert.Len(t, web.puts(), 1)
	})

	web = acting(stuck).during("web", gaveUp(0), gaveUp(1), settle)
	report, _ = ran(t, web, "web")
	assert.Equal(t, decide.Failed, outcomeOf(report, 0).Outcome)
	assert.Contains(t, outcomeOf(report, 0).Message, "ProgressDeadlineExceeded")
}
