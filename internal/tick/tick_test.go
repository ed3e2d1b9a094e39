package tick

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// However long a tick's waits are, everything it does ends within its bound.
func TestATickEndsWithinTheTimeThatACheckReports(t *testing.T) {
	t.Parallel()
	ctx, cancel := ticking(t, holding(), digestA, following("web"), "ROLLOUT_TIMEOUT=10m").bounded(t.Context())
	defer cancel()
	deadline, bounded := ctx.Deadline()
	require.True(t, bounded)
	assert.Less(t, time.Until(deadline), Longest(10*time.Minute))
	assert.Greater(t, time.Until(deadline), 20*time.Minute, "two waits of ten minutes each")
}
