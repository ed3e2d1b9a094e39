package resolver

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/image"
)

type tagKey struct {
	repository, tag string
	as              credential.Identity
}

// tag asks for the digest behind a tag: one HEAD, which docker.io does not count as a pull, and a GET only where the
// registry has no HEAD, or answers it without what makes it useful. Never after a 429.
func (h *host) tag(ctx context.Context, repository string, who credential.Credential, tag string) (Manifest, *problem) {
	return h.tags.do(ctx, tagKey{repository, tag, who.Identity()}, h.timeout, func(ctx context.Context) (Manifest, *problem) {
		ref := h.registry.Repo(repository).Tag(tag)
		var digest image.Digest
		got, p := h.ask(ctx, repository, who, noDigest, func(o ...remote.Option) error {
			found, err := remote.Head(ref, o...)
			if err == nil {
				digest, err = image.ParseDigest(found.Digest.String())
			}
			return err
		})
		switch {
		case p != nil && (p.detail == noDigest || p.Status == http.StatusMethodNotAllowed || p.Status == http.StatusNotImplemented),
			p == nil && len(got.Header.Values(digestHeader)) > 1:
			return h.tagByBody(ctx, ref, who)
		case p != nil:
			return Manifest{}, h.explain(ctx, ref, who, got, p)
		}
		return Manifest{Digest: digest, Quota: got.Quota}, nil
	})
}

const digestHeader = "Docker-Content-Digest"

// tagByBody computes the digest that a registry does not send. One that it does send must be the same (I37).
func (h *host) tagByBody(ctx context.Context, ref name.Reference, who credential.Credential) (Manifest, *problem) {
	digest, _, got, p := h.get(ctx, ref, who, notManifest)
	if p != nil {
		return Manifest{}, p
	}
	for _, sent := range got.Header.Values(digestHeader) {
		if sent = strings.TrimSpace(sent); sent == "" || sent == string(digest) {
			continue
		}
		if _, err := image.ParseDigest(sent); err != nil {
			return Manifest{}, badAnswer(&got.Call, badDigest)
		}
		return Manifest{}, badAnswer(&got.Call, otherDigest)
	}
	return Manifest{Digest: digest, Quota: got.Quota}, nil
}

// get fetches what a reference names, and reads it.
func (h *host) get(ctx context.Context, ref name.Reference, who credential.Credential, unreadable detail) (image.Digest, contents, answer, *problem) {
	var found *remote.Descriptor
	got, p := h.ask(ctx, ref.Context().RepositoryStr(), who, unreadable, func(o ...remote.Option) (err error) {
		found, err = remote.Get(ref, o...)
		return err
	})
	if p != nil {
		return "", contents{}, got, h.explain(ctx, ref, who, got, p)
	}
	c, d := parseManifest(found.Manifest, got.Header.Get("Content-Type"))
	digest, err := image.ParseDigest(found.Digest.String()) // which the library has computed
	if err != nil {
		d = badDigest
	}
	if d != noDetail {
		return "", contents{}, got, badAnswer(&got.Call, d)
	}
	return digest, c, got, nil
}
