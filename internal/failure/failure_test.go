package failure

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWorst(t *testing.T) {
	t.Parallel()
	blip, dead := &Error{Cause: Timeout}, &Error{Cause: Unauthorized}
	assert.Nil(t, Worst(nil, nil))
	assert.Same(t, dead, Worst(blip, nil, dead))
	assert.Same(t, dead, Worst(dead, blip))
}

func TestOf(t *testing.T) {
	t.Parallel()
	inner := &Error{Cause: DNS, Message: "no such host"}
	assert.Nil(t, Of(nil, API))
	assert.Same(t, inner, Of(fmt.Errorf("resolving: %w", inner), API))
	foreign := errors.New("boom\nboom")
	assert.Equal(t, &Error{Cause: API, Message: "boom boom", Err: foreign}, Of(foreign, API))
}
