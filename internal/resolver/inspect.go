package resolver

import (
	"context"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// Inspect fetches a manifest by its digest, proves that it is that digest's and that of an image or of an index of
// images, and reads its platforms. The digest that Resolve gave for the query is fetched from where it came from;
// any other, which the registry may no longer have (cause not-found), from the first place that has it. Where the
// registry says that no pulls are left, before or after this one, it fails: pods could not pull.
func (r *Resolver) Inspect(ctx context.Context, q Query, digest image.Digest) (Manifest, error) {
	return r.byDigest(ctx, q, digest, func(ctx context.Context, e endpoint, who credential.Credential) (Manifest, *problem) {
		return r.host(e.host).body(ctx, e.repository, who, digest)
	})
}

// Holds says whether images that run somewhere are all of a digest: it, a manifest of it, or the configuration of one. What
// must be read is read as by Inspect, and no more than it takes.
func (r *Resolver) Holds(ctx context.Context, q Query, digest image.Digest, ids []image.ID) (bool, error) {
	holds := false
	_, err := r.byDigest(ctx, q, digest, func(ctx context.Context, e endpoint, who credential.Credential) (got Manifest, p *problem) {
		got, holds, p = r.host(e.host).holds(ctx, e.repository, who, digest, ids)
		return got, p
	})
	return holds, err
}

// Serves says whether the registry still has a digest: one HEAD. It has not only where all the places in which pods look for it
// say so clearly; whatever else keeps one of them from answering is an error, and says nothing of the digest (I61).
func (r *Resolver) Serves(ctx context.Context, q Query, digest image.Digest) (bool, error) {
	s := &subject{query: q, ring: r.keyring(ctx, q), digest: digest}
	ctx, release, p := r.turn(ctx)
	if p != nil {
		return false, r.failure(s, p)
	}
	defer release()
	_, s.outcome = r.walk(ctx, endpoints(q.Image, r.registries), s.ring, func(ctx context.Context, e endpoint, who credential.Credential) (Manifest, *problem) {
		return r.host(e.host).serves(ctx, e.repository, who, digest)
	})
	if s.outcome.problem == nil {
		return true, nil
	}
	for _, one := range append(s.outcome.passed, s.outcome) {
		if one.problem.cause != failure.NotFound || one.problem.Role != failure.StageManifest {
			return false, r.failure(s, s.outcome.problem)
		}
	}
	return false, nil
}

// byDigest asks for a digest, within the time that one image has.
func (r *Resolver) byDigest(ctx context.Context, q Query, digest image.Digest, ask visit) (Manifest, error) {
	s := &subject{query: q, ring: r.keyring(ctx, q), digest: digest}
	ctx, release, p := r.turn(ctx)
	if p != nil {
		return Manifest{}, r.failure(s, p)
	}
	defer release()
	places := endpoints(q.Image, r.registries)
	if from, ok := r.answerOf(q); ok && from.Digest == digest {
		if from.Quota.Exhausted() { // this GET would be a pull, and so would the pods'
			return Manifest{}, r.failure(s, quotaProblem(r.host(from.endpoint.host), from.Quota))
		}
		places = []endpoint{from.endpoint} // I22: a mirror must hold what it named
	}
	got, out := r.walk(ctx, places, s.ring, ask)
	if out.problem != nil {
		s.outcome = out
		return Manifest{}, r.failure(s, out.problem)
	}
	if got.Quota.Exhausted() { // this was the last one
		s.outcome = out
		return Manifest{}, r.failure(s, quotaProblem(r.host(out.at.host), got.Quota))
	}
	return got, nil
}

func (r *Resolver) answerOf(q Query) (answered, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, ok := r.answered[q.key()]
	return from, ok
}

func quotaProblem(h *host, quota Quota) *problem {
	at := wire.Place{Role: failure.StageManifest, Host: h.address}
	return &problem{Failure: wire.Failure{Place: at, Stage: at.Role, Retry: quota.Window}, cause: failure.RateLimited, detail: quotaUsed}
}
