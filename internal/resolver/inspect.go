package resolver

import (
	"context"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// maxUnnamed bounds how many images of an index are asked for their platform because the index does not say.
const maxUnnamed = 16

type bodyKey struct {
	host, repository string
	digest           image.Digest
	as               credential.Identity
}

// Inspect fetches a manifest by its digest, proves that it is that digest's and that of an image or of an index of
// images, and reads its platforms. The digest that Resolve gave for the query is fetched from where it came from;
// any other, which the registry may no longer have (cause not-found), from the first place that has it. Where the
// registry says that no pulls are left, before or after this one, it fails: pods could not pull.
func (r *Resolver) Inspect(ctx context.Context, q Query, digest image.Digest) (Manifest, error) {
	s := subject{query: q, ring: r.keyring(ctx, q), digest: digest}
	ctx, release, p := r.turn(ctx)
	if p != nil {
		return Manifest{}, r.failure(s, p)
	}
	defer release()
	places := endpoints(q.Image, r.registries)
	if from, ok := r.answerOf(q); ok && from.digest == digest {
		if from.quota.Exhausted() { // this GET would be a pull, and so would the pods'
			return Manifest{}, r.failure(s, quotaProblem(r.host(from.endpoint.host), from.quota))
		}
		places = []endpoint{from.endpoint} // I22: a mirror must hold what it named
	}
	got, out := walk(ctx, r, places, s.ring, func(ctx context.Context, e endpoint, who credential.Credential) (resolved, *problem) {
		return r.body(ctx, e, who, digest)
	})
	if out.problem != nil {
		s.outcome = out
		return Manifest{}, r.failure(s, out.problem)
	}
	if got.quota.Exhausted() { // this was the last one
		s.outcome = out
		return Manifest{}, r.failure(s, quotaProblem(r.host(out.at.host), got.quota))
	}
	return Manifest{Digest: digest, Platforms: got.platforms, Created: got.created, Quota: got.quota}, nil
}

func (r *Resolver) answerOf(q Query) (answered, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, ok := r.answered[q.key()]
	return from, ok
}

func quotaProblem(h *host, quota Quota) *problem {
	return &problem{cause: fault.RateLimited, detail: quotaUsed, stage: fault.StageManifest, role: fault.StageManifest, host: h.address, retry: quota.Window}
}

// body fetches and reads a manifest by digest.
func (r *Resolver) body(ctx context.Context, e endpoint, who credential.Credential, digest image.Digest) (resolved, *problem) {
	key := bodyKey{e.host, e.repository, digest, who.Identity()}
	return r.bodies.do(ctx, key, r.options.Timeout, func(ctx context.Context) (resolved, *problem) {
		got, quota, p := r.manifest(ctx, e, who, string(digest))
		if p != nil {
			return resolved{}, p
		}
		result := resolved{digest: digest, platforms: got.platforms, created: got.created, quota: quota}
		if result.platforms, p = r.config(ctx, e, who, got); p != nil {
			return resolved{}, p
		}
		for _, child := range got.unnamed[:min(len(got.unnamed), maxUnnamed)] {
			single, _, p := r.manifest(ctx, e, who, child.String())
			if p != nil && p.cause == fault.NotFound { // as with a configuration
				continue
			}
			if p != nil {
				return resolved{}, p
			}
			if single.config == nil { // an index within an index
				continue
			}
			own, p := r.config(ctx, e, who, single)
			if p != nil {
				return resolved{}, p
			}
			result.platforms = append(result.platforms, own...)
		}
		return result, nil
	})
}

// manifest fetches a manifest; the library has found it to be its digest's.
func (r *Resolver) manifest(ctx context.Context, e endpoint, who credential.Credential, digest string) (contents, Quota, *problem) {
	h := r.host(e.host)
	ref := h.registry.Repo(e.repository).Digest(digest)
	var found *remote.Descriptor
	got, p := r.ask(ctx, h, e.repository, who, otherDigest, func(o ...remote.Option) (err error) {
		found, err = remote.Get(ref, o...)
		return err
	})
	if p != nil {
		return contents{}, Quota{}, r.explain(ctx, h, ref, who, got, p)
	}
	c, d := parseManifest(found.Manifest, got.Header.Get("Content-Type"))
	if d != plain {
		return contents{}, Quota{}, bad(got.call, d)
	}
	return c, got.Quota, nil
}

// config reads the platform of a single image from its configuration; none where it names none, or is not there: whether
// the image can be pulled a rollout tells, and a platform that is wanted is missing. An index names its own.
func (r *Resolver) config(ctx context.Context, e endpoint, who credential.Credential, of contents) ([]image.Platform, *problem) {
	if of.config == nil {
		return of.platforms, nil
	}
	h := r.host(e.host)
	ref := h.registry.Repo(e.repository).Digest(of.config.Digest.String())
	var body []byte
	_, p := r.ask(ctx, h, e.repository, who, badConfig, func(o ...remote.Option) error {
		blob, err := remote.Layer(ref, o...)
		if err != nil {
			return err
		}
		content, err := blob.Compressed()
		if err != nil {
			return err
		}
		defer content.Close() //nolint:errcheck // it has been read
		body, err = io.ReadAll(content)
		return err
	})
	if p != nil && p.cause == fault.NotFound { // the manifest is there, what it names is not yet (I34), or not any more
		return nil, nil
	}
	if p != nil {
		return nil, p
	}
	own, ok := parseConfig(body)
	if !ok {
		return nil, nil
	}
	return []image.Platform{own}, nil
}
