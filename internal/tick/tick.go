// Package tick runs one tick, in phases that are functions from values to values: gather (read every workload), resolve
// (ask the registries), ask (what the facts leave open), plan, write, wait, conclude, write again, report. It is the thin
// shell around the decisions of package decide: what it does, it does through small interfaces, to the registries and to
// the API server.
//
// Workloads are worked on side by side, each in a goroutine of its own from its patch to its record, so that
// one that hangs holds up no other (I19). Every write is guarded by the resourceVersion that its decision was
// made on: on a conflict the workload is read again and decided again, which is what makes any number of
// ticks at once do what one would have done (I28).
package tick

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/signature"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Registry asks registries. Resolve answers every query, in their order, and bounds each by itself. Inspect
// verifies what a digest holds, asking where Resolve was answered from; Build then says which build it is. Holds says whether images that run are all of a digest,
// Serves whether a digest is still there, and Signed which of the keys has signed it.
type Registry interface {
	Resolve(context.Context, []resolver.Query) []resolver.Answer
	inspector
	Holds(context.Context, resolver.Query, image.Digest, []image.ID) (bool, error)
	Serves(context.Context, resolver.Query, image.Digest) (bool, error)
	Signed(context.Context, resolver.Query, image.Digest, signature.Keys) (signature.Key, error)
}

// Reader reads from the API server. An error is a *failure.Error.
type Reader interface {
	Get(context.Context, workload.Ref) (*workload.Object, error)
	PullSecrets(ctx context.Context, namespace, account string) ([]string, error)
}

// Writer writes to the API server, and returns the object as the write left it. An error is a *failure.Error, or
// cluster.ErrConflict where the object has changed since it was read.
type Writer interface {
	Patch(context.Context, *workload.Object, workload.Change) (*workload.Object, error)
	ReturnOwnership(context.Context, *workload.Object, []workload.Slot, map[string][]string) (*workload.Object, error)
	Emit(context.Context, *workload.Object, decide.Event, time.Time) error
}

// Watcher follows an object. Wait returns the newest one seen when done says so or ctx ends.
type Watcher interface {
	Wait(ctx context.Context, from *workload.Object, done func(*workload.Object) bool) (*workload.Object, error)
}

// Diagnoser says why pods of a workload are not ready, and whether they speak against digests, by query; and what they run in
// slots, by binding.
type Diagnoser interface {
	Running(context.Context, *workload.Object, [][]workload.Slot) []decide.Running
	PodProblems(context.Context, *workload.Object, []workload.PodQuery) decide.PodProblems
}

// Clock tells the API server's time, by its newest answer; zero where none of its answers has told it.
type Clock interface {
	Date() time.Time
}

// Cluster is the API server, as a tick uses it.
type Cluster interface {
	Clock
	Reader
	Writer
	Watcher
	Diagnoser
}

// Margin is what a tick may take beside its two waits for rollouts, whatever hangs, and settleMargin what its work may
// take of that.
const (
	Margin       = 5 * time.Minute
	settleMargin = Margin - 30*time.Second
)

// lastWrites is how long what was already decided may take to be recorded after the tick was told to end.
const lastWrites = 3 * time.Second

// Runner runs ticks.
type Runner struct {
	Config    config.Config
	Namespace string // of workloads that name none
	Registry  Registry
	Cluster   Cluster
	Log       *slog.Logger
	Now       func() time.Time
	Started   time.Time // when the tick began, for the report
	Preflight bool      // the command is check: what a tick saves is asked too
	Sender    Sender    // nil where nobody outside is told
	// ReadsSecrets says that pull secrets are read from the API server, for a person: none is mounted.
	ReadsSecrets bool
}

// Run runs one tick. With plan it reads, resolves and decides all the same, and writes nothing.
func (r *Runner) Run(ctx context.Context, plan bool) result.Report {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	t := r.tick()
	read := t.gather(ctx)
	t = t.clocked(ctx, read)
	report := reporter{tick: t, plan: plan}
	for _, warning := range t.floating(read) {
		t.Log.WarnContext(ctx, warning)
	}
	resolved := t.resolve(ctx, read)
	if ctx.Err() != nil {
		return report.of(ctx, undecided(read, resolved))
	}
	planned := t.plan(ctx, read, resolved)
	var aside sync.WaitGroup
	defer aside.Wait()
	aside.Go(func() { t.warnOfGone(ctx, planned) })
	if plan && ctx.Err() == nil {
		end := planEnd(planned, t.following(ctx, planned), ctx.Err() != nil)
		end.since = t.since(planned, t.standings(end))
		return report.of(ctx, end)
	}
	if ctx.Err() != nil {
		return report.of(ctx, unwritten(planned, true))
	}
	end, letters := t.close(ctx, planned, t.act(ctx, planned))
	reported := report.of(ctx, end)
	t.send(ctx, letters, reported)
	return reported
}

// bounded ends everything in time, whatever hangs.
func (r *Runner) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 2*time.Duration(r.Config.RolloutTimeout)+settleMargin)
}

// tick is what all phases of one run have in common. No phase changes it.
type tick struct {
	*Runner
	layout
	rules    decide.Tick
	keys     annotate.Keys
	verifier *verifier
}

func (r *Runner) tick() *tick {
	keys := annotate.NewKeys(string(r.Config.AnnotationPrefix))
	return &tick{
		Runner: r, layout: newLayout(r.Config, r.Namespace), keys: keys, verifier: newVerifier(r.Registry, r.Log),
		rules: decide.Tick{
			Keys: keys, Now: r.Now().UTC().Round(0), MaxRollouts: int(r.Config.MaxRollouts), Tells: r.Sender != nil,
			TellsChanges: r.Config.NotifyOn == config.NotifyChanges, Longest: Longest(r.rolloutTimeout()),
			Runbook: failure.Runbook(r.Config.Runbook),
		},
	}
}

// clocked is the tick with the API server's time, which its first answers have told: what is stored is as old as that clock
// says, on whichever node a tick runs (I48). Times that are later than that are warned of.
func (t *tick) clocked(ctx context.Context, readings []reading) *tick {
	date := t.Cluster.Date()
	if date.IsZero() {
		t.Log.WarnContext(ctx, "the API server's answers have no Date: ages are by this node's clock")
		return t
	}
	clocked := *t
	clocked.rules.Now = date
	for at, w := range t.workloads {
		if readings[at].failure != nil {
			continue
		}
		for _, binding := range w.bindings {
			meta, name := readings[at].object.Meta, binding.Target.Name
			record, _ := t.keys.Read(name, meta.Labels, meta.Annotations)
			counters, _ := t.keys.ReadCounters(name, meta.Annotations)
			_, replaced := record.State.NotAfter(date)
			for key, later := range map[string]bool{
				t.keys.State(name): replaced, t.keys.FailingSince(name): annotate.NotAfter(counters.FailingSince, date) != counters.FailingSince,
			} {
				if later {
					t.Log.WarnContext(ctx, key+" has a time that is later than now, and is read as now: a clock was ahead", "workload", w.ref.String())
				}
			}
		}
	}
	return &clocked
}

// graceContext is a context for writes that must not be lost: it outlives the tick's own by a moment.
func graceContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
}

// cancelled says whether the tick was told to end, in contrast to a wait's own time running out.
func cancelled(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
