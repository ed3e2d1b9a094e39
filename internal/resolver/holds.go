package resolver

import (
	"context"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// holds says whether all of these images are of a digest. What runs may be named by its configuration, which an index does not
// name: then its manifests are read one after the other, until all are found.
func (h *host) holds(ctx context.Context, repository string, who credential.Credential, digest image.Digest, ids []image.ID) (got Manifest, all bool, p *problem) {
	if got, p = h.body(ctx, repository, who, digest); p != nil {
		return Manifest{}, false, p
	}
	missing := slices.Clone(ids)
	found := func(id image.ID) {
		missing = slices.DeleteFunc(missing, func(m image.ID) bool { return m == id })
	}
	found(image.IDOf(digest))
	if got.config != nil {
		found(image.ID(got.config.Digest.String()))
	}
	for _, child := range got.images {
		found(image.IDOf(image.Digest(child.String())))
	}
	isManifest := func(id image.ID) bool { return id.Manifest() != "" }
	for _, child := range got.images[:min(len(got.images), maxUnnamed)] {
		if len(missing) == 0 || slices.ContainsFunc(missing, isManifest) { // which no configuration is
			break
		}
		_, single, one, p := h.get(ctx, h.registry.Repo(repository).Digest(child.String()), who, otherDigest)
		switch {
		case p != nil && p.cause == failure.NotFound: // a platform that was never pushed
			continue
		case p != nil:
			return Manifest{}, false, p
		case single.config != nil:
			found(image.ID(single.config.Digest.String()))
		}
		got.Quota = one.Quota
	}
	return got, len(missing) == 0, nil
}

// serves asks whether a digest is there: one HEAD, and a GET only where the registry has no HEAD. An answer of 200 is enough,
// whatever else it lacks.
func (h *host) serves(ctx context.Context, repository string, who credential.Credential, digest image.Digest) (Manifest, *problem) {
	return h.present.do(ctx, bodyKey{repository, digest, who.Identity()}, h.timeout, func(ctx context.Context) (Manifest, *problem) {
		ref := h.registry.Repo(repository).Digest(string(digest))
		_, p := h.ask(ctx, repository, who, noDigest, func(o ...remote.Option) error {
			_, err := remote.Head(ref, o...)
			return err
		})
		switch {
		case p != nil && p.detail == noDigest:
			p = nil
		case p != nil && (p.Status == http.StatusMethodNotAllowed || p.Status == http.StatusNotImplemented):
			_, _, _, p = h.get(ctx, ref, who, otherDigest)
		}
		return Manifest{Digest: digest}, p // a HEAD is no pull, so no quota keeps it from being true
	})
}
