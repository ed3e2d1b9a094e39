package image

import (
	"errors"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
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

// What the kubelet accepts is narrower than what package name does (a repository of dashes, a path that climbs out
// of itself, a tag that begins with a dot), and what it refuses no node can pull.
var (
	hostPattern       = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$`)
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern        = regexp.MustCompile(`^\w[\w.-]*$`) // package name counts the 128 characters
)

// errReference never repeats the text, which may come from outside.
var errReference = errors.New("not an image reference as in ghcr.io/team/image:1.2, in lower case, with a tag of at most 128 characters")

// ParseReference reads an image reference as a container's image field or a configuration may spell it.
func ParseReference(text string) (Reference, error) {
	base, digest, pinned := strings.Cut(text, "@")
	tag, err := name.NewTag(base, name.WithDefaultTag(""))
	if err != nil || strings.Contains(base, "://") || isHash(base) { // of an image on a node, which no registry can be asked for
		return Reference{}, errReference
	}
	ref := Reference{Host: tag.RegistryStr(), Repository: tag.RepositoryStr(), Tag: tag.TagStr(), Spelled: base}
	if ref.Host == name.DefaultRegistry {
		ref.Host = "docker.io"
	}
	if ref.Tag != "" {
		ref.Spelled = strings.TrimSuffix(base, ":"+ref.Tag)
	}
	if pinned {
		if ref.Digest, err = ParseDigest(digest); err != nil {
			return Reference{}, err
		}
	} else if ref.Tag == "" {
		ref.Tag = "latest"
	}
	ref.Floating = ref.Tag == "latest"
	if !hostPattern.MatchString(ref.Host) || !repositoryPattern.MatchString(ref.Repository) || ref.Tag != "" && !tagPattern.MatchString(ref.Tag) {
		return Reference{}, errReference
	}
	return ref, nil
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
