package resolver

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const (
	ociIndex    = string(types.OCIImageIndex)
	ociImage    = string(types.OCIManifestSchema1)
	ociConfig   = string(types.OCIConfigJSON)
	dockerList  = string(types.DockerManifestList)
	dockerImage = string(types.DockerManifestSchema2)

	onAMD64, onARM64 = `{"os":"linux","architecture":"amd64"}`, `{"os":"linux","architecture":"arm64","variant":"v8"}`
	unknown          = `{"os":"unknown","architecture":"unknown"}`
)

func entryJSON(media, platform string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"platform":%s}`, media, someDigest, platform)
}

// indexJSON is an index of images for these platforms.
func indexJSON(platforms ...string) string {
	var entries []string
	for _, platform := range platforms {
		entries = append(entries, entryJSON(ociImage, platform))
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ociIndex, strings.Join(entries, ","))
}

func imageJSON(config string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":1},"layers":[]}`,
		ociImage, config, someDigest)
}

// with is a text with others replaced.
func with(text string, replaced ...string) string {
	return strings.NewReplacer(replaced...).Replace(text)
}

func TestManifests(t *testing.T) {
	t.Parallel()
	sha512 := with(entryJSON(ociImage, onARM64), someDigest, "sha512:"+strings.Repeat("0123456789abcdef", 8))
	windows := func(version string) string {
		return `{"os":"windows","architecture":"amd64","os.version":"` + version + `"}`
	}
	spelled := indexJSON(`{"os":"Linux","architecture":"x86_64"}`, `{"os":"linux","architecture":"aarch64"}`)
	const image, unnamed = "an image", "unnamed"
	for name, c := range map[string]struct{ body, contentType, want string }{
		"index":                            {indexJSON(onAMD64, onARM64), ociIndex, "linux/amd64 linux/arm64/v8"},
		"index typed only in the header":   {with(indexJSON(onAMD64), `"mediaType":"`+ociIndex+`",`, ""), ociIndex + "; charset=utf-8", "linux/amd64"},
		"index sent as JSON":               {indexJSON(onAMD64), "application/json", "linux/amd64"},
		"docker list":                      {with(indexJSON(onAMD64), ociIndex, dockerList, ociImage, dockerImage), dockerList, "linux/amd64"},
		"docker list sent as an OCI index": {with(indexJSON(onAMD64), ociIndex, dockerList), ociIndex, "linux/amd64"},
		"OCI index sent as a docker list":  {indexJSON(onAMD64), dockerList, "linux/amd64"},
		"attestations":                     {indexJSON(onAMD64, unknown), ociIndex, "linux/amd64"},
		"each platform once":               {indexJSON(windows("1"), windows("2")), ociIndex, "windows/amd64"},
		"spelled otherwise":                {spelled, ociIndex, "linux/amd64 linux/arm64"},
		"entry without platform":           {indexJSON("null"), ociIndex, unnamed},
		"platform that is none":            {indexJSON(`{"os":"li\nnux","architecture":"amd64"}`, onAMD64), ociIndex, "linux/amd64"},
		"an entry by sha512":               {with(indexJSON(onAMD64), "]}", ","+sha512+"]}"), ociIndex, "linux/amd64 linux/arm64/v8"},
		"artifact type of images":          {with(indexJSON(onAMD64), `"size"`, `"artifactType":"`+ociConfig+`","size"`), ociIndex, "linux/amd64"},
		"artifact index":                   {with(indexJSON(onAMD64), `"manifests"`, `"artifactType":"application/x","manifests"`), ociIndex, "linux/amd64"},
		"image":                            {imageJSON(ociConfig), ociImage, image},
		"docker image":                     {with(imageJSON(string(types.DockerConfigJSON)), ociImage, dockerImage), dockerImage, image},
		"image of another type":            {imageJSON(ociConfig), dockerImage, image},
		"artifact type of an image":        {with(imageJSON(ociConfig), `"config":`, `"artifactType":"application/x","config":`), ociImage, image},
	} {
		got, d := parseManifest([]byte(c.body), c.contentType)
		assert.Equal(t, noDetail, d, name)
		var found []string
		for _, platform := range got.platforms {
			found = append(found, platform.String())
		}
		if len(got.unnamed) > 0 {
			assert.Equal(t, someDigest, got.unnamed[0].String())
			found = append(found, unnamed)
		}
		if got.config != nil {
			assert.Equal(t, someDigest, got.config.Digest.String())
			found = append(found, image)
		}
		assert.Equal(t, c.want, strings.Join(found, " "), name)
	}
}

func TestWhatIsNoManifest(t *testing.T) {
	t.Parallel()
	of := func(media, rest string) string { return `{"schemaVersion":2,"mediaType":"` + media + `",` + rest + "}" }
	for _, c := range []struct {
		want        detail
		contentType string
		bodies      []string
	}{
		{emptyIndex, ociIndex, []string{
			indexJSON(unknown), indexJSON(), with(indexJSON(onAMD64), `"size"`, `"artifactType":"application/x","size"`),
			with(indexJSON(onAMD64), ociImage, "application/x"),
		}},
		{schema1, "application/vnd.docker.distribution.manifest.v1+prettyjws", []string{`{"schemaVersion":1,"fsLayers":[]}`}},
		{schema1, ociImage, []string{of(ociImage, `"fsLayers":[],"config":{}`)}},
		{artifact, ociImage, []string{imageJSON("application/vnd.cncf.helm.config.v1+json"), imageJSON("application/vnd.oci.empty.v1+json")}},
		{notManifest, ociImage, []string{ // an index, one typed as an image, a bad digest, half of one
			indexJSON(onAMD64), with(indexJSON(onAMD64), ociIndex, ociImage),
			with(imageJSON(ociConfig), someDigest, "sha256:zz"), imageJSON(ociConfig)[:60],
		}},
		{notManifest, ociIndex, []string{ // an image, both, neither, a bad digest, too many entries, what has another shape
			imageJSON(ociConfig), of(ociIndex, `"manifests":[],"config":{}`), of(ociIndex, `"manifests":[],"layers":[]`), of(ociIndex, `"x":0`),
			with(indexJSON(onAMD64), someDigest, "sha256:zz"), indexJSON(slices.Repeat([]string{onAMD64}, maxEntries+1)...),
			of(ociIndex, `"manifests":{}`), of(ociIndex, `"manifests":["x"]`), `{"schemaVersion":"2"}`,
		}},
		{notManifest, "", []string{`{"schemaVersion":2,"manifests":[]}`, "", `{"hello":"world"}`, "<html>please log in</html>"}},
	} {
		for _, body := range c.bodies {
			got, d := parseManifest([]byte(body), c.contentType)
			assert.Equal(t, c.want, d, body[:min(len(body), 200)])
			assert.Zero(t, got)
		}
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	labels := `{"org.opencontainers.image.version":1,"org.opencontainers.image.revision":"r"}` // of which one is no text
	got, build, ok := parseConfig([]byte(`{"os":"linux","architecture":"arm","variant":"v7","config":{"Env":["PASSWORD=x"],"Labels":` + labels + `}}`))
	assert.True(t, ok)
	assert.Equal(t, image.Build{Revision: "r"}, build)
	assert.Equal(t, image.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, got)
	for _, body := range []string{``, `{}`, `{"os":"linux"}`, `[]`, unknown} {
		_, _, ok := parseConfig([]byte(body))
		assert.False(t, ok, body)
	}
}

// Which image of an index stands for all of them when a build is read.
func TestTheImageThatTellsTheBuild(t *testing.T) {
	t.Parallel()
	amd64, arm64, windows := image.Platform{OS: "linux", Architecture: "amd64"}, image.Platform{OS: "linux", Architecture: "arm64"}, image.Platform{OS: "windows", Architecture: "amd64"}
	type list = []image.Platform
	for _, c := range []struct {
		of, wanted list
		want       image.Platform
	}{
		{list{arm64, amd64}, nil, amd64},
		{list{windows, arm64}, nil, windows},
		{list{windows, amd64, arm64}, list{arm64}, arm64},
		{list{windows, arm64, amd64}, list{arm64, amd64}, amd64},
		{list{windows, arm64}, list{amd64}, windows},
		{list{windows, arm64, amd64}, list{{OS: "linux", Architecture: "riscv64"}}, amd64},
	} {
		var images []child
		for _, platform := range c.of {
			images = append(images, child{platform: platform})
		}
		assert.Equal(t, c.want, likeliest(images, c.wanted).platform, c)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(indexJSON(onAMD64, "null")), ociIndex)
	f.Add([]byte(imageJSON(ociConfig)), ociImage)
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), "")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		c, d := parseManifest(body, contentType)
		require.False(t, d != noDetail && len(c.images)+len(c.platforms)+len(c.unnamed) > 0, "contents came with a problem")
		require.Equal(t, d == noDetail, (c.config == nil) != (len(c.platforms)+len(c.unnamed) == 0), "an image, or an index of images")
		for _, p := range c.platforms {
			again, err := image.ParsePlatform(p.String())
			require.True(t, err == nil && again == p && p.Known(), "no platform: %q", p)
		}
		hashes := c.unnamed
		if c.config != nil {
			hashes = append(hashes, c.config.Digest)
		}
		for _, hash := range hashes {
			again, err := v1.NewHash(hash.String())
			require.True(t, err == nil && again == hash, "no digest: %q", hash)
		}
	})
}
