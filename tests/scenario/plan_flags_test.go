package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
)

// A pipeline asks whether something is to be done, and a person for one target, or for what changes.
func TestAPlanIsNarrowedDownAndTellsAPipelineThatChangesArePending(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	harness.RequireExit(t, 0, s.Run("plan", "--detailed-exit-code"))
	assert.Empty(t, s.Run("plan", "--changed-only").Report.Targets)
	s.Push(ingestor, image("second"))
	harness.RequireExit(t, 0, s.Run("plan"))
	harness.RequireExit(t, 3, s.Run("plan", "--detailed-exit-code", "--target", "ingestor"))
	assert.Len(t, s.Run("plan", "--changed-only").Report.Targets, 1)
	wrong := s.Run("plan", "--target", "absent")
	harness.RequireExit(t, 2, wrong)
	assert.Contains(t, wrong.Stderr, `no target \"absent\"`)
	harness.RequireExit(t, 2, s.Run("run", "--detailed-exit-code"))
}
