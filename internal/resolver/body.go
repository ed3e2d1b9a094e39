package resolver

import (
	"context"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// maxUnnamed bounds how many images of an index are asked for their platform because the index does not say.
const maxUnnamed = 16

type bodyKey struct {
	repository string
	digest     image.Digest
	as         credential.Identity
}

// body fetches and reads a manifest by digest.
func (h *host) body(ctx context.Context, repository string, who credential.Credential, digest image.Digest) (Manifest, *problem) {
	return h.bodies.do(ctx, bodyKey{repository, digest, who.Identity()}, h.timeout, func(ctx context.Context) (Manifest, *problem) {
		in := h.registry.Repo(repository)
		_, found, got, p := h.get(ctx, in.Digest(string(digest)), who, otherDigest)
		if p != nil {
			return Manifest{}, p
		}
		result := Manifest{Digest: digest, Platforms: found.platforms, Build: found.build, Quota: got.Quota, images: found.images, config: found.config}
		if p = h.config(ctx, repository, who, found.config, &result); p != nil {
			return Manifest{}, p
		}
		for _, child := range found.unnamed[:min(len(found.unnamed), maxUnnamed)] {
			_, single, _, p := h.get(ctx, in.Digest(child.String()), who, otherDigest)
			if p != nil && p.cause == failure.NotFound { // as with a configuration
				continue
			}
			if p != nil {
				return Manifest{}, p
			}
			if single.config == nil { // an index within an index
				continue
			}
			result.Build = result.Build.Or(single.build)
			if p := h.config(ctx, repository, who, single.config, &result); p != nil {
				return Manifest{}, p
			}
		}
		return result, nil
	})
}

// config adds to a result what the configuration of a single image says: its platform, if it names one, and which build it is.
// Nothing where it is not there: whether the image can be pulled a rollout tells, and a platform that is wanted is missing. An index
// has none.
func (h *host) config(ctx context.Context, repository string, who credential.Credential, of *v1.Descriptor, result *Manifest) *problem {
	if of == nil {
		return nil
	}
	var body []byte
	_, p := h.ask(ctx, repository, who, badConfig, blobInto(&body, h.registry.Repo(repository).Digest(of.Digest.String())))
	if p != nil && p.cause == failure.NotFound { // the manifest is there, what it names is not yet (I34), or not any more
		return nil
	}
	if p != nil {
		return p
	}
	own, build, ok := parseConfig(body)
	if ok {
		result.Platforms = append(result.Platforms, own)
	}
	result.Build = result.Build.Or(build)
	return nil
}

// blobInto asks for a blob, and keeps it.
func blobInto(body *[]byte, ref name.Digest) question {
	return func(o ...remote.Option) error {
		blob, err := remote.Layer(ref, o...)
		if err != nil {
			return err
		}
		content, err := blob.Compressed()
		if err != nil {
			return err
		}
		defer content.Close() //nolint:errcheck // it has been read
		*body, err = io.ReadAll(content)
		return err
	}
}
