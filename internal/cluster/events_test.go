package cluster

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// A note is as long as the API server takes it, and ends with where to read on.
func TestAnEventsNoteFits(t *testing.T) {
	t.Parallel()
	const runbook = failure.Runbook("https://example.com/runbook")
	for _, character := range []string{"x", "ä", "€", "🦭"} {
		for _, length := range []int{0, 100, 1000, 1001, 1002, 1003, 1024, 5000} {
			text := strings.Repeat(character, length)
			note := eventOf(read(t, deployment("1", 2)), decide.Event{Cause: failure.DNS, Note: text}, runbook, time.Now()).Note
			assert.LessOrEqual(t, len(note), 1024)
			assert.True(t, utf8.ValidString(note))
			assert.True(t, strings.HasSuffix(note, runbook.Reference(failure.DNS)))
			assert.True(t, strings.HasPrefix(note, text) || strings.Contains(note, character+"…"))
		}
	}
	assert.Equal(t, "Normal", eventOf(read(t, deployment("1", 2)), decide.Event{Reason: decide.DigestRefreshed}, runbook, time.Now()).Type)
	assert.Equal(t, "Warning", eventOf(read(t, deployment("1", 2)), decide.Event{Reason: decide.RolloutFailed}, runbook, time.Now()).Type)
}
