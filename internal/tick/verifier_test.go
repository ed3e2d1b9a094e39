package tick

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// hasAllBut is a registry that cannot say what this digest is.
type hasAllBut image.Digest

func (h hasAllBut) Inspect(_ context.Context, _ resolver.Query, digest image.Digest) (resolver.Manifest, error) {
	if digest == image.Digest(h) {
		return resolver.Manifest{}, &failure.Error{Cause: failure.Forbidden}
	}
	return resolver.Manifest{}, nil
}

func (hasAllBut) Build(context.Context, resolver.Query, image.Digest, []image.Platform) image.Build {
	return image.Build{}
}

// Whether a digest has fewer platforms than the one in use is not known where the registry does not say what that has.
func TestI24WhatCannotBeComparedIsNotRolledOut(t *testing.T) {
	t.Parallel()
	answer := newVerifier(hasAllBut(digestA), nil).mayRollOut(t.Context(), resolver.Query{}, nil, digestB, digestA)
	assert.Equal(t, &failure.Error{Cause: failure.Forbidden}, answer.Failure)
}
