package tick

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// reporter says what became of everything.
type reporter struct {
	*tick
	plan bool
}

// of reports the end of a tick, in the configuration's order, and logs a line for each decision.
func (r reporter) of(ctx context.Context, e ended) result.Report {
	ctx = context.WithoutCancel(ctx)
	command := "run"
	if r.plan {
		command = "plan"
	}
	report := result.New(version.Version(), command, r.Started)
	needsAttention := e.interrupted
	failures := e.failures()
	for target := range r.targets {
		out := r.target(e, target, failures[target])
		var outcomes []decide.Outcome
		for _, w := range out.Workloads {
			outcomes = append(outcomes, w.Outcome)
		}
		needsAttention = needsAttention || decide.NeedsAttention(failures[target], outcomes) || e.targets[target].Stale != nil
		r.log(ctx, out)
		for _, p := range r.slots[target] {
			if doubt := r.doubt(e, p); doubt != nil {
				r.Log.WarnContext(ctx, doubt.Error(), "target", out.Name, "workload", r.workloads[p.workload].ref.String())
			}
		}
		report.Targets = append(report.Targets, out)
	}
	if r.plan {
		report.Desired = r.desired(e)
		*report.Rollouts, *report.Ticks = r.rules.Pace(e.rolls, e.rollsAfter)
	}
	if needsAttention {
		report.ExitCode = result.ExitOperator
	}
	report.DurationSeconds = r.Now().Sub(r.Started).Seconds()
	return report
}

// failures are all targets' failures in a row, as the workloads that hold their counters were found to say when they were
// written.
func (e ended) failures() []decide.Count {
	failures := make([]decide.Count, len(e.targets))
	for at, target := range e.targets {
		failures[at] = target.Failures
	}
	for _, o := range e.outcomes {
		for _, counted := range o.failures {
			failures[counted.Target] = counted.Count
		}
	}
	return failures
}

func (r reporter) target(e ended, target int, failures decide.Count) result.Target {
	configured, known := r.targets[target], e.targets[target]
	out := result.Target{
		Name: configured.Name, Digest: string(known.Digest), Failures: failures.N, Threshold: known.Threshold, Workloads: []result.Workload{},
	}
	if e.since != nil {
		out.FailingSince = annotate.FormatTime(e.since[target])
	}
	if configured.Image != nil {
		out.Image = configured.Image.Spelled + ":" + configured.Image.Tag
	}
	failed := known.Failure
	if known.Stale != nil && !failures.Reached() { // what is loud comes first
		failed = known.Stale
	}
	if failed != nil {
		out.Cause, out.Message = failed.Cause, result.Said(failed, r.rules.Runbook)
		out.Message.Since = out.FailingSince
	}
	for n, entry := range configured.Workloads {
		p := r.slots[target][n]
		o := e.outcomes[p.workload]
		if o.decisions != nil && out.Build == (image.Build{}) {
			out.Build = cmp.Or(o.decisions[p.binding].Record.BuildOf(annotate.Of(known.Digest)), r.verifier.known(e.via(p.place), known.Digest).Build)
		}
		if out.Image == "" && o.reading.places != nil && o.reading.places[p.binding][0].Problem == nil {
			out.Image = o.reading.places[p.binding][0].Slot.Follows.String()
		}
		out.Workloads = append(out.Workloads, r.entry(e, p, entry, out.FailingSince))
		if r.plan && len(out.Platforms) == 0 {
			for _, platform := range r.verifier.known(e.via(p.place), known.Digest).Platforms {
				out.Platforms = append(out.Platforms, platform.String())
			}
		}
	}
	return out
}

// entry reports one entry of a target that fails since then.
func (r reporter) entry(e ended, p slotPlace, entry config.Workload, since string) result.Workload {
	o, w := e.outcomes[p.workload], r.workloads[p.workload]
	out := result.Workload{
		Kind: string(w.ref.Kind), Namespace: w.ref.Namespace, Name: w.ref.Name, Container: entry.Container, Env: entry.Env,
	}
	var d decide.Decision
	if o.decisions != nil {
		d = o.decisions[p.binding]
	}
	failed := d.Failure
	out.Outcome, out.Message.Text = d.Outcome, d.Message
	switch {
	case o.failure != nil:
		out.Outcome, failed = decide.Failed, o.failure
	case e.interrupted && out.Outcome == "":
		out.Outcome, out.Message.Text = decide.Waiting, "the tick was told to end before this was decided: the next one decides"
	case r.plan && d.Rolls() && !out.Outcome.NeedsAttention():
		out.Outcome = decide.Pending
	case e.interrupted && !e.acted && (d.Rolls() || out.Outcome == decide.Adopted):
		out.Outcome, out.Message.Text = decide.Waiting, "the tick was told to end before this was written: the next one does it"
	}
	if o.following != nil && out.Outcome == decide.Adopted {
		out.Message.Text += "; the tick after would report " + told(o.following[p.binding])
	}
	if failed != nil {
		out.Cause, out.Message = failed.Cause, result.Said(failed, r.rules.Runbook)
		out.Message.Since = since
	}
	if doubt := r.doubt(e, p); doubt != nil {
		out.Message.Fix = failure.WithFix(out.Message.Fix, doubt.Error())
	}
	out.Message.Fix = failure.WithFix(out.Message.Fix, r.release(w.ref, o, r.targets[w.target[p.binding]].Name, out.Outcome))
	if d.Approvable != "" && out.Outcome == decide.Pending {
		out.Message.Fix = failure.WithFix(out.Message.Fix, w.ref.ToApprove(r.keys, d.Approvable))
	}
	if o.reading.object == nil {
		return out
	}
	if found := o.reading.places[p.binding][p.slot]; found.Problem == nil {
		out.Container, out.Live = found.Slot.Container, string(found.Slot.Live)
		out.Created, _ = annotate.ParseTime(r.verifier.known(e.via(p.place), found.Slot.Live.Digest()).Build.Created)
	}
	record, _ := r.keys.Read(r.targets[w.target[p.binding]].Name, o.reading.object.Meta.Labels, o.reading.object.Meta.Annotations)
	if record.Recorded.Digest() != "" || record.Recorded == annotate.Unpinned {
		out.Recorded = string(record.Recorded)
	}
	return out
}

// doubt is what may be wrong with an entry of a target, for who plans; nil where nothing is.
func (r reporter) doubt(e ended, p slotPlace) *failure.Error {
	read := e.outcomes[p.workload].reading
	if !r.plan || read.object == nil {
		return nil
	}
	if found := read.places[p.binding][p.slot]; found.Problem == nil {
		return read.object.Doubt(found.Slot, r.keys, r.targets[r.workloads[p.workload].target[p.binding]].Name)
	}
	return nil
}

// told is a decision in a sentence.
func told(d decide.Decision) string {
	text := string(d.Outcome)
	if d.Failure != nil {
		return fmt.Sprintf("%s (%s): %s", text, d.Failure.Cause, d.Failure.Error())
	}
	if d.Message != "" {
		text += ": " + d.Message
	}
	return text
}

// release is the command that ends what a person, or a rejection, has decided; empty for any other outcome.
func (r reporter) release(ref workload.Ref, o outcome, target string, outcome decide.Outcome) string {
	on := ref.Kubectl()
	switch {
	case outcome != decide.Held && outcome != decide.Rejected:
		return ""
	case outcome == decide.Held && o.reading.object.Meta.Labels[r.keys.Hold()] == "true":
		return fmt.Sprintf("to release it: kubectl label %s %s-", on, r.keys.Hold())
	case outcome == decide.Held && o.reading.object.Paused:
		return fmt.Sprintf("to release it: kubectl rollout resume %s", on)
	default:
		return fmt.Sprintf("to have this digest tried again: kubectl annotate %s %s-", on, r.keys.State(target))
	}
}

// log logs a line for the target where it cannot be resolved, and one for each workload. Their keys are
// documented (docs/logs.md): messages stay the same, and what varies is a key's value.
func (r reporter) log(ctx context.Context, out result.Target) {
	if out.Cause != failure.None {
		level := slog.LevelWarn
		if out.NeedsAttention() {
			level = slog.LevelError
		}
		r.Log.Log(ctx, level, "target failing", "target", out.Name, "image", out.Image, "cause", string(out.Cause),
			"failures", out.Failures, "threshold", out.Threshold, "count", fmt.Sprintf("%d/%d", out.Failures, out.Threshold), "message", out.Message.String())
	}
	for _, w := range out.Workloads {
		level := slog.LevelInfo
		if w.Outcome.NeedsAttention() {
			level = slog.LevelError
		}
		r.Log.Log(ctx, level, "decision", "target", out.Name, "kind", w.Kind, "namespace", w.Namespace, "name", w.Name,
			"container", w.Container, "env", w.Env, "outcome", string(w.Outcome), "live", w.Live, "latest", out.Digest, "recorded", w.Recorded,
			"cause", string(w.Cause), "message", w.Message.String())
	}
}
