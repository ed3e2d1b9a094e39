//go:build !race

package tick

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// The world is at rest: every workload is as it should be, and whatever else is asked for is a bug, for which the
// interfaces that are left empty panic. The fakes of the other tests note what they are asked, which would be counted.
type (
	registryAtRest struct{ Registry }
	clusterAtRest  struct {
		Cluster
		objects map[string]*appsv1.Deployment
	}
)

// helms is what Helm owns of a Deployment: some of what it usually does.
const helms = `{"f:metadata":{"f:labels":{"f:app.kubernetes.io/name":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{` +
	`"f:metadata":{"f:labels":{"f:app.kubernetes.io/name":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:env":{` +
	`"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}},"k:{\"name\":\"B\"}":{".":{},"f:name":{},"f:value":{}}},` +
	`"f:image":{},"f:name":{},"f:resources":{"f:limits":{"f:memory":{}},"f:requests":{"f:cpu":{}}}}}}}}}`

func (registryAtRest) Resolve(_ context.Context, queries []resolver.Query) []resolver.Answer {
	answers := make([]resolver.Answer, len(queries))
	for i := range answers {
		answers[i].Digest = digestA
	}
	return answers
}

func (clusterAtRest) Date() time.Time { return time.Now() }

func (c clusterAtRest) Get(_ context.Context, ref workload.Ref) (*workload.Object, error) {
	return workload.New(c.objects[ref.Name])
}

// atRest is a tick over so many workloads, each with a target and an image of its own.
func atRest(t *testing.T, n int) (run func() result.Report) {
	t.Helper()
	world := clusterAtRest{objects: map[string]*appsv1.Deployment{}}
	var names []string
	for i := range n {
		name := fmt.Sprintf("app-%d", i)
		names = append(names, name)
		world.objects[name] = deployment(name, func(d *appsv1.Deployment) {
			d.ManagedFields = []metav1.ManagedFieldsEntry{
				{Manager: "helm", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "apps/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(helms)},
			}
		})
	}
	r := &Runner{
		Config: configured(t, following(names...)), Namespace: "tracebloc", Registry: registryAtRest{}, Cluster: world,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Started: time.Now(),
	}
	return func() result.Report { return r.Run(t.Context(), false) }
}

// What a workload adds to an unchanged tick is counted in allocations, which no machine changes: the same for the
// thousandth as for the tenth. The bound is a little above what is needed.
func TestBudgetOfAllocations(t *testing.T) {
	const most = 350
	cost := func(n int) float64 {
		run := atRest(t, n)
		report := run()
		require.Zero(t, report.ExitCode)
		for _, target := range report.Targets {
			require.Equal(t, "unchanged", string(target.Workloads[0].Outcome))
		}
		return testing.AllocsPerRun(3, func() { run() })
	}
	few, more, many := cost(10), cost(110), cost(1110)
	t.Logf("%.0f, %.0f and %.0f allocations for 10, 110 and 1110 workloads", few, more, many)
	assert.LessOrEqual(t, (more-few)/100, float64(most))
	assert.LessOrEqual(t, (many-more)/1000, float64(most))
}
