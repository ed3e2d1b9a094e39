package tick

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// A preview is what a tick would find, and what it would make of it, by target; it writes nothing.
func TestPreview(t *testing.T) {
	t.Parallel()
	registry := serving(digestB, "web", "gone")
	c := holding(deployment("web"), other("a")).expecting("secrets")
	c.secrets = []string{"regcred"}
	r, _ := runner(t, oneOnTwo, c, registry)
	r.Preflight = true
	preview := r.Preview(t.Context())
	assert.False(t, preview.Interrupted)
	assert.Len(t, preview.Queries, 3)
	assert.Len(t, preview.Answers, 3)
	require.Len(t, preview.Bindings, 3)

	web := preview.Bindings[0]
	assert.Equal(t, "web", web.Target.Name)
	assert.Equal(t, "web", web.Ref.Name)
	assert.Equal(t, "app", web.Place)
	assert.Equal(t, "web", web.Object.Name)
	assert.Len(t, web.Slots, 1)
	assert.True(t, web.InImageMode())
	assert.Equal(t, decide.Pending, web.Outcome)
	assert.Equal(t, 0, web.Query)
	assert.Equal(t, []credential.Name{{Namespace: "tracebloc", Name: "regcred"}}, web.AsPods)
	assert.Equal(t, []credential.Name{{Namespace: "tracebloc", Name: "a"}}, preview.Bindings[1].AsPods)
	assert.Equal(t, 1, preview.Bindings[1].Query)

	gone := preview.Bindings[2]
	assert.Nil(t, gone.Object)
	assert.Equal(t, failure.WorkloadMissing, gone.Failure.Cause)
	assert.Equal(t, -1, gone.Query)
	assert.Empty(t, gone.Slots)
	assert.False(t, gone.InImageMode())
}

// A failure that is the image's own is told from one that is the slot's.
func TestPreviewTellsWhatIsUnresolved(t *testing.T) {
	t.Parallel()
	registry := serving("")
	registry.latest["web"] = decide.Latest{Failure: &failure.Error{Cause: failure.DNS, Message: "the name does not resolve"}}
	broken := deployment("web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "nginx:1" })
	r, _ := runner(t, following("web"), holding(deployment("web")), registry)
	unresolved := r.Preview(t.Context()).Bindings[0]
	assert.True(t, unresolved.Unsolved)
	assert.Equal(t, decide.Skipped, unresolved.Outcome)
	r, _ = runner(t, following("web"), holding(broken), registry)
	mismatch := r.Preview(t.Context()).Bindings[0]
	assert.False(t, mismatch.Unsolved)
	assert.Equal(t, failure.SlotMismatch, mismatch.Failure.Cause)
	assert.Empty(t, mismatch.Slots)
}

// A preview that is told to end decides nothing.
func TestPreviewToldToEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _ := runner(t, following("web"), holding(deployment("web")), serving(digestB))
	preview := r.Preview(ctx)
	assert.True(t, preview.Interrupted)
	assert.Empty(t, preview.Answers)
	require.Len(t, preview.Bindings, 1)
	assert.Empty(t, preview.Bindings[0].Outcome)
}

// A variable's place is named with its container.
func TestPreviewNamesThePlace(t *testing.T) {
	t.Parallel()
	const file = `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", workloads: [{kind: Deployment, name: web, env: DIGEST}, {kind: Deployment, name: web, container: other, env: DIGEST}]}]`
	r, _ := runner(t, file, holding(deployment("web")), serving(digestB, "web"))
	assert.Equal(t, "app/DIGEST, other/DIGEST", r.Preview(t.Context()).Bindings[0].Place)
}

func TestRefsAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	r, _ := runner(t, twoOnOne, holding(), nil)
	assert.Equal(t, []workload.Ref{{Kind: "Deployment", Namespace: "tracebloc", Name: "web"}, {Kind: "StatefulSet", Namespace: "other", Name: "db"}}, r.Refs())
}

// However long a tick's waits are, everything it does ends within its bound.
func TestLongestIsWhatBounds(t *testing.T) {
	t.Parallel()
	r, _ := runner(t, following("web"), holding(), nil, "ROLLOUT_TIMEOUT=10m")
	ctx, cancel := r.bounded(t.Context())
	defer cancel()
	deadline, bounded := ctx.Deadline()
	assert.True(t, bounded)
	assert.Less(t, time.Until(deadline), Longest(10*time.Minute))
	assert.Greater(t, time.Until(deadline), 20*time.Minute, "two waits of ten minutes each")
}
