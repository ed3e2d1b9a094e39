package tick

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

const twoOnOne = `targets:
  - name: api
    image: ghcr.io/tracebloc/api:1
    staleAfter: 720h
    minAge: 1h
    resolveFailureThreshold: 5
    workloads:
      - {kind: Deployment, name: web, container: app}
      - {kind: StatefulSet, name: db, namespace: other, container: app}
      - {kind: Deployment, name: web, container: side}
  - name: proxy
    image: ghcr.io/tracebloc/proxy:1
    mode: notify
    workloads: [{kind: Deployment, name: web, namespace: tracebloc, container: proxy}]
`

// The configuration by workload: each once, in the configuration's order, with its targets and their entries.
func TestLayoutIsTheConfigurationByWorkload(t *testing.T) {
	t.Parallel()
	l := newLayout(configured(t, twoOnOne, "ROLLBACK=false", "UNSETTLED_THRESHOLD=4"), "tracebloc")
	require.Len(t, l.workloads, 2)
	web, db := l.workloads[0], l.workloads[1]
	assert.Equal(t, workload.Ref{Kind: config.Deployment, Namespace: "tracebloc", Name: "web"}, web.ref)
	assert.Equal(t, workload.Ref{Kind: config.StatefulSet, Namespace: "other", Name: "db"}, db.ref)
	assert.Equal(t, [][]int{{0, 1}, {0}}, [][]int{web.target, db.target})
	assert.Equal(t, "side", web.bindings[0].Entries[1].Container, "another workload between them changes nothing")
	assert.Equal(t, [][]place{{{0, 0}, {1, 0}}, {{0, 1}}}, l.places)
	assert.Equal(t, [][]slotPlace{{{place{0, 0}, 0}, {place{1, 0}, 0}, {place{0, 0}, 1}}, {{place{0, 1}, 0}}}, l.slots)
	policy := decide.Policy{RolloutFailures: 3, Unsettled: 4, Reapplications: 3, MinAge: time.Hour, StaleAfter: 720 * time.Hour}
	assert.Equal(t, decide.Target{Name: "api", Threshold: 5, Policy: policy}, l.rules[0])
	policy.MinAge, policy.StaleAfter, policy.Notify = 0, 0, true
	assert.Equal(t, decide.Target{Name: "proxy", Threshold: 3, Policy: policy}, l.rules[1])
}
