package check_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/check"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// outside is an API server that has no workload and allows everything, and a registry. What else is asked panics.
type outside struct {
	tick.Cluster
	tick.Registry
	mu       sync.Mutex
	asked    []string
	resolved int
}

func (*outside) Get(_ context.Context, ref workload.Ref) (*workload.Object, error) {
	return nil, &failure.Error{Cause: failure.WorkloadMissing, Message: ref.String()}
}

func (o *outside) CanI(ctx context.Context, permission cluster.Permission) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, permission.Group+": "+permission.String())
	return true, ctx.Err()
}

func (*outside) Schedules(context.Context) ([]cluster.Schedule, error) { return nil, nil }

func (*outside) Date() time.Time { return time.Time{} }

func (o *outside) Resolve(_ context.Context, queries []resolver.Query) []resolver.Answer {
	o.resolved += len(queries)
	return make([]resolver.Answer, len(queries))
}

func (*outside) Report() []resolver.HostReport { return nil }

// A check asks for all that a tick does, of each kind and in each namespace; once it is told to end it asks nobody more.
func TestACheckAsksForAllThatATickDoes(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/config.yaml"
	require.NoError(t, os.WriteFile(file, []byte(`targets: [{name: web, image: "ghcr.io/tracebloc/web:1", workloads: [`+
		`{kind: Deployment, name: web}, {kind: CronJob, name: job, namespace: far}]}]`), 0o600))
	read, err := config.Read(t.Context(), envconfig.MapLookuper(map[string]string{"CONFIG_FILE": file}), config.Overrides{})
	require.NoError(t, err)
	run := func(ctx context.Context) (*outside, result.Report) {
		o := &outside{}
		checker := check.Checker{Cluster: o, Registry: o, Tick: &tick.Runner{
			Config: read, Namespace: "shop", Registry: o, Cluster: o, Log: slog.New(slog.DiscardHandler), Now: time.Now, Started: time.Now(), Preflight: true,
		}}
		return o, checker.Run(ctx)
	}
	o, report := run(t.Context())
	assert.Equal(t, result.ExitOperator, report.ExitCode)
	assert.Equal(t, 1, o.resolved, "the registry of a target none of whose workloads is there")
	slices.Sort(o.asked)
	assert.Equal(t, []string{
		": list pods in namespace far", ": list pods in namespace shop",
		"apps: get deployments/web in namespace shop", "apps: list deployments/web in namespace shop",
		"apps: patch deployments/web in namespace shop", "apps: watch deployments/web in namespace shop",
		"batch: get cronjobs/job in namespace far", "batch: patch cronjobs/job in namespace far",
		"events.k8s.io: create events in namespace far", "events.k8s.io: create events in namespace shop",
	}, o.asked)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	o, report = run(ended)
	assert.Equal(t, result.ExitOperator, report.ExitCode)
	assert.Zero(t, o.resolved)
	assert.Equal(t, result.Wrong, report.Checks[1].Status, "it says that it was told to end")
}
