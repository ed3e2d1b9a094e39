// Package tick runs one tick: read every workload, resolve every image, decide, patch, wait, record, report.
// It is the thin shell around the decisions of package decide; what a tick does, it does through two
// interfaces, to the registries and to the API server.
//
// Workloads are worked on side by side, each in a goroutine of its own from its patch to its record, so that
// one that hangs holds up no other (I19). Every write is guarded by the resourceVersion that its decision was
// made on: on a conflict the workload is read again and decided again, which is what makes any number of
// ticks at once do what one would have done (I28).
package tick

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Registry asks registries. Resolve answers every query, in their order, and bounds each by itself. Inspect
// verifies what a digest holds, asking where Resolve was answered from.
type Registry interface {
	Resolve(context.Context, []resolver.Query) []resolver.Answer
	Inspect(context.Context, resolver.Query, image.Digest) (resolver.Manifest, error)
	Report() []resolver.HostReport
}

// Cluster asks the API server. An error is a *fault.Error, or cluster.ErrConflict from a write to an object
// that has changed since it was read. Wait returns the newest object seen when done says so or ctx ends.
type Cluster interface {
	Get(context.Context, workload.Ref) (*workload.Object, error)
	Patch(context.Context, *workload.Object, workload.Change) (*workload.Object, error)
	HandBack(context.Context, *workload.Object, []workload.Slot, map[string][]string) (*workload.Object, error)
	Wait(ctx context.Context, from *workload.Object, done func(*workload.Object) bool) (*workload.Object, error)
	Troubles(context.Context, *workload.Object) cluster.Troubles
	PullSecrets(ctx context.Context, namespace, account string) ([]string, error)
	Emit(context.Context, *workload.Object, decide.Event, time.Time) error
	May(context.Context, cluster.Access) (bool, error)
	Schedules(context.Context) ([]cluster.Schedule, error)
}

// tickMargin is what a tick may take beside its two waits for rollouts (DESIGN.md: "a tick ends within
// 2 × ROLLOUT_TIMEOUT + 5 min whatever hangs"), and settleMargin what its work may take of that.
const (
	tickMargin   = 5 * time.Minute
	settleMargin = tickMargin - 30*time.Second
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
	Started   time.Time // when the process began: who counts later than that has counted for this tick too
}

// Run runs one tick. With plan it reads, resolves and decides all the same, and writes nothing.
func (r *Runner) Run(ctx context.Context, plan bool) result.Report {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	t := r.newTick(plan)
	t.layOut()
	t.read(ctx)
	for _, warning := range t.floating() {
		t.Log.WarnContext(ctx, warning)
	}
	t.resolve(ctx)
	if t.interrupted(ctx) {
		return t.report(ctx)
	}
	t.decide(ctx)
	if !plan && !t.interrupted(ctx) {
		t.acted = true
		t.act(ctx)
	}
	return t.report(ctx)
}

// bounded ends everything in time, whatever hangs.
func (r *Runner) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 2*time.Duration(r.Config.RolloutTimeout)+settleMargin)
}

func (r *Runner) newTick(plan bool) *tick {
	return &tick{
		Runner: r, plan: plan, id: rand.Text()[:12],
		keys:  annotate.NewKeys(string(r.Config.AnnotationPrefix)),
		gates: newGatekeeper(r.Registry, r.Log),
	}
}

// tick is one run.
type tick struct {
	*Runner
	plan    bool
	id      string
	keys    annotate.Keys
	gates   *gatekeeper
	targets []*target
	jobs    []*job // one a workload, in the configuration's order
	checks  bool   // the command is check
	acted   bool   // what was decided is being written, or was
	ended   bool   // the tick was told to end before it was done
}

func (t *tick) interrupted(ctx context.Context) bool {
	if ctx.Err() != nil {
		t.ended = true
	}
	return t.ended
}

// lasting is a context for writes that must not be lost: it outlives the tick's own by a moment.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
}

// told says whether the tick was told to end, in contrast to a wait's own time running out.
func told(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
