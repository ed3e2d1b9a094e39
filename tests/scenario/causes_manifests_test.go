package scenario_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// zipped answers as ever, in a gzip that nobody asked for.
func zipped(w http.ResponseWriter, r *http.Request, next http.Handler) {
	w.Header().Set("Content-Encoding", "gzip")
	faultinject.Edit(func(body []byte) []byte {
		var folded bytes.Buffer
		into := gzip.NewWriter(&folded)
		_, _ = into.Write(body) // into memory
		_ = into.Close()
		return folded.Bytes()
	})(w, r, next)
}

// custom has the registry mean a body of the test's own by the tag, and hold it by its digest.
func custom(s *harness.Scenario, mediaType, body string) (digest string) {
	digest = digestOf(body)
	s.Site.Front.Inject(registries.Fault{Match: func(c registries.Call) bool {
		return registries.At("ghcr.io", registries.Head, registries.Get)(c) && (c.Reference == "0.3" || c.Reference == digest)
	}, Do: faultinject.Reply(http.StatusOK, body, "Content-Type", mediaType, "Docker-Content-Digest", digest, "Content-Length", fmt.Sprint(len(body)))})
	return digest
}

// What containerd pulls is rolled out, though it is not spelled as the specification has it.
func TestManifestsThatNodesPull(t *testing.T) {
	t.Parallel()
	const amd64 = `"platform":{"os":"linux","architecture":"amd64"}`
	child := func(digest, platform string) string {
		return fmt.Sprintf(`{"mediaType":%q,"size":2,"digest":%q,%s}`, types.OCIManifestSchema1, digest, platform)
	}
	index := func(kind types.MediaType, more string, children ...string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,%s"manifests":[%s]}`, kind, more, strings.Join(children, ","))
	}
	good := child(digestOf("one"), amd64)
	for name, make := range map[string]func(s *harness.Scenario) string{
		"a docker list as an OCI index": func(s *harness.Scenario) string {
			return custom(s, string(types.OCIImageIndex), index(types.DockerManifestList, "", good))
		},
		"an OCI index as a docker list": func(s *harness.Scenario) string {
			return custom(s, string(types.DockerManifestList), index(types.OCIImageIndex, "", good))
		},
		"an index with an artifact type": func(s *harness.Scenario) string {
			return custom(s, string(types.OCIImageIndex), index(types.OCIImageIndex, `"artifactType":"application/x",`, good))
		},
		"an entry by sha512 beside a good one": func(s *harness.Scenario) string {
			other := child("sha512:"+strings.Repeat("ab", 64), `"platform":{"os":"linux","architecture":"arm64"}`)
			return custom(s, string(types.OCIImageIndex), index(types.OCIImageIndex, "", good, other))
		},
		"an image with an artifact type": func(s *harness.Scenario) string {
			const config = `{"os":"linux","architecture":"amd64"}`
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Blob), Do: faultinject.Reply(http.StatusOK, config)})
			return custom(s, string(types.OCIManifestSchema1), fmt.Sprintf(
				`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/x","config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
				types.OCIManifestSchema1, types.OCIConfigJSON, digestOf(config), len(config)))
		},
		"a gzip that nobody asked for": func(s *harness.Scenario) string {
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Get), Do: zipped})
			return s.Push(ingestor, registries.Index("c", "linux/amd64"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, _ := behindTag(t, registries.Index("a", "linux/amd64"), registries.Index("b", "linux/amd64"), "platforms: [linux/amd64]")
			digest := make(s)
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, digest, live(s))
		})
	}
}

// What a registry's policy, or the storage behind it, withholds by digest alone stops the rollout, and says who.
func TestWhatIsWithheldByDigest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inject func(*harness.Scenario)
		says   []string
	}{
		"a policy": {
			func(s *harness.Scenario) {
				s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Get), Do: faultinject.Reply(
					http.StatusPreconditionFailed, `{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"current image with 3 vulnerabilities cannot be pulled"}]}`)})
			},
			[]string{"is withheld: the registry ghcr.io answered 412 (PROJECTPOLICYVIOLATION)", "the policy changed"},
		},
		"the storage of a configuration": {
			func(s *harness.Scenario) {
				s.Site.Front.Handle(cdnHost, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "denied", http.StatusForbidden) }))
				s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Blob), Do: redirect("https://" + cdnHost + "/blob?sig=secret")})
			},
			[]string{"the storage " + cdnHost + ", to which the registry sends, answered 403", "allow egress to " + cdnHost + ":443"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, _ := behindTag(t, registries.Image("a", "linux/amd64"), registries.Image("b", "linux/amd64"), "platforms: [linux/amd64]")
			c.inject(s)
			failed := requireOutcome(t, s.Tick(), 0, "skipped", "forbidden")
			for _, text := range c.says {
				assert.Contains(t, failed.Message, text)
			}
			assert.NotContains(t, failed.Message, "secret")
			assert.Equal(t, before, live(s))
			require.Empty(t, slotWrites(s, "deployments", "jobs"))
		})
	}
}
