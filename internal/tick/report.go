package tick

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/version"
)

// report says what became of everything, in the configuration's order, and logs a line for each decision.
func (t *tick) report(ctx context.Context) result.Report {
	ctx = context.WithoutCancel(ctx)
	command := "run"
	if t.plan {
		command = "plan"
	}
	report := result.New(version.Version(), command, t.Started)
	for _, j := range t.jobs {
		if j.object != nil {
			t.locate(j)
		}
	}
	loud := t.ended
	for _, own := range t.targets {
		out := t.reportTarget(own)
		loud = loud || isLoud(own, out)
		t.logTarget(ctx, out)
		report.Targets = append(report.Targets, out)
	}
	if t.plan {
		report.Wanted = t.wanted()
	}
	if loud {
		report.ExitCode = result.ExitOperator
	}
	return t.finish(report)
}

// finish takes the time.
func (t *tick) finish(report result.Report) result.Report {
	report.DurationSeconds = t.Now().Sub(t.Started).Seconds()
	return report
}

// isLoud says whether an operator must look because of a target: one of its workloads says so, or it could
// not be resolved for too long and not every workload is held by a person anyway.
func isLoud(own *target, out result.Target) bool {
	allHeld := true
	for _, w := range out.Workloads {
		if w.Outcome.Loud() {
			return true
		}
		allHeld = allHeld && w.Outcome == decide.Held
	}
	return !allHeld && own.written >= own.ResolveFailureThreshold
}

func (t *tick) reportTarget(own *target) result.Target {
	out := result.Target{
		Name: own.Name, Digest: string(own.digest), Failures: own.written, Threshold: own.ResolveFailureThreshold,
		Workloads: []result.Workload{},
	}
	if own.Image != nil {
		out.Image = own.Image.Spelled + ":" + own.Image.Tag
	}
	if own.failure != nil {
		out.Cause, out.Message = own.failure.Cause, own.failure.Advice()
	}
	reported := map[*member]int{}
	for _, entry := range own.Workloads {
		m := own.memberOf(entry, t.Namespace)
		if out.Image == "" && len(m.slots) > 0 && m.problems[0] == nil {
			out.Image = m.slots[0].Follows.String()
		}
		out.Workloads = append(out.Workloads, t.reportEntry(m, entry, reported[m]))
		reported[m]++
		if t.plan && len(out.Platforms) == 0 {
			for _, platform := range t.gates.known(m.via, own.digest).Platforms {
				out.Platforms = append(out.Platforms, platform.String())
			}
		}
	}
	return out
}

func (own *target) memberOf(entry config.Workload, namespace string) *member {
	if entry.Namespace == "" {
		entry.Namespace = namespace
	}
	for _, m := range own.members {
		if m.job.ref.Kind == entry.Kind && m.job.ref.Name == entry.Name && m.job.ref.Namespace == entry.Namespace {
			return m
		}
	}
	return nil
}

func (t *tick) reportEntry(m *member, entry config.Workload, at int) result.Workload {
	j := m.job
	out := result.Workload{
		Kind: string(j.ref.Kind), Namespace: j.ref.Namespace, Name: j.ref.Name, Container: entry.Container, Env: entry.Env,
	}
	failure := m.decision.Failure
	out.Outcome, out.Message = m.decision.Outcome, m.decision.Message
	switch {
	case j.failure != nil:
		out.Outcome, failure = decide.Failed, j.failure
	case t.ended && out.Outcome == "":
		out.Outcome, out.Message = decide.Waiting, "the tick was told to end before this was decided: the next one decides"
	case t.plan && m.decision.Set != "" && !out.Outcome.Loud():
		out.Outcome = decide.Pending
	case t.ended && !t.acted && (m.decision.Set != "" || out.Outcome == decide.Adopted):
		out.Outcome, out.Message = decide.Waiting, "the tick was told to end before this was written: the next one does it"
	}
	message := out.Message
	if failure != nil {
		out.Cause, message = failure.Cause, failure.Message
	}
	out.Message = message + t.release(m, out.Outcome) + fault.Reference(out.Cause)
	if j.object == nil || at >= len(m.slots) {
		return out
	}
	if m.problems[at] == nil {
		out.Container, out.Live = m.slots[at].Container, string(m.slots[at].Live)
		out.Created = t.gates.known(m.via, m.slots[at].Live.Digest()).Created
	}
	if record := t.recordOf(m); record.Recorded.Digest() != "" || record.Recorded == annotate.Unpinned {
		out.Recorded = string(record.Recorded)
	}
	return out
}

// release is the command that ends what a person, or a rejection, has decided; empty for any other outcome.
func (t *tick) release(m *member, outcome decide.Outcome) string {
	ref := m.job.ref
	on := fmt.Sprintf("-n %s %s %s", ref.Namespace, strings.ToLower(string(ref.Kind)), ref.Name)
	switch {
	case outcome != decide.Held && outcome != decide.Rejected:
		return ""
	case outcome == decide.Held && m.input.Workload.Held:
		return fmt.Sprintf("; to release it: kubectl label %s %s-", on, t.keys.Hold())
	case outcome == decide.Held && m.input.Workload.Paused:
		return fmt.Sprintf("; to release it: kubectl rollout resume %s", on)
	default:
		return fmt.Sprintf("; to have this digest tried again: kubectl annotate %s %s-", on, t.keys.State(m.target.Name))
	}
}

// logTarget logs a line for the target where it cannot be resolved, and one for each workload. Their keys are
// documented (docs/logs.md): messages stay the same, and what varies is a key's value.
func (t *tick) logTarget(ctx context.Context, out result.Target) {
	if out.Cause != fault.None {
		level := slog.LevelWarn
		if out.Failures >= out.Threshold {
			level = slog.LevelError
		}
		t.Log.Log(ctx, level, "target failing", "target", out.Name, "image", out.Image, "cause", string(out.Cause),
			"failures", out.Failures, "threshold", out.Threshold, "count", fmt.Sprintf("%d/%d", out.Failures, out.Threshold), "message", out.Message)
	}
	for _, w := range out.Workloads {
		level := slog.LevelInfo
		if w.Outcome.Loud() {
			level = slog.LevelError
		}
		t.Log.Log(ctx, level, "decision", "target", out.Name, "kind", w.Kind, "namespace", w.Namespace, "name", w.Name,
			"container", w.Container, "env", w.Env, "outcome", string(w.Outcome), "live", w.Live, "latest", out.Digest, "recorded", w.Recorded,
			"cause", string(w.Cause), "message", w.Message)
	}
}
