package resolver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/image"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func entryJSON(media, platform string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"platform":%s}`, media, someDigest, platform)
}

func indexJSON(entries ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, mediaIndex, strings.Join(entries, ","))
}

func imageJSON(config string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":1},"layers":[]}`, mediaManifest, config, someDigest)
}

func TestParseManifest(t *testing.T) {
	t.Parallel()
	amd64, arm64 := `{"os":"linux","architecture":"amd64"}`, `{"os":"linux","architecture":"arm64","variant":"v8"}`
	unknown := `{"os":"unknown","architecture":"unknown"}`
	for name, c := range map[string]struct {
		body, contentType string
		want              contents
		d                 detail
	}{
		"index": {indexJSON(entryJSON(mediaManifest, amd64), entryJSON(mediaManifest, arm64)), mediaIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}}}, plain},
		"index that names its type only in the header": {strings.Replace(indexJSON(entryJSON(mediaManifest, amd64)), `"mediaType":"`+mediaIndex+`",`, "", 1), mediaIndex + "; charset=utf-8", contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, plain},
		"index sent as JSON":                           {indexJSON(entryJSON(mediaManifest, amd64)), "application/json", contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, plain},
		"docker list":                                  {strings.ReplaceAll(strings.ReplaceAll(indexJSON(entryJSON(mediaManifest, amd64)), mediaIndex, mediaDockerList), mediaManifest, mediaDockerManifest), mediaDockerList, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, plain},
		"attestations":                                 {indexJSON(entryJSON(mediaManifest, amd64), entryJSON(mediaManifest, unknown)), mediaIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, plain},
		"each platform once":                           {indexJSON(entryJSON(mediaManifest, `{"os":"windows","architecture":"amd64","os.version":"1"}`), entryJSON(mediaManifest, `{"os":"windows","architecture":"amd64","os.version":"2"}`)), mediaIndex, contents{platforms: []image.Platform{{OS: "windows", Architecture: "amd64"}}}, plain},
		"spelled otherwise":                            {indexJSON(entryJSON(mediaManifest, `{"os":"Linux","architecture":"x86_64"}`), entryJSON(mediaManifest, `{"os":"linux","architecture":"aarch64"}`)), mediaIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}}, plain},
		"entry without platform":                       {indexJSON(entryJSON(mediaManifest, "null")), mediaIndex, contents{unnamed: []image.Digest{someDigest}}, plain},
		"platform that is none":                        {indexJSON(entryJSON(mediaManifest, `{"os":"li\nnux","architecture":"amd64"}`), entryJSON(mediaManifest, amd64)), mediaIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, plain},
		"image":                                        {imageJSON(mediaConfig), mediaManifest, contents{config: someDigest}, plain},
		"docker image":                                 {strings.Replace(imageJSON(mediaDockerConfig), mediaManifest, mediaDockerManifest, 1), mediaDockerManifest, contents{config: someDigest}, plain},
		"image of another type":                        {imageJSON(mediaConfig), mediaDockerManifest, contents{}, notManifest},
		"only attestations":                            {indexJSON(entryJSON(mediaManifest, unknown)), mediaIndex, contents{}, emptyIndex},
		"empty index":                                  {indexJSON(), mediaIndex, contents{}, emptyIndex},
		"index of artifacts":                           {indexJSON(strings.Replace(entryJSON(mediaManifest, amd64), `"size"`, `"artifactType":"application/x","size"`, 1)), mediaIndex, contents{}, emptyIndex},
		"artifact type of images":                      {indexJSON(strings.Replace(entryJSON(mediaManifest, amd64), `"size"`, `"artifactType":"`+mediaConfig+`","size"`, 1)), mediaIndex, contents{platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}, plain},
		"index of other things":                        {indexJSON(entryJSON("application/x", amd64)), mediaIndex, contents{}, emptyIndex},
		"schema 1":                                     {`{"schemaVersion":1,"name":"x","tag":"y","fsLayers":[]}`, "application/vnd.docker.distribution.manifest.v1+prettyjws", contents{}, schema1},
		"schema 1 in disguise":                         {`{"schemaVersion":2,"mediaType":"` + mediaManifest + `","fsLayers":[],"config":{}}`, mediaManifest, contents{}, schema1},
		"artifact":                                     {imageJSON("application/vnd.cncf.helm.config.v1+json"), mediaManifest, contents{}, artifact},
		"empty config":                                 {imageJSON("application/vnd.oci.empty.v1+json"), mediaManifest, contents{}, artifact},
		"artifact type":                                {strings.Replace(imageJSON(mediaConfig), `"config"`, `"artifactType":"application/x","config"`, 1), mediaManifest, contents{}, artifact},
		"artifact index":                               {strings.Replace(indexJSON(entryJSON(mediaManifest, amd64)), `"manifests"`, `"artifactType":"application/x","manifests"`, 1), mediaIndex, contents{}, artifact},
		"both at once":                                 {`{"schemaVersion":2,"mediaType":"` + mediaIndex + `","manifests":[],"config":{}}`, mediaIndex, contents{}, notManifest},
		"index with layers":                            {`{"schemaVersion":2,"mediaType":"` + mediaIndex + `","manifests":[],"layers":[]}`, mediaIndex, contents{}, notManifest},
		"neither":                                      {`{"schemaVersion":2,"mediaType":"` + mediaIndex + `"}`, mediaIndex, contents{}, notManifest},
		"index typed as image":                         {strings.Replace(indexJSON(entryJSON(mediaManifest, amd64)), mediaIndex, mediaManifest, 1), mediaManifest, contents{}, notManifest},
		"no type at all":                               {`{"schemaVersion":2,"manifests":[]}`, "", contents{}, notManifest},
		"bad digest in an entry":                       {indexJSON(strings.Replace(entryJSON(mediaManifest, amd64), someDigest, "sha256:zz", 1)), mediaIndex, contents{}, notManifest},
		"bad digest of a config":                       {strings.Replace(imageJSON(mediaConfig), someDigest, "sha256:zz", 1), mediaManifest, contents{}, notManifest},
		"too many entries":                             {indexJSON(strings.Split(strings.Repeat(entryJSON(mediaManifest, amd64)+"\n", maxEntries+1), "\n")[:maxEntries+1]...), mediaIndex, contents{}, notManifest},
		"manifests is no list":                         {`{"schemaVersion":2,"mediaType":"` + mediaIndex + `","manifests":{}}`, mediaIndex, contents{}, notManifest},
		"an entry is no object":                        {indexJSON(`"x"`), mediaIndex, contents{}, notManifest},
		"HTML":                                         {"<html>please log in</html>", "text/html", contents{}, notManifest},
		"half a manifest":                              {imageJSON(mediaConfig)[:60], mediaManifest, contents{}, notManifest},
		"JSON of something else":                       {`{"hello":"world"}`, "application/json", contents{}, notManifest},
		"nothing":                                      {"", "", contents{}, notManifest},
		"version of another kind":                      {`{"schemaVersion":"2"}`, mediaIndex, contents{}, notManifest},
	} {
		got, d := parseManifest([]byte(c.body), c.contentType)
		assert.Equal(t, c.d, d, name)
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
