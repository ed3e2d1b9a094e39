package scenario_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
)

// countInTheFuture adds to the state of the Deployment "jobs" who counted last, as version 1 of this program kept it: a tick
// whose clock was centuries ahead.
func countInTheFuture(t *testing.T, s *harness.Scenario) {
	t.Helper()
	kept := map[string]any{"version": 1}
	if text := s.Deployment("jobs").Annotations[state]; text != "" {
		require.NoError(t, json.Unmarshal([]byte(text), &kept))
	}
	kept["counted"] = map[string]string{"by": "somebody", "at": "2999-01-01T00:00:00Z"}
	text, err := json.Marshal(kept)
	require.NoError(t, err)
	s.Patch("image-refresh", s.Deployment("jobs"), `{"metadata":{"annotations":{"`+state+`":`+strconv.Quote(string(text))+`}}}`)
}
