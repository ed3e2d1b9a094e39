package tick

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
)

// acting is all that a tick may ask that rolls something.
func acting(deployments ...*appsv1.Deployment) *fakeCluster {
	return holding(deployments...).expecting("patch", "return", "wait", "emit", "pods")
}

// ran is a tick over these Deployments, of each of which B is latest.
func ran(t *testing.T, c *fakeCluster, names ...string) (result.Report, *bytes.Buffer) {
	t.Helper()
	r, log := runner(t, following(names...), c, serving(digestB, names...))
	return r.Run(t.Context(), false), log
}

// outcomeOf is what became of a target's only workload.
func outcomeOf(report result.Report, at int) result.Workload { return report.Targets[at].Workloads[0] }

// attempting is a record between a refresh to B and what comes of it.
func attempting(failed int) annotate.Record {
	return annotate.Record{Mark: annotate.Of(digestB), Recorded: annotate.Of(digestA), State: annotate.State{
		Left: annotate.Of(digestA), Attempt: &annotate.Attempt{
			Digest: digestB, Failed: failed, Served: 1, Held: map[string]annotate.Content{"app": annotate.Of(digestA)},
		},
	}}
}

// An unchanged workload is read, and that is all.
func TestRunLeavesAloneWhatIsFresh(t *testing.T) {
	t.Parallel()
	registry := serving(digestA, "web")
	r, _ := runner(t, following("web"), holding(deployment("web")), registry)
	report := r.Run(t.Context(), false)
	assert.Zero(t, report.ExitCode)
	assert.Equal(t, decide.Unchanged, outcomeOf(report, 0).Outcome)
	assert.Equal(t, []string{"resolve web[]"}, registry.asked, "and no manifest is asked for in vain")
}

// From the patch to the record.
func TestRunRefreshes(t *testing.T) {
	t.Parallel()
	c := acting(deployment("web")).during("web", hang, settle)
	report, log := ran(t, c, "web")
	assert.Zero(t, report.ExitCode)
	out := outcomeOf(report, 0)
	assert.Equal(t, decide.Refreshed, out.Outcome)
	assert.Equal(t, string(digestB), out.Live)
	assert.Equal(t, string(digestB), out.Recorded)
	assert.Equal(t, []string{
		"patch web app=sha256:bbbbbbbbbbbb", "return web map[app:[]]", "patch web", "emit web DigestRefreshed",
	}, c.calls)
	assert.Equal(t, "ghcr.io/tracebloc/web:1@"+string(digestB), c.image("web"))
	assert.Equal(t, annotate.Of(digestB), c.recordOf("web").Recorded)
	assert.Nil(t, c.recordOf("web").State.Attempt)
	assert.Contains(t, log.String(), `progress="1 of 1 updated, 1 available"`)
}

// A rollout that took the service down is undone: what the slot held comes back, and the tick waits for that, too (I39).
func TestRunRestores_I39(t *testing.T) {
	t.Parallel()
	c := acting(deployment("web")).during("web", crash).during("web", settle)
	c.pods = decide.PodProblems{Reasons: []string{"CrashLoopBackOff"}}
	report, _ := ran(t, c, "web")
	assert.Equal(t, result.ExitOperator, report.ExitCode)
	out := outcomeOf(report, 0)
	assert.Equal(t, decide.RolledBack, out.Outcome)
	assert.Contains(t, out.Message, "CrashLoopBackOff")
	assert.Equal(t, string(digestA), out.Live)
	assert.Equal(t, []string{
		"patch web app=sha256:bbbbbbbbbbbb", "return web map[app:[]]", "pods web",
		"patch web app=sha256:aaaaaaaaaaaa", "return web map[app:[]]", "emit web RolloutFailed", "emit web RolledBack",
	}, c.calls)
	_, rejected := c.recordOf("web").State.Rejection(annotate.Of(digestB))
	assert.True(t, rejected)
	assert.Empty(t, c.waits["web"], "it waited until what was restored had settled")
}

// A rollout that hangs is counted, and goes on.
func TestRunCountsAFailedAttempt_I13(t *testing.T) {
	t.Parallel()
	c := acting(deployment("web")).during("web", hang)
	report, _ := ran(t, c, "web")
	assert.Equal(t, result.ExitOperator, report.ExitCode)
	assert.Contains(t, outcomeOf(report, 0).Message, "attempt 1/3")
	assert.Equal(t, 1, c.recordOf("web").State.Attempt.Failed)

	report, _ = ran(t, c.during("web", hang), "web")
	assert.Contains(t, outcomeOf(report, 0).Message, "attempt 2/3")
	assert.Equal(t, 1, bytes.Count([]byte(c.calls[0]), []byte("app=")), "the digest is put there once")
	for _, call := range c.calls[1:] {
		assert.NotContains(t, call, "app=")
	}
}

// One workload that cannot be read, or is deleted while it rolls, holds up no other (I19).
func TestRunGoesOnWithTheOthers_I19(t *testing.T) {
	t.Parallel()
	c := acting(deployment("web"), deployment("api")).during("web", settle)
	c.meanwhile = func(kind, name string) {
		if kind == "wait" && name == "api" {
			delete(c.objects, "api")
		}
	}
	r, _ := runner(t, following("gone", "web", "api"), c, serving(digestB, "web", "api"))
	report := r.Run(t.Context(), false)
	assert.Equal(t, result.ExitOperator, report.ExitCode)
	assert.Equal(t, failure.WorkloadMissing, outcomeOf(report, 0).Cause)
	assert.Equal(t, decide.Refreshed, outcomeOf(report, 1).Outcome)
	assert.Equal(t, failure.WorkloadMissing, outcomeOf(report, 2).Cause)
	assert.Equal(t, decide.Failed, outcomeOf(report, 2).Outcome)
	assert.Equal(t, string(digestB), report.Targets[1].Digest)
	assert.Empty(t, report.Targets[0].Digest)
}

// A rollout whose replicas become available one by one is no failure when the tick's time is over (I43): the controller's
// figures of before it has seen the patch are not its figures.
func TestRunGoesOnWhereThereIsProgress_I43(t *testing.T) {
	t.Parallel()
	two := func(d *appsv1.Deployment) {
		*d.Spec.Replicas = 2
		settle(d)
	}
	half := func(d *appsv1.Deployment) {
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 3, UpdatedReplicas: 2, AvailableReplicas: 2}
	}
	c := acting(deployment("web", two)).during("web", half)
	report, _ := ran(t, c, "web")
	assert.Zero(t, report.ExitCode)
	assert.Equal(t, decide.Waiting, outcomeOf(report, 0).Outcome)
	assert.Contains(t, outcomeOf(report, 0).Message, "further replicas became available, 1/8")
	assert.Zero(t, c.recordOf("web").State.Attempt.Failed)
}

// MAX_ROLLOUTS leaves a place for one: the other notes since when it waits, and is first the next time (I57).
func TestRunKeepsToMaxRollouts_I57(t *testing.T) {
	t.Parallel()
	c := acting(deployment("web"), deployment("api")).during("web", settle).during("api", settle)
	r, _ := runner(t, following("web", "api"), c, serving(digestB, "web", "api"), "MAX_ROLLOUTS=1")
	report := r.Run(t.Context(), false)
	assert.Zero(t, report.ExitCode)
	assert.Equal(t, decide.Refreshed, outcomeOf(report, 0).Outcome)
	assert.Equal(t, decide.Waiting, outcomeOf(report, 1).Outcome)
	require.NotNil(t, c.recordOf("api").State.TurnSince)
	assert.Equal(t, now, *c.recordOf("api").State.TurnSince)

	r.Registry = serving(digestC, "web", "api")
	report = r.Run(t.Context(), false)
	assert.Equal(t, decide.Waiting, outcomeOf(report, 0).Outcome)
	assert.Equal(t, decide.Refreshed, outcomeOf(report, 1).Outcome)
	assert.Nil(t, c.recordOf("api").State.TurnSince)
}

// Slots are given back to who owned them by server-side apply: by the tick that took them, or by the next one where that
// died in between.
func TestRunReturnsOwnership(t *testing.T) {
	t.Parallel()
	owned := func(d *appsv1.Deployment) {
		d.ManagedFields = []metav1.ManagedFieldsEntry{claim("helm", metav1.ManagedFieldsOperationApply, "app")}
	}
	c := acting(deployment("web", owned)).during("web", settle)
	ran(t, c, "web")
	assert.Contains(t, c.calls, "return web map[app:[helm]]")
	assert.Equal(t, []string{"helm"}, managersOf(c.objects["web"]))
	assert.Empty(t, c.recordOf("web").State.Owners, "and then nothing is left to remember")

	died := deployment("web", runs(digestB), settle, func(d *appsv1.Deployment) {
		d.ManagedFields = []metav1.ManagedFieldsEntry{claim("image-refresh", metav1.ManagedFieldsOperationUpdate, "app")}
		record := attempting(0)
		record.State.Owners = map[string][]string{"app": {"helm"}}
		remembers("web", record)(d)
	})
	c = acting(died)
	report, _ := ran(t, c, "web")
	assert.Equal(t, decide.Unchanged, outcomeOf(report, 0).Outcome)
	assert.Equal(t, []string{"return web map[app:[helm]]", "patch web", "emit web DigestRefreshed"}, c.calls)
	assert.Equal(t, []string{"helm"}, managersOf(c.objects["web"]))
	assert.Empty(t, c.recordOf("web").State.Owners)
}

func managersOf(d *appsv1.Deployment) []string {
	var names []string
	for _, entry := range d.ManagedFields {
		names = append(names, entry.Manager)
	}
	return names
}

// Where a tick is told to end, what it has not decided is not decided, what it has not written is not written, and what it
// waits for is not counted.
func TestRunToldToEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		when    string // the first call of this kind
		message string
		calls   int
	}{
		"while it reads":  {"get", "before this was decided", 0},
		"while it waits":  {"wait", "the next one continues", 2},
		"while it writes": {"patch", "the next one continues", 2},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cluster := acting(deployment("web"))
		cluster.meanwhile = func(kind, _ string) {
			if kind == c.when {
				cancel()
			}
		}
		r, _ := runner(t, following("web"), cluster, serving(digestB, "web"))
		report := r.Run(ctx, false)
		assert.Equal(t, result.ExitOperator, report.ExitCode, name)
		assert.Equal(t, decide.Waiting, outcomeOf(report, 0).Outcome, name)
		assert.Contains(t, outcomeOf(report, 0).Message, c.message, name)
		assert.Len(t, cluster.calls, c.calls, name)
		if attempt := cluster.recordOf("web").State.Attempt; attempt != nil {
			assert.Zero(t, attempt.Failed, name)
		}
		cancel()
	}
}
