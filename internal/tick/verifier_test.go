package tick

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// offered are the platforms of each digest that a registry has; of D it can't say.
type offered map[image.Digest][]image.Platform

func (o offered) Inspect(_ context.Context, _ resolver.Query, digest image.Digest) (resolver.Manifest, error) {
	platforms, found := o[digest]
	switch {
	case digest == digestOf("d"):
		return resolver.Manifest{}, &failure.Error{Cause: failure.Forbidden}
	case !found:
		return resolver.Manifest{}, &failure.Error{Cause: failure.NotFound}
	}
	return resolver.Manifest{Digest: digest, Platforms: platforms}, nil
}

// What must be known before a digest is rolled out in place of another.
func TestI24ADigestMustOfferThePlatformsOfTheOneInUse(t *testing.T) {
	t.Parallel()
	amd64, err := image.ParsePlatform("linux/amd64")
	require.NoError(t, err)
	arm64, err := image.ParsePlatform("linux/arm64")
	require.NoError(t, err)
	one, both := []image.Platform{amd64}, []image.Platform{amd64, arm64}
	for name, c := range map[string]struct {
		live  image.Digest
		has   offered
		named []image.Platform
		want  failure.Cause
	}{
		"as many as before":            {digestA, offered{digestA: both, digestB: both}, nil, failure.None},
		"more than before":             {digestA, offered{digestA: one, digestB: both}, nil, failure.None},
		"fewer than before":            {digestA, offered{digestA: both, digestB: one}, nil, failure.PlatformMissing},
		"fewer than the target names":  {digestA, offered{digestB: one}, both, failure.PlatformMissing},
		"as many as the target names":  {digestA, offered{digestA: both, digestB: one}, one, failure.None},
		"nothing was pinned before":    {"", offered{digestB: one}, nil, failure.None},
		"what runs is no longer there": {digestA, offered{digestB: one}, nil, failure.None},
		"what runs cannot be asked":    {digestOf("d"), offered{digestB: both}, nil, failure.Forbidden},
		"it is not there":              {digestA, offered{digestA: one}, nil, failure.NotFound},
	} {
		v := newVerifier(c.has, slog.New(slog.DiscardHandler))
		cause := failure.None
		if failed := v.mayRollOut(t.Context(), resolver.Query{}, c.named, digestB, c.live).Failure; failed != nil {
			cause = failed.Cause
		}
		assert.Equal(t, c.want, cause, name)
		assert.Equal(t, c.has[digestB], v.known(resolver.Query{}, digestB).Platforms, "%s: what the report says of it", name)
	}
}
