package resolver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

var (
	amd64 = image.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = image.Platform{OS: "linux", Architecture: "arm64"}
)

func TestInspect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub := w.dockerHub()
	q := query(t, "t/i:1")
	index := hub.index("t/i", "1", "a", "linux/amd64", "linux/arm64", "unknown/unknown")
	single := hub.single("t/i", "2", "linux", "arm64")
	child := hub.manifests["t/i@"+string(single)]
	unnamed := hub.push("t/i", "3", ociIndex, []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, ociIndex, ociImage, single, len(child))))
	r := w.resolver()
	for digest, want := range map[image.Digest][]image.Platform{index: {amd64, arm64}, single: {arm64}, unnamed: {arm64}} {
		manifest, err := r.Inspect(t.Context(), q, digest)
		require.NoError(t, err)
		assert.Equal(t, resolver.Manifest{Digest: digest, Platforms: want}, manifest)
	}
	before := len(w.asked())
	_, err := r.Inspect(t.Context(), q, index)
	require.NoError(t, err)
	assert.Len(t, w.asked(), before, "each digest is fetched once")
	assert.Equal(t, 1, w.count(tokenPath))
	for _, r := range w.seen() {
		if strings.Contains(r.Path, "/manifests/") {
			assert.Len(t, r.Accept, 1)
		}
	}

	_, err = r.Inspect(t.Context(), q, digestOf([]byte("gone")))
	failure := fault.Of(err, fault.API)
	assert.Equal(t, fault.NotFound, failure.Cause, "the registry no longer has it")
	assert.Equal(t, fault.StageManifest, failure.Stage)
	assert.Contains(t, failure.Message, "docker.io/t/i@sha256:")
}

func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	body := indexBody("a", "linux/amd64")
	for name, c := range map[string]struct {
		mediaType string
		body      []byte // under the digest of this
		sent      []byte // but this is sent
		says      string
	}{
		"another body":       {ociIndex, body, indexBody("b", "linux/amd64"), "not its digest's"},
		"half of it":         {ociIndex, body, body[:40], "not its digest's"},
		"a login page":       {"text/html", body, []byte("<html>"), "not its digest's"},
		"schema 1":           {"application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1,"fsLayers":[]}`), nil, "schema 1"},
		"an artifact":        {ociImage, []byte(`{"schemaVersion":2,"mediaType":"` + ociImage + `","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`), nil, "an artifact"},
		"an empty index":     {ociIndex, []byte(`{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[]}`), nil, "holds no image"},
		"attestations alone": {ociIndex, indexBody("a", "unknown/unknown"), nil, "holds no image"},
		"no manifest at all": {"application/json", []byte(`{"hello":"world"}`), nil, "no image manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hub := w.dockerHub()
			digest := hub.push("t/i", "1", c.mediaType, c.body)
			if c.sent != nil {
				hub.manifests["t/i@"+string(digest)] = c.sent
				hub.types[string(digestOf(c.sent))] = c.mediaType
			}
			_, err := w.resolver().Inspect(t.Context(), query(t, "t/i:1"), digest)
			require.Error(t, err)
			failure := fault.Of(err, fault.API)
			assert.Equal(t, fault.BadResponse, failure.Cause)
			assert.Equal(t, fault.StageManifest, failure.Stage)
			assert.Equal(t, hubHost, failure.Host)
			assert.Contains(t, failure.Message, c.says)
		})
	}
}

// A configuration, or an image of an index that names no platforms, that the registry does not have tells no platform:
// whether the image can be pulled, a rollout tells (I34).
func TestWhatIsNotThereTellsNoPlatform(t *testing.T) {
	t.Parallel()
	const config = `{"mediaType":"` + ociConfig + `","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
	for kind, body := range map[string]string{
		ociImage: `{"schemaVersion":2,"mediaType":"` + ociImage + `","config":` + config + `,"layers":[]}`,
		ociIndex: `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + strings.ReplaceAll(config, ociConfig, ociImage) + `]}`,
	} {
		w := newWorld(t)
		digest := w.dockerHub().push("t/i", "1", kind, []byte(body))
		got, err := w.resolver().Inspect(t.Context(), query(t, "t/i:1"), digest)
		require.NoError(t, err, kind)
		assert.Empty(t, got.Platforms, kind)
	}
}

// A registry that does not send the digest is asked for the body, by tag, and its hash is the digest.
func TestDigestFromTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub := w.dockerHub()
	hub.noDigest = true
	digest := hub.index("t/i", "1", "a", "linux/amd64")
	answer := w.one("t/i:1")
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	assert.Equal(t, []string{"GET registry-1.docker.io/v2/", "GET auth.docker.io/token", "HEAD registry-1.docker.io/v2/t/i/manifests/1", "GET registry-1.docker.io/v2/t/i/manifests/1"}, w.asked())
}

// The configuration of a single image may be served by another host, without our credential.
func TestConfigFromAnotherHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("")
	g.basic, g.accounts["me"] = true, "good-password"
	digest := g.single("t/i", "1", "linux", "amd64")
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		if _, name, ok := strings.Cut(r.URL.Path, "/blobs/"); ok {
			to("https://cdn.example.com/"+name)(rw, r)
			return
		}
		g.ServeHTTP(rw, r)
	})
	w.serve("cdn.example.com", func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write(g.blobs[r.URL.Path[1:]]) })
	r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good-password")}))
	manifest, err := r.Inspect(t.Context(), query(t, "registry.example.com/t/i:1", "ns/pull"), digest)
	require.NoError(t, err)
	assert.Equal(t, []image.Platform{amd64}, manifest.Platforms)
	for _, r := range w.seen() {
		assert.Equal(t, r.Host != "cdn.example.com" && r.Path != "/v2/", r.Authorization != "" && r.Path != "/v2/", r.String())
	}
}

// A body under another body's digest is not believed either way.
func TestBodyThatIsNotItsHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub := newRegistry("")
	hub.index("t/i", "1", "a", "linux/amd64")
	hub.noDigest = true
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			rw.Header().Set("Docker-Content-Digest", string(digestOf([]byte("another"))))
		}
		hub.ServeHTTP(rw, r)
	})
	answer := w.one("registry.example.com/t/i:1")
	require.NotNil(t, answer.Failure)
	assert.Equal(t, fault.BadResponse, answer.Failure.Cause)
	assert.Contains(t, answer.Failure.Message, "not its digest's")
}
