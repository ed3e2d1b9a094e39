package resolver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// found is what a registry serves under a name.
type found struct {
	digest    image.Digest
	platforms []image.Platform // of a manifest that was fetched
	created   time.Time        // the same
	quota     Quota
}

type tagKey struct {
	host, repository, tag string
	as, group             credential.Identity
}

// tag asks for the digest behind a tag: one HEAD, which docker.io does not count as a pull, and a GET only
// where the answer is a 200 without a digest (older registries).
func (r *Resolver) tag(ctx context.Context, e endpoint, who account, tag string) (found, *problem) {
	key := tagKey{e.host, e.repository, tag, who.credential.Identity(), who.group}
	return r.tags.do(ctx, key, r.options.Timeout, func(ctx context.Context) (found, *problem) {
		h := r.host(e.host)
		answer, got, p := r.fetch(ctx, h, e.repository, who, thing{method: http.MethodHead, kind: "manifests", name: tag})
		if p != nil {
			return found{}, p
		}
		if answer.status != http.StatusOK {
			return found{}, r.refused(ctx, h, e.repository, who, tag, answer, got)
		}
		digest, d := headerDigest(answer.header)
		if d == noDigest {
			return r.tagByBody(ctx, h, e.repository, who, tag)
		}
		if d != plain {
			return found{}, bad(answer, d)
		}
		return found{digest: digest, quota: parseQuota(answer.header)}, nil
	})
}

// tagByBody computes the digest that a registry does not send.
func (r *Resolver) tagByBody(ctx context.Context, h *host, repository string, who account, tag string) (found, *problem) {
	answer, got, p := r.fetch(ctx, h, repository, who, thing{method: http.MethodGet, kind: "manifests", name: tag, limit: maxManifest})
	if p != nil {
		return found{}, p
	}
	if answer.status != http.StatusOK {
		return found{}, r.refused(ctx, h, repository, who, tag, answer, got)
	}
	if _, d := parseManifest(answer.body, answer.header.Get("Content-Type")); d != plain {
		return found{}, bad(answer, d)
	}
	digest := hashOf(answer.body)
	if sent, d := headerDigest(answer.header); d == badDigest || d == plain && sent != digest {
		return found{}, bad(answer, otherDigest)
	}
	return found{digest: digest, quota: parseQuota(answer.header)}, nil
}

// headerDigest reads Docker-Content-Digest. Several that differ are as bad as one that is none (I37).
func headerDigest(header http.Header) (image.Digest, detail) {
	var digest image.Digest
	for _, value := range header.Values("Docker-Content-Digest") {
		if strings.TrimSpace(value) == "" {
			continue
		}
		parsed, err := image.ParseDigest(value)
		if err != nil || digest != "" && digest != parsed {
			return "", badDigest
		}
		digest = parsed
	}
	if digest == "" {
		return "", noDigest
	}
	return digest, plain
}

func hashOf(body []byte) image.Digest {
	sum := sha256.Sum256(body)
	return image.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func bad(answer response, d detail) *problem {
	return &problem{
		cause: fault.BadResponse, detail: d, stage: fault.StageManifest, role: fault.StageManifest, host: answer.host, status: answer.status,
	}
}
