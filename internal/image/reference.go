package image

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// Reference is an image reference, normalised as the kubelet normalises it: docker.io and library/ filled
// in, index.docker.io folded into docker.io, and a missing tag read as latest.
type Reference struct {
	Host       string // docker.io, ghcr.io, harbor.example.com:8443
	Repository string // library/nginx, tracebloc/ingestor
	Tag        string // latest where the text had neither tag nor digest; empty where it had a digest alone
	Digest     Digest // empty where the text had none
	Spelled    string // the repository with its host, as the text spelled it: without tag and digest
	Floating   bool   // the text had no tag, or the tag latest
}

// ParseReference reads an image reference as a container's image field or a configuration may spell it. Its
// error names the rule that was broken, not the whole text, which may come from outside.
func ParseReference(text string) (Reference, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return Reference{}, fmt.Errorf("not an image reference: %w", err)
	}
	ref := Reference{Host: reference.Domain(named), Repository: reference.Path(named)}
	if digested, ok := named.(reference.Digested); ok {
		if ref.Digest, err = ParseDigest(digested.Digest().String()); err != nil {
			return Reference{}, err
		}
	}
	if tagged, ok := named.(reference.Tagged); ok {
		ref.Tag = tagged.Tag()
	}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = "latest"
	}
	ref.Floating = ref.Tag == "latest"
	ref.Spelled = spelling(text)
	return ref, nil
}

// spelling cuts tag and digest off a reference that has been found valid.
func spelling(text string) string {
	text, _, _ = strings.Cut(text, "@")
	if colon := strings.LastIndexByte(text, ':'); colon > strings.LastIndexByte(text, '/') {
		text = text[:colon]
	}
	return text
}

// Name is host and repository, the identity that credentials and token scopes are chosen by.
func (r Reference) Name() string { return r.Host + "/" + r.Repository }

// String is the normalised reference, with its tag and digest where it has them.
func (r Reference) String() string {
	text := r.Name()
	if r.Tag != "" {
		text += ":" + r.Tag
	}
	if r.Digest != "" {
		text += "@" + string(r.Digest)
	}
	return text
}

// Follows says whether a slot that holds r follows the target reference: the same repository and, where the
// slot names a tag at all, the same tag. A slot pinned as repository@digest names none (I41).
func (r Reference) Follows(target Reference) bool {
	return r.Name() == target.Name() && (r.Tag == target.Tag || r.Tag == "")
}
