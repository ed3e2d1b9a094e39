package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// Answers grow by one, and whoever holds the answers of before has these still.
func TestAnswersWithOneMore(t *testing.T) {
	t.Parallel()
	before := mayRollOut(digestB, nil)
	more := before.With(whyNotReady, decide.Answer{Pods: decide.PodProblems{MayHangOnDigest: true}})
	assert.Len(t, before, 1)
	assert.Len(t, more, 2)
	assert.True(t, more[whyNotReady].Pods.MayHangOnDigest)
	assert.Len(t, decide.Answers(nil).With(whyNotReady, decide.Answer{}), 1)
}
