package image

import (
	"slices"
	"strings"
)

// ID is what a pod's status says of the image that a container runs (imageID), as far as it names content: "@" and the digest
// of a manifest or an index, or the digest of an image's configuration alone. It is empty where it names none.
type ID string

// IDOf is the ID of a manifest or an index.
func IDOf(digest Digest) ID { return ID("@" + digest) }

// ParseID reads what kubelets report, in the forms of their container runtimes: containerd's and cri-dockerd's
// "repository@sha256:…" of what was pulled, with "docker-pullable://" in front for the latter; the configuration's digest for
// CRI-O since 1.28, which has no repository and may have no "sha256:", and for images that were loaded from a file.
func ParseID(text string) ID {
	if _, after, found := strings.Cut(text, "://"); found {
		text = after
	}
	_, pulled, isPulled := strings.Cut(text, "@")
	if isPulled {
		text = pulled
	} else if !strings.HasPrefix(text, "sha256:") {
		text = "sha256:" + text
	}
	digest, err := ParseDigest(text)
	switch {
	case err != nil:
		return ""
	case isPulled:
		return IDOf(digest)
	default:
		return ID(digest)
	}
}

// Manifest is the digest of the manifest or index that the ID names; empty where it names a configuration, or nothing.
func (id ID) Manifest() Digest {
	digest, found := strings.CutPrefix(string(id), "@")
	if !found {
		return ""
	}
	return Digest(digest)
}

// DistinctIDs are the IDs in order, each once.
func DistinctIDs(ids []ID) []ID {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}
