package resolver

import (
	"fmt"
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
	ociIndex     = string(types.OCIImageIndex)
	ociImage     = string(types.OCIManifestSchema1)
	ociConfig    = string(types.OCIConfigJSON)
	dockerList   = string(types.DockerManifestList)
	dockerImage  = string(types.DockerManifestSchema2)
	dockerConfig = string(types.DockerConfigJSON)
)

func entryJSON(media, platform string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"platform":%s}`, media, someDigest, platform)
}

func indexJSON(entries ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ociIndex, strings.Join(entries, ","))
}

func imageJSON(config string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":1},"layers":[]}`, ociImage, config, someDigest)
}

func TestParseManifest(t *testing.T) {
	t.Parallel()
	amd64, arm64 := `{"os":"linux","architecture":"amd64"}`, `{"os":"linux","architecture":"arm64","variant":"v8"}`
	unknown := `{"os":"unknown","architecture":"unknown"}`
	hash, err := v1.NewHash(someDigest)
	require.NoError(t, err)
	runs := contents{config: &v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: hash, Size: 1}}
	dockerRuns := contents{config: &v1.Descriptor{MediaType: types.DockerConfigJSON, Digest: hash, Size: 1}}
	onAMD64 := contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}
	sha512 := strings.Replace(entryJSON(ociImage, arm64), someDigest, "sha512:"+strings.Repeat("0123456789abcdef", 8), 1)
	for name, c := range map[string]struct {
		body, contentType string
		want              contents
		d                 detail
	}{
		"index": {indexJSON(entryJSON(ociImage, amd64), entryJSON(ociImage, arm64)), ociIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}}}, noDetail},
		"index that names its type only in the header": {strings.Replace(indexJSON(entryJSON(ociImage, amd64)), `"mediaType":"`+ociIndex+`",`, "", 1), ociIndex + "; charset=utf-8", contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, noDetail},
		"index sent as JSON":                           {indexJSON(entryJSON(ociImage, amd64)), "application/json", contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, noDetail},
		"docker list":                                  {strings.ReplaceAll(strings.ReplaceAll(indexJSON(entryJSON(ociImage, amd64)), ociIndex, dockerList), ociImage, dockerImage), dockerList, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, noDetail},
		"attestations":                                 {indexJSON(entryJSON(ociImage, amd64), entryJSON(ociImage, unknown)), ociIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, noDetail},
		"each platform once":                           {indexJSON(entryJSON(ociImage, `{"os":"windows","architecture":"amd64","os.version":"1"}`), entryJSON(ociImage, `{"os":"windows","architecture":"amd64","os.version":"2"}`)), ociIndex, contents{platforms: []image.Platform{{OS: "windows", Architecture: "amd64"}}}, noDetail},
		"spelled otherwise":                            {indexJSON(entryJSON(ociImage, `{"os":"Linux","architecture":"x86_64"}`), entryJSON(ociImage, `{"os":"linux","architecture":"aarch64"}`)), ociIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}}, noDetail},
		"entry without platform":                       {indexJSON(entryJSON(ociImage, "null")), ociIndex, contents{unnamed: []v1.Hash{hash}}, noDetail},
		"platform that is none":                        {indexJSON(entryJSON(ociImage, `{"os":"li\nnux","architecture":"amd64"}`), entryJSON(ociImage, amd64)), ociIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, noDetail},
		"image":                                        {imageJSON(ociConfig), ociImage, runs, noDetail},
		"docker image":                                 {strings.Replace(imageJSON(dockerConfig), ociImage, dockerImage, 1), dockerImage, dockerRuns, noDetail},
		"image of another type":                        {imageJSON(ociConfig), dockerImage, runs, noDetail},
		"docker list sent as an OCI index":             {strings.Replace(indexJSON(entryJSON(ociImage, amd64)), ociIndex, dockerList, 1), ociIndex, onAMD64, noDetail},
		"OCI index sent as a docker list":              {indexJSON(entryJSON(ociImage, amd64)), dockerList, onAMD64, noDetail},
		"index sent as an image":                       {indexJSON(entryJSON(ociImage, amd64)), ociImage, contents{}, notManifest},
		"image sent as an index":                       {imageJSON(ociConfig), ociIndex, contents{}, notManifest},
		"an entry by sha512":                           {indexJSON(entryJSON(ociImage, amd64), sha512), ociIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}}}, noDetail},
		"only attestations":                            {indexJSON(entryJSON(ociImage, unknown)), ociIndex, contents{}, emptyIndex},
		"empty index":                                  {indexJSON(), ociIndex, contents{}, emptyIndex},
		"index of artifacts":                           {indexJSON(strings.Replace(entryJSON(ociImage, amd64), `"size"`, `"artifactType":"application/x","size"`, 1)), ociIndex, contents{}, emptyIndex},
		"artifact type of images":                      {indexJSON(strings.Replace(entryJSON(ociImage, amd64), `"size"`, `"artifactType":"`+ociConfig+`","size"`, 1)), ociIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, noDetail},
		"index of other things":                        {indexJSON(entryJSON("application/x", amd64)), ociIndex, contents{}, emptyIndex},
		"schema 1":                                     {`{"schemaVersion":1,"name":"x","tag":"y","fsLayers":[]}`, "application/vnd.docker.distribution.manifest.v1+prettyjws", contents{}, schema1},
		"schema 1 in disguise":                         {`{"schemaVersion":2,"mediaType":"` + ociImage + `","fsLayers":[],"config":{}}`, ociImage, contents{}, schema1},
		"artifact":                                     {imageJSON("application/vnd.cncf.helm.config.v1+json"), ociImage, contents{}, artifact},
		"empty config":                                 {imageJSON("application/vnd.oci.empty.v1+json"), ociImage, contents{}, artifact},
		"artifact type":                                {strings.Replace(imageJSON(ociConfig), `"config"`, `"artifactType":"application/x","config"`, 1), ociImage, runs, noDetail},
		"artifact index":                               {strings.Replace(indexJSON(entryJSON(ociImage, amd64)), `"manifests"`, `"artifactType":"application/x","manifests"`, 1), ociIndex, onAMD64, noDetail},
		"both at once":                                 {`{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[],"config":{}}`, ociIndex, contents{}, notManifest},
		"index with layers":                            {`{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[],"layers":[]}`, ociIndex, contents{}, notManifest},
		"neither":                                      {`{"schemaVersion":2,"mediaType":"` + ociIndex + `"}`, ociIndex, contents{}, notManifest},
		"index typed as image":                         {strings.Replace(indexJSON(entryJSON(ociImage, amd64)), ociIndex, ociImage, 1), ociImage, contents{}, notManifest},
		"no type at all":                               {`{"schemaVersion":2,"manifests":[]}`, "", contents{}, notManifest},
		"bad digest in an entry":                       {indexJSON(strings.Replace(entryJSON(ociImage, amd64), someDigest, "sha256:zz", 1)), ociIndex, contents{}, notManifest},
		"bad digest of a config":                       {strings.Replace(imageJSON(ociConfig), someDigest, "sha256:zz", 1), ociImage, contents{}, notManifest},
		"too many entries":                             {indexJSON(strings.Split(strings.Repeat(entryJSON(ociImage, amd64)+"\n", maxEntries+1), "\n")[:maxEntries+1]...), ociIndex, contents{}, notManifest},
		"manifests is no list":                         {`{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":{}}`, ociIndex, contents{}, notManifest},
		"an entry is no object":                        {indexJSON(`"x"`), ociIndex, contents{}, notManifest},
		"HTML":                                         {"<html>please log in</html>", "text/html", contents{}, notManifest},
		"half a manifest":                              {imageJSON(ociConfig)[:60], ociImage, contents{}, notManifest},
		"JSON of something else":                       {`{"hello":"world"}`, "application/json", contents{}, notManifest},
		"nothing":                                      {"", "", contents{}, notManifest},
		"version of another kind":                      {`{"schemaVersion":"2"}`, ociIndex, contents{}, notManifest},
	} {
		got, d := parseManifest([]byte(c.body), c.contentType)
		assert.Equal(t, c.d, d, name)

		got.images = nil // what a bare tag runs has them
		assert.Equal(t, c.want, got, name)
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	got, ok := parseConfig([]byte(`{"os":"linux","architecture":"arm","variant":"v7","config":{"Env":["PASSWORD=x"]}}`))
	assert.True(t, ok)
	assert.Equal(t, image.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, got)
	for _, body := range []string{``, `{}`, `{"os":"linux"}`, `[]`, `{"os":"unknown","architecture":"unknown"}`} {
		_, ok := parseConfig([]byte(body))
		assert.False(t, ok, body)
	}
}

func FuzzManifest(f *testing.F) {
	amd64 := `{"os":"linux","architecture":"amd64"}`
	f.Add([]byte(indexJSON(entryJSON(ociImage, amd64), entryJSON(ociImage, "null"))), ociIndex)
	f.Add([]byte(imageJSON(ociConfig)), ociImage)
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), "")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		c, d := parseManifest(body, contentType)
		if d != noDetail {
			if len(c.platforms)+len(c.unnamed) > 0 || c.config != nil {
				t.Fatal("contents came with a problem")
			}
			return
		}
		if (c.config == nil) == (len(c.platforms)+len(c.unnamed) == 0) {
			t.Fatalf("neither an image nor an index of images: %+v", c)
		}
		for _, p := range c.platforms {
			if again, err := image.ParsePlatform(p.String()); err != nil || again != p || !p.Known() {
				t.Fatalf("no platform: %q", p)
			}
		}
		hashes := c.unnamed
		if c.config != nil {
			hashes = append(hashes, c.config.Digest)
		}
		for _, hash := range hashes {
			if again, err := v1.NewHash(hash.String()); err != nil || again != hash {
				t.Fatalf("no digest: %q", hash)
			}
		}
	})
}
