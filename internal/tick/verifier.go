package tick

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// inspector says what a digest holds, and which build it is, which nobody knows where it cannot be read. Asking twice costs nothing:
// an answer is kept for the tick.
type inspector interface {
	Inspect(context.Context, resolver.Query, image.Digest) (resolver.Manifest, error)
	Build(context.Context, resolver.Query, image.Digest, []image.Platform) image.Build
}

// verifier asks what must be known of a digest before the first patch to it, and keeps what it was told for the report.
type verifier struct {
	registry inspector
	log      *slog.Logger
	mu       sync.Mutex
	told     map[string]resolver.Manifest
}

func newVerifier(registry inspector, log *slog.Logger) *verifier {
	return &verifier{registry: registry, log: log, told: map[string]resolver.Manifest{}}
}

func (v *verifier) inspect(ctx context.Context, query resolver.Query, digest image.Digest) (resolver.Manifest, error) {
	manifest, err := v.registry.Inspect(ctx, query, digest)
	if err == nil {
		v.keep(query, manifest, digest)
	}
	return manifest, err
}

func (v *verifier) keep(query resolver.Query, manifest resolver.Manifest, digest image.Digest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := toldKey(query, digest)
	manifest.Build = manifest.Build.Or(v.told[key].Build)
	v.told[key] = manifest
}

// known is what was asked of a digest already, if anything was.
func (v *verifier) known(query resolver.Query, digest image.Digest) resolver.Manifest {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.told) == 0 { // as in most ticks
		return resolver.Manifest{}
	}
	return v.told[toldKey(query, digest)]
}

func toldKey(query resolver.Query, digest image.Digest) string {
	return fmt.Sprint(query.Image.String(), query.PullSecrets, digest)
}

// mayRollOut answers whether a digest may be rolled out in place of live: it can be verified, it can be pulled, and
// it offers the platforms that are named or, where none are, those that live offers as far as the registry
// still has it (I24). Of one that may be, it tells which build that is.
func (v *verifier) mayRollOut(ctx context.Context, via resolver.Query, platforms []image.Platform, digest, live image.Digest) decide.Answer {
	manifest, err := v.inspect(ctx, via, digest)
	if err != nil {
		return decide.Answer{Failure: failure.Of(err, failure.BadResponse)}
	}
	wanted := platforms
	whence := "the target's platforms name them"
	if len(wanted) == 0 && live != "" {
		before, err := v.inspect(ctx, via, live)
		var failed *failure.Error
		switch {
		case err == nil:
			wanted, whence = before.Platforms, "the image in use offers them"
		case errors.As(err, &failed) && failed.Cause == failure.NotFound:
			v.log.DebugContext(ctx, "the registry no longer has the digest in use: its platforms ask for nothing", "digest", string(live))
		default:
			return decide.Answer{Failure: failure.Of(err, failure.BadResponse)}
		}
	}
	missing := image.Missing(wanted, manifest.Platforms)
	if len(missing) == 0 {
		manifest.Build = v.registry.Build(ctx, via, digest, wanted)
		v.keep(via, manifest, digest)
		return decide.Answer{Build: manifest.Build}
	}
	var names []string
	for _, platform := range missing {
		names = append(names, platform.String())
	}
	return decide.Answer{Failure: &failure.Error{
		Cause: failure.PlatformMissing, Message: fmt.Sprintf("%s@%s lacks %s (%s)", via.Image, digest.Short(), strings.Join(names, ", "), whence),
		Fix: "whoever published the tag must publish these platforms too",
	}}
}
