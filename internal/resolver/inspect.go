package resolver

import (
	"context"
	"net/http"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// maxUnnamed bounds how many images of an index are asked for their platform because the index does not say.
const maxUnnamed = 16

type bodyKey struct {
	host, repository string
	digest           image.Digest
	as, group        credential.Identity
}

// Inspect fetches a manifest by its digest, proves that it is that digest's and that of an image or of an index of
// images, and reads its platforms. The digest that Resolve gave for the query is fetched from where it came from;
// any other, which the registry may no longer have (cause not-found), from the first place that has it. Where the
// registry says that no pulls are left, before or after this one, it fails: pods could not pull.
func (r *Resolver) Inspect(ctx context.Context, q Query, digest image.Digest) (Manifest, error) {
	s := subject{query: q, ring: r.keyring(q.PullSecrets), digest: digest}
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
	got, out := walk(ctx, r, places, s.ring, func(ctx context.Context, e endpoint, who account) (found, *problem) {
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
	return &problem{cause: fault.RateLimited, detail: quotaUsed, stage: fault.StageManifest, role: fault.StageManifest, host: h.addr, retry: quota.Window}
}

// body fetches and reads a manifest by digest.
func (r *Resolver) body(ctx context.Context, e endpoint, who account, digest image.Digest) (found, *problem) {
	key := bodyKey{e.host, e.repository, digest, who.credential.Identity(), who.group}
	return r.bodies.do(ctx, key, r.options.Timeout, func(ctx context.Context) (found, *problem) {
		got, header, p := r.manifest(ctx, e, who, digest)
		if p != nil {
			return found{}, p
		}
		result := found{digest: digest, platforms: got.platforms, created: got.created, quota: parseQuota(header)}
		if got.config != "" {
			own, p := r.config(ctx, e, who, got.config)
			if p != nil {
				return found{}, p
			}
			result.platforms = own
		}
		for _, child := range got.unnamed[:min(len(got.unnamed), maxUnnamed)] {
			single, _, p := r.manifest(ctx, e, who, child)
			if p != nil && p.cause == fault.NotFound { // as with a configuration
				continue
			}
			if p != nil {
				return found{}, p
			}
			own, p := r.config(ctx, e, who, single.config)
			if p != nil {
				return found{}, p
			}
			result.platforms = append(result.platforms, own...)
		}
		return result, nil
	})
}

func (r *Resolver) manifest(ctx context.Context, e endpoint, who account, digest image.Digest) (contents, http.Header, *problem) {
	h := r.host(e.host)
	answer, got, p := r.fetch(ctx, h, e.repository, who, thing{method: http.MethodGet, kind: "manifests", name: string(digest), limit: maxManifest})
	if p != nil {
		return contents{}, nil, p
	}
	if answer.status != http.StatusOK {
		return contents{}, nil, r.refused(ctx, h, e.repository, who, string(digest), answer, got)
	}
	if hashOf(answer.body) != digest {
		return contents{}, nil, bad(answer, otherDigest)
	}
	c, d := parseManifest(answer.body, answer.header.Get("Content-Type"))
	if d != plain {
		return contents{}, nil, bad(answer, d)
	}
	return c, answer.header, nil
}

// config reads the platform of a single image from its configuration; none where it names none, or is not there: whether
// the image can be pulled a rollout tells, and a platform that is wanted is missing.
func (r *Resolver) config(ctx context.Context, e endpoint, who account, digest image.Digest) ([]image.Platform, *problem) {
	if digest == "" { // an index within an index
		return nil, nil
	}
	h := r.host(e.host)
	answer, _, p := r.fetch(ctx, h, e.repository, who, thing{method: http.MethodGet, kind: "blobs", name: string(digest), limit: maxManifest})
	if p != nil {
		return nil, p
	}
	if answer.status == http.StatusNotFound { // the manifest is there, what it names is not yet (I34), or not any more
		return nil, nil
	}
	if answer.status != http.StatusOK {
		return nil, refusal(answer, fault.StageManifest)
	}
	if hashOf(answer.body) != digest {
		return nil, bad(answer, badConfig)
	}
	own, ok := parseConfig(answer.body)
	if !ok {
		return nil, nil
	}
	return []image.Platform{own}, nil
}
