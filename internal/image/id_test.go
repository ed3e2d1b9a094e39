package image

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The forms that kubelets were seen to report, by container runtime.
func TestParseID(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("4f", 32)
	digest := Digest("sha256:" + hex)
	for text, want := range map[string]ID{
		"ghcr.io/tracebloc/ingestor@sha256:" + hex:                         IDOf(digest), // containerd
		"docker.io/library/nginx@sha256:" + hex:                            IDOf(digest),
		"docker-pullable://docker.io/tracebloc/jobs-manager@sha256:" + hex: IDOf(digest), // cri-dockerd
		"registry.example.com:5000/a/b@sha256:" + hex:                      IDOf(digest),
		"sha256:" + hex:            ID(digest), // containerd, of an image that was loaded from a file
		"docker://sha256:" + hex:   ID(digest), // cri-dockerd, the same
		hex:                        ID(digest), // CRI-O since 1.28
		"":                         "",
		"ghcr.io/tracebloc/x:0.3":  "",
		"ghcr.io/x@sha512:" + hex:  "",
		"ghcr.io/x@sha256:" + "4f": "",
	} {
		assert.Equal(t, want, ParseID(text), text)
	}
	assert.Equal(t, digest, IDOf(digest).Manifest())
	assert.Empty(t, ID(digest).Manifest())
	assert.Equal(t, []ID{"a", "b"}, DistinctIDs([]ID{"b", "a", "b"}))
}
