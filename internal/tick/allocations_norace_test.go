//go:build !race

package tick

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// byHelm is what Helm owns of a Deployment: some of what it usually does.
const byHelm = `{"f:metadata":{"f:labels":{"f:app.kubernetes.io/name":{}}},` +
	`"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app.kubernetes.io/name":{}}},"f:spec":{` +
	`"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:env":{` +
	`"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}},"k:{\"name\":\"B\"}":{".":{},"f:name":{},"f:value":{}}},` +
	`"f:image":{},"f:name":{},"f:resources":{"f:limits":{"f:memory":{}},"f:requests":{"f:cpu":{}}}}}}}}}`

// What a workload adds to an unchanged tick is counted in allocations, which no machine changes: the same for the
// thousandth as for the tenth. The bound is a little above what is needed.
func TestBudgetOfAllocations(t *testing.T) {
	const most = 350
	cost := func(n int) float64 {
		s := holding()
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("app-%d", i))
			s.objects[names[i]] = deployment(names[i], func(d *appsv1.Deployment) {
				d.ManagedFields = []metav1.ManagedFieldsEntry{{
					Manager: "helm", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "apps/v1",
					FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(byHelm),
				}}
			})
		}
		r := ticking(t, s, digestA, following(names...))
		report := r.Run(t.Context(), false)
		require.Zero(t, report.ExitCode)
		for _, target := range report.Targets {
			require.Equal(t, decide.Unchanged, target.Workloads[0].Outcome)
		}
		return testing.AllocsPerRun(3, func() { r.Run(t.Context(), false) })
	}
	few, more, many := cost(10), cost(110), cost(1110)
	t.Logf("%.0f, %.0f and %.0f allocations for 10, 110 and 1110 workloads", few, more, many)
	assert.LessOrEqual(t, (more-few)/100, float64(most))
	assert.LessOrEqual(t, (many-more)/1000, float64(most))
}
