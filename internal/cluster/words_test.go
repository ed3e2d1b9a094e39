package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What runtimes say of a pull, as they say it.
func TestWhatAPullSaysOfTheDigest(t *testing.T) {
	t.Parallel()
	const containerd = `rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/tracebloc/api@sha256:bbbb": `
	for message, denies := range map[string]bool{
		// Not there.
		containerd + `failed to resolve reference "ghcr.io/tracebloc/api@sha256:bbbb": ghcr.io/tracebloc/api@sha256:bbbb: not found`:                                                                                                                                                                                 true,
		`Back-off pulling image "ghcr.io/tracebloc/api@sha256:bbbb": ErrImagePull: ` + containerd + `failed to resolve reference "x": ghcr.io/tracebloc/api@sha256:bbbb: not found`:                                                                                                                                  true,
		containerd + `failed to copy: httpReadSeeker: failed open: content at https://ghcr.io/v2/tracebloc/api/manifests/sha256:cccc not found: not found`:                                                                                                                                                           true,
		containerd + `failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:cccc (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found`:                                                                                                                              true,
		`reading manifest sha256:bbbb in quay.io/tracebloc/api: manifest unknown`:                                                                                                                                                                                                                                    true,
		`unable to pull image or OCI artifact: pull image err: copying system image from manifest list: determining manifest MIME type for docker://quay.io/x/y@sha256:bbbb: reading manifest sha256:cccc in quay.io/x/y: manifest unknown; artifact err: get manifest: build image source: choosing image instance`: true,
		`parsing image configuration: fetching blob: blob unknown to registry`:                                                                                                                                                                                                                                       true,
		`Error response from daemon: manifest for tracebloc/api@sha256:bbbb not found: manifest unknown: manifest unknown`:                                                                                                                                                                                           true,
		`reading manifest sha256:bbbb in quay.io/unauthorized/forbidden-timeout: manifest unknown`:                                                                                                                                                                                                                   true, // a name is no word

		// Not for this node.
		containerd + `no match for platform in manifest: not found`:                                                     true,
		containerd + `no match for platform in manifest sha256:bbbb: not found`:                                         true,
		`choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"`:     true,
		`Error choosing image instance: no image found in manifest list for architecture arm64, variant "v8", OS linux`: true,
		`Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list entries`:              true,

		// Corrupt.
		`failed to pull and unpack image "x": failed to unpack image on snapshotter overlayfs: wrong diff id calculated on extraction "sha256:cccc"`: true,
		`failed to pull and unpack image "x": failed to unpack image on snapshotter overlayfs: mismatched image rootfs and manifest layers`:          true,

		// I71, and whatever else is not the digest's doing.
		containerd + `failed to resolve reference "x": unexpected status from HEAD request to https://registry-1.docker.io/v2/x/manifests/sha256:bbbb: 429 Too Many Requests`:                                                                                        false,
		`failed to copy: httpReadSeeker: failed open: unexpected status code https://x/v2/y/blobs/sha256:cccc: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit`:                                                       false,
		`reading manifest sha256:bbbb in docker.io/x/y: toomanyrequests: You have reached your unauthenticated pull rate limit`:                                                                                                                                      false,
		`failed to do request: Head "https://ghcr.io/v2/x/manifests/sha256:bbbb": dial tcp 140.82.121.34:443: i/o timeout`:                                                                                                                                           false,
		`failed to do request: Head "https://ghcr.io/v2/x": dial tcp: lookup ghcr.io on 10.96.0.10:53: no such host`:                                                                                                                                                 false,
		`failed to resolve reference "x": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token: 401 Unauthorized`:                                                                                       false,
		`failed to resolve reference "x": failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://x/token: 404 Not Found`:                                                                                                   false,
		`failed to resolve reference "x": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`:                                                                                      false,
		`failed to resolve reference "x": unexpected status from HEAD request to https://x/v2/y: 503 Service Unavailable`:                                                                                                                                            false,
		`failed to do request: Head "https://x/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`:                                                                                                                               false,
		`(Mirrors also failed: [mirror.example.com/x@sha256:bbbb: reading manifest sha256:bbbb in mirror.example.com/x: manifest unknown]): quay.io/x@sha256:bbbb: pinging container registry quay.io: Get "https://quay.io/v2/": dial tcp 1.2.3.4:443: i/o timeout`: false,
		`failed to resolve reference "x": failed to do request: Head "https://x/v2/y/manifests/sha256:bbbb": EOF`:                                                                                                                                                    false,
		`failed to copy: httpReadSeeker: failed open: failed to do request: unexpected EOF`:                                                                                                                                                                          false,
		`failed commit on ref "layer-sha256:cccc": failed size validation: 12467913 != 94124544: failed precondition`:                                                                                                                                                false,
		`failed commit on ref "layer-sha256:cccc": unexpected commit digest sha256:e3b0, expected sha256:cccc: failed precondition`:                                                                                                                                  false,
		`writing blob: storing blob to file "/var/tmp/x": happened during read: Digest did not match, expected sha256:cccc, got sha256:dddd`:                                                                                                                         false,
		`failed to extract layer sha256:cccc: write /usr/lib/x: no space left on device: unknown`:                                                                                                                                                                    false,
		`failed to prepare extraction snapshot "extract-1 sha256:cccc": parent snapshot sha256:dddd does not exist: not found`:                                                                                                                                       false,
		`failed to get credentials: exec: "docker-credential-ecr-login": executable file not found in $PATH`:                                                                                                                                                         false,
		`Container image "x" is not present with pull policy of Never`:                                                                                                                                                                                               false,
		`Failed to apply default image tag "x:@y": couldn't parse image name: invalid reference format`:                                                                                                                                                              false,
		`Back-off pulling image "ghcr.io/tracebloc/api@sha256:bbbb"`:                                                                                                                                                                                                 false,
		``: false,
	} {
		assert.Equal(t, denies, deniesDigest(message), "%s", message)
	}
}
