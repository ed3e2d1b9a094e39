package tick

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
)

// A plan says what a run would do, and writes nothing.
func TestPlanWritesNothing(t *testing.T) {
	t.Parallel()
	failed := attempting(2)
	failed.Mark, failed.State = annotate.Of(digestA), failed.State.Reject(annotate.Rejection{Digest: annotate.Of(digestB), By: annotate.ByFailure, Why: "crash", At: now})
	for name, c := range map[string]struct {
		of      *appsv1.Deployment
		outcome decide.Outcome
		exit    int
	}{
		"a refresh":    {deployment("web"), decide.Pending, 0},
		"an adoption":  {deployment("web", remembers("web", annotate.Record{})), decide.Adopted, 0},
		"fresh":        {deployment("web", runs(digestB), settle, remembers("web", annotate.Record{Mark: annotate.Of(digestB), Recorded: annotate.Of(digestB)})), decide.Unchanged, 0},
		"rejected":     {deployment("web", remembers("web", failed)), decide.Rejected, result.ExitOperator},
		"our rollout":  {deployment("web", runs(digestB), hang, remembers("web", attempting(0))), decide.Waiting, 0},
		"not the slot": {deployment("web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "nginx:1" }), decide.Failed, result.ExitOperator},
	} {
		web := holding(c.of)
		r, _ := runner(t, following("web"), web, serving(digestB, "web"))
		report := r.Run(t.Context(), true)
		assert.Equal(t, "plan", report.Command, name)
		assert.Equal(t, c.outcome, outcomeOf(report, 0).Outcome, name)
		assert.Equal(t, c.exit, report.ExitCode, name)
		assert.Empty(t, web.calls, name)
	}
}

// What a report says of a target and of its slots.
func TestReportSaysWhatBecameOfEverything(t *testing.T) {
	t.Parallel()
	r, log := runner(t, following("web"), holding(deployment("web")), serving(digestB, "web"))
	report := r.Run(t.Context(), true)
	require.Len(t, report.Targets, 1)
	target := report.Targets[0]
	assert.Equal(t, "ghcr.io/tracebloc/web:1", target.Image)
	assert.Equal(t, string(digestB), target.Digest)
	assert.Equal(t, []string{"linux/amd64"}, target.Platforms)
	assert.Equal(t, 3, target.Threshold)
	slot := target.Workloads[0]
	assert.Equal(t, result.Workload{
		Kind: "Deployment", Namespace: "tracebloc", Name: "web", Container: "app", Live: string(digestA), Recorded: string(digestA),
		Outcome: decide.Pending, Message: slot.Message, Created: now,
	}, slot)
	assert.Contains(t, log.String(), "msg=decision")

	const own = `targets: [{name: own, workloads: [{kind: Deployment, name: web}]}]`
	r, _ = runner(t, own, holding(deployment("web")), serving(digestA, "web"))
	assert.Equal(t, "ghcr.io/tracebloc/web:1", r.Run(t.Context(), true).Targets[0].Image, "the container's own")
}

// A target that cannot be resolved says so in each of its workloads, and is loud from its threshold on.
func TestReportOfATargetThatIsNotResolved(t *testing.T) {
	t.Parallel()
	for stored, c := range map[string]struct {
		exit     int
		outcome  decide.Outcome
		failures int
		level    string
	}{
		"":  {0, decide.Skipped, 1, "WARN"},
		"1": {0, decide.Skipped, 2, "WARN"},
		"2": {result.ExitOperator, decide.Failed, 3, "ERROR"},
		"3": {result.ExitOperator, decide.Failed, 3, "ERROR"},
	} {
		registry := serving("")
		registry.latest["web"] = decide.Latest{Failure: &failure.Error{Cause: failure.DNS, Message: "the name does not resolve"}}
		web := acting(deployment("web", func(d *appsv1.Deployment) { d.Annotations["tracebloc.io/web-refresh-consecutive-failures"] = stored }))
		r, log := runner(t, following("web"), web, registry)
		report := r.Run(t.Context(), false)
		assert.Equal(t, c.exit, report.ExitCode, stored)
		assert.Equal(t, c.failures, report.Targets[0].Failures, stored)
		assert.Equal(t, failure.DNS, report.Targets[0].Cause, stored)
		assert.Equal(t, c.outcome, outcomeOf(report, 0).Outcome, stored)
		assert.Contains(t, log.String(), "level="+c.level+` msg="target failing"`, stored)
	}
}

// The count is that which was found when it was written: another tick may have counted, or resolved, meanwhile.
func TestReportOfACountThatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	const count = "tracebloc.io/web-refresh-consecutive-failures"
	registry := serving("")
	registry.latest["web"] = decide.Latest{Failure: &failure.Error{Cause: failure.DNS, Message: "the name does not resolve"}}
	web := acting(deployment("web", func(d *appsv1.Deployment) { d.Annotations[count] = "2" })).
		on("patch", "web", func(d *appsv1.Deployment) { delete(d.Annotations, count) })
	r, _ := runner(t, following("web"), web, registry)
	report := r.Run(t.Context(), false)
	assert.Zero(t, report.ExitCode)
	assert.Zero(t, report.Targets[0].Failures)
	assert.Equal(t, decide.Skipped, outcomeOf(report, 0).Outcome)
}

// What was not decided, or not written, before the tick was told to end is said to wait for the next one.
func TestReportOfATickThatWasToldToEnd(t *testing.T) {
	t.Parallel()
	r, _ := runner(t, following("web", "api", "gone"), holding(
		deployment("web"), deployment("api", remembers("api", annotate.Record{}))), serving(digestB, "web", "api"))
	ticking := r.tick()
	ctx, cancel := context.WithCancel(t.Context())
	read := ticking.gather(ctx)
	resolved := ticking.resolve(ctx, read)
	planned := ticking.plan(ctx, read, resolved)
	cancel()
	says := func(e ended) (outcomes []decide.Outcome, messages string) {
		report := reporter{tick: ticking}.of(ctx, e)
		assert.Equal(t, result.ExitOperator, report.ExitCode)
		for _, target := range report.Targets {
			outcomes = append(outcomes, target.Workloads[0].Outcome)
			messages += target.Workloads[0].Message + "\n"
		}
		return outcomes, messages
	}
	outcomes, messages := says(undecided(read, resolved))
	assert.Equal(t, []decide.Outcome{decide.Waiting, decide.Waiting, decide.Failed}, outcomes)
	assert.Equal(t, 2, strings.Count(messages, "before this was decided"))
	outcomes, messages = says(unwritten(planned, true))
	assert.Equal(t, []decide.Outcome{decide.Waiting, decide.Waiting, decide.Failed}, outcomes)
	assert.Equal(t, 2, strings.Count(messages, "before this was written"))
}

// Whoever finds a workload held, or a digest rejected, is told how that ends.
func TestReportSaysHowToRelease(t *testing.T) {
	t.Parallel()
	taken := annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA), State: annotate.State{
		Rejected: []annotate.Rejection{{Digest: annotate.Of(digestB), By: annotate.ByPerson, Why: "kubectl", At: now}},
	}}
	for command, of := range map[string]*appsv1.Deployment{
		"kubectl label -n tracebloc deployment web tracebloc.io/refresh-hold-":         deployment("web", func(d *appsv1.Deployment) { d.Labels["tracebloc.io/refresh-hold"] = "true" }),
		"kubectl rollout resume -n tracebloc deployment web":                           deployment("web", func(d *appsv1.Deployment) { d.Spec.Paused = true }),
		"kubectl annotate -n tracebloc deployment web tracebloc.io/web-refresh-state-": deployment("web", remembers("web", taken)),
	} {
		r, _ := runner(t, following("web"), holding(of), serving(digestB, "web"))
		report := r.Run(t.Context(), false)
		assert.Equal(t, decide.Held, outcomeOf(report, 0).Outcome)
		assert.Contains(t, outcomeOf(report, 0).Message, command)
	}
}
