package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What runtimes say of a pull, as they say it: that the digest is not there, is not for this node, or is corrupt; or what is not
// the digest's doing (I71).
func TestWhatAPullSaysOfTheDigest(t *testing.T) {
	t.Parallel()
	const containerd = `failed to pull and unpack image "ghcr.io/tracebloc/api@sha256:bbbb": `
	for _, message := range []string{
		containerd + `failed to resolve reference "ghcr.io/tracebloc/api@sha256:bbbb": ghcr.io/tracebloc/api@sha256:bbbb: not found`,
		containerd + `failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:cccc (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found`,
		`reading manifest sha256:bbbb in quay.io/tracebloc/api: manifest unknown`,
		`unable to pull image or OCI artifact: pull image err: copying system image from manifest list: determining manifest MIME type for docker://quay.io/x/y@sha256:bbbb: reading manifest sha256:cccc in quay.io/x/y: manifest unknown; artifact err: get manifest: build image source: choosing image instance`,
		`parsing image configuration: fetching blob: blob unknown to registry`,
		containerd + `failed to copy: httpReadSeeker: failed open: content at https://ghcr.io/v2/x/manifests/sha256:cccc not found: not found`,
		`Error response from daemon: manifest for tracebloc/api@sha256:bbbb not found: manifest unknown: manifest unknown`,
		`reading manifest sha256:bbbb in quay.io/unauthorized/forbidden-timeout: manifest unknown`,
		containerd + `no match for platform in manifest: not found`,
		containerd + `no match for platform in manifest sha256:bbbb: not found`,
		`choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"`,
		`Error choosing image instance: no image found in manifest list for architecture arm64, variant "v8", OS linux`,
		`Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list entries`,
		`failed to pull and unpack image "x": failed to unpack image on snapshotter overlayfs: wrong diff id calculated on extraction "sha256:cccc"`,
		`failed to pull and unpack image "x": failed to unpack image on snapshotter overlayfs: mismatched image rootfs and manifest layers`,
	} {
		assert.True(t, deniesDigest(message), message)
	}
	for _, message := range []string{
		`failed to copy: httpReadSeeker: failed open: unexpected status code https://x/v2/y/blobs/sha256:cccc: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit`,
		`failed to do request: Head "https://ghcr.io/v2/x/manifests/sha256:bbbb": dial tcp 140.82.121.34:443: i/o timeout`,
		`failed to resolve reference "x": failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://x/token: 404 Not Found`,
		`failed to resolve reference "x": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`,
		`(Mirrors also failed: [mirror.example.com/x@sha256:bbbb: reading manifest sha256:bbbb in mirror.example.com/x: manifest unknown]): quay.io/x@sha256:bbbb: pinging container registry quay.io: Get "https://quay.io/v2/": dial tcp 1.2.3.4:443: i/o timeout`,
		`failed to copy: httpReadSeeker: failed open: failed to do request: unexpected EOF`,
		`failed commit on ref "layer-sha256:cccc": failed size validation: 12467913 != 94124544: failed precondition`,
		`failed commit on ref "layer-sha256:cccc": unexpected commit digest sha256:e3b0, expected sha256:cccc: failed precondition`,
		`writing blob: storing blob to file "/var/tmp/x": happened during read: Digest did not match, expected sha256:cccc, got sha256:dddd`,
		`failed to extract layer sha256:cccc: write /usr/lib/x: no space left on device: unknown`,
		`failed to prepare extraction snapshot "extract-1 sha256:cccc": parent snapshot sha256:dddd does not exist: not found`,
		`failed to get credentials: exec: "docker-credential-ecr-login": executable file not found in $PATH`,
		`Back-off pulling image "ghcr.io/tracebloc/api@sha256:bbbb"`,
		``,
	} {
		assert.False(t, deniesDigest(message), message)
	}
}

// What the API server says when it refuses pods: for something that the digest may have to do with, or not.
func TestWhatARefusalOfPodsSaysOfTheDigest(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		`admission webhook "validate.kyverno.svc-fail" denied the request: image signature`,
		`pods "x" is forbidden: ValidatingAdmissionPolicy 'images' denied request: not approved`,
		`pods "x" is forbidden: violates PodSecurity "restricted:latest"`,
	} {
		assert.True(t, refusesPods(message), message)
	}
	for _, message := range []string{
		`pods "x" is forbidden: exceeded quota: compute, requested: limits.memory=2Gi`, "",
		`failed calling webhook "x": failed to call webhook: Post "https://x": connect: permission denied`,
		`pods "x" is forbidden: unable to create new content in namespace tracebloc because it is being terminated`,
		`pods "x" is forbidden: error looking up service account tracebloc/api: serviceaccount "api" not found`,
	} {
		assert.False(t, refusesPods(message), message)
	}
}
