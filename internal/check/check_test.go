package check_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/check"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// outside is an API server that has no workload and allows everything, and registries that nobody asks. What else is asked
// panics.
type outside struct {
	tick.Cluster
	tick.Registry
	mu    sync.Mutex
	asked []string
}

func (*outside) Get(context.Context, workload.Ref) (*workload.Object, error) {
	return nil, &failure.Error{Cause: failure.WorkloadMissing}
}

func (o *outside) CanI(ctx context.Context, permission cluster.Permission) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, permission.Group+": "+permission.String())
	return true, ctx.Err()
}

func (*outside) DryRun(context.Context, workload.Ref, workload.Change) (*workload.Object, error) {
	panic("no workload")
}
func (*outside) WhoAmI(context.Context) string                                      { return "" }
func (*outside) AdmissionPolicy(context.Context, string) (bool, error)              { panic("no CronJob") }
func (*outside) NetworkPolicy(context.Context, string) (bool, error)                { panic("no CronJob") }
func (*outside) Schedules(context.Context, string) ([]workload.Schedule, error)     { return nil, nil }
func (*outside) Date() time.Time                                                    { return time.Time{} }
func (*outside) Resolve(context.Context, []resolver.Query) (none []resolver.Answer) { return none }
func (*outside) List(context.Context, string, string) ([]*workload.Object, error)   { return nil, nil }
func (*outside) Report() []resolver.HostReport                                      { return nil }

// A check asks for all that a tick does, of each kind and in each namespace; and it says that it was told to end.
func TestACheckAsksForAllThatATickDoes(t *testing.T) {
	t.Parallel()
	o := &outside{}
	checker := check.Checker{Cluster: o, Registry: o, Tick: &tick.Runner{
		Config: config.Config{Targets: []config.Target{{Workloads: []config.Workload{
			{Kind: config.Deployment, Name: "web"}, {Kind: config.CronJob, Name: "job", Namespace: "far"},
		}}}},
		Namespace: "shop", Registry: o, Cluster: o, Log: slog.New(slog.DiscardHandler), Now: time.Now, Preflight: true,
	}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	report := checker.Run(ended)
	assert.Equal(t, result.ExitOperator, report.ExitCode)
	assert.Equal(t, []string{"configuration", "failed"}, []string{report.Checks[1].Name, string(report.Checks[1].Status)})
	slices.Sort(o.asked)
	assert.Equal(t, []string{
		": list pods in namespace far", ": list pods in namespace shop",
		"apps: get deployments/web in namespace shop", "apps: list deployments/web in namespace shop",
		"apps: patch deployments/web in namespace shop", "apps: watch deployments/web in namespace shop",
		"batch: get cronjobs/job in namespace far", "batch: patch cronjobs/job in namespace far",
		"events.k8s.io: create events in namespace far", "events.k8s.io: create events in namespace shop",
	}, o.asked)
}
