package resolver

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// A tick that is told to stop has its answers at once; one whose time is over says that a turn never came; an image without
// a tag has nothing to follow. None of them asks a registry.
func TestImagesThatAreNotAskedAbout(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	over, done := context.WithTimeout(t.Context(), 0)
	defer done()
	for _, c := range []struct {
		ctx         context.Context
		image, says string
		cause       failure.Cause
	}{
		{stopped, "a.invalid/i:1", "the tick was interrupted", failure.Timeout},
		{over, "a.invalid/i:1", "before its turn came", failure.Timeout},
		{t.Context(), "a.invalid/i@" + someDigest, "has no tag", failure.SlotInvalid},
	} {
		r := New(Options{Timeout: time.Minute, Concurrency: 1, Logger: slog.New(slog.DiscardHandler)})
		ref, err := image.ParseReference(c.image)
		require.NoError(t, err)
		answer := r.Resolve(c.ctx, []Query{{Image: ref}})[0]
		require.NotNil(t, answer.Failure, c.says)
		assert.Equal(t, c.cause, answer.Failure.Cause)
		assert.Contains(t, answer.Failure.Message, c.says)
	}
}

func TestRegistriesTakeTurns(t *testing.T) {
	t.Parallel()
	var queries []Query
	for _, host := range []string{"a", "a", "a", "b", "b", "c"} {
		queries = append(queries, Query{Image: image.Reference{Host: host}})
	}
	assert.Equal(t, []int{0, 3, 5, 1, 4, 2}, interleave(queries))
}
