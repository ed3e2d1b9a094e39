package tick

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// gatekeeper asks what must be known of a digest before the first patch to it, each question once a tick.
type gatekeeper struct {
	registry Registry
	log      *slog.Logger
	mu       sync.Mutex
	asked    map[string]*inspection
}

type inspection struct {
	once     sync.Once
	manifest resolver.Manifest
	err      error
}

func newGatekeeper(registry Registry, log *slog.Logger) *gatekeeper {
	return &gatekeeper{registry: registry, log: log, asked: map[string]*inspection{}}
}

func (g *gatekeeper) inspect(ctx context.Context, query resolver.Query, digest image.Digest) (resolver.Manifest, error) {
	key := inspectionKey(query, digest)
	g.mu.Lock()
	asked := g.asked[key]
	if asked == nil {
		asked = &inspection{}
		g.asked[key] = asked
	}
	g.mu.Unlock()
	asked.once.Do(func() { asked.manifest, asked.err = g.registry.Inspect(ctx, query, digest) })
	return asked.manifest, asked.err
}

// known is what was asked of a digest already, if anything was.
func (g *gatekeeper) known(query resolver.Query, digest image.Digest) resolver.Manifest {
	g.mu.Lock()
	defer g.mu.Unlock()
	if asked := g.asked[inspectionKey(query, digest)]; asked != nil {
		return asked.manifest
	}
	return resolver.Manifest{}
}

func inspectionKey(query resolver.Query, digest image.Digest) string {
	return fmt.Sprint(query.Image.String(), query.PullSecrets, digest)
}

// ask answers whether a digest may be rolled out in place of live: it can be verified, it can be pulled, and
// it offers the platforms that are named or, where none are, those that live offers as far as the registry
// still has it (I24).
func (g *gatekeeper) ask(ctx context.Context, m *member, digest, live image.Digest) decide.Gate {
	manifest, err := g.inspect(ctx, m.via, digest)
	if err != nil {
		return decide.Gate{Asked: true, Failure: fault.Of(err, fault.BadResponse)}
	}
	wanted := m.target.Platforms
	whence := "the target's platforms name them"
	if len(wanted) == 0 && live != "" {
		before, err := g.inspect(ctx, m.via, live)
		var failure *fault.Error
		switch {
		case err == nil:
			wanted, whence = before.Platforms, "the image in use offers them"
		case errors.As(err, &failure) && failure.Cause == fault.NotFound:
			g.log.DebugContext(ctx, "the registry no longer has the digest in use: its platforms ask for nothing", "digest", string(live))
		default:
			return decide.Gate{Asked: true, Failure: fault.Of(err, fault.BadResponse)}
		}
	}
	if missing := image.Missing(wanted, manifest.Platforms); len(missing) > 0 {
		var names []string
		for _, platform := range missing {
			names = append(names, platform.String())
		}
		return no(fault.PlatformMissing, "%s@%s lacks %s (%s): whoever published the tag must publish these platforms too",
			m.via.Image, digest.Short(), strings.Join(names, ", "), whence)
	}
	return decide.Gate{Asked: true}
}

func no(cause fault.Cause, format string, args ...any) decide.Gate {
	return decide.Gate{Asked: true, Failure: &fault.Error{Cause: cause, Message: fmt.Sprintf(format, args...)}}
}
