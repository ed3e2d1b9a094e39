package resolver

import (
	"context"
	"fmt"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// lag asks an image's own registry as well, where a mirror answered and the check wants to know, and says what the two
// have where they differ: a proxy cache serves what it has while its origin refuses it, for weeks (I62). A tick does not
// ask: pods pull from the mirror.
func (r *Resolver) lag(ctx context.Context, q Query, ring keyring, got Manifest, out outcome) *failure.Error {
	if !r.options.Check || !out.at.mirror {
		return nil
	}
	own := endpoint{host: q.Image.Host, repository: q.Image.Repository, via: q.Image.Host}
	origin, from := r.tryAll(ctx, own, ring, r.tagOf(q))
	if from.problem == nil && origin.Digest != got.Digest {
		return &failure.Error{Fix: "see whether it may reach its origin, and as whom", Message: fmt.Sprintf(
			"%s:%s is %s at the mirror %s and %s at %s itself: the mirror lags behind, or serves an image of its own",
			q.Image.Name(), q.Image.Tag, got.Digest, out.at.via, origin.Digest, own.via)}
	}
	return nil
}
