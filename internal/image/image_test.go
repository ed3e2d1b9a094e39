package image_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
)

var hex = strings.Repeat("0123456789abcdef", 4)

func TestParseDigest_I37(t *testing.T) {
	t.Parallel()
	good, err := image.ParseDigest("sha256:" + hex)
	require.NoError(t, err)
	assert.Equal(t, "sha256:0123456789ab", good.Short())
	for _, bad := range []string{
		"", "sha256:zz", "sha512:" + hex, "sha256:" + hex + "\n", " sha256:" + hex, "sha256:" + strings.ToUpper(hex),
		`"sha256:` + hex + `"`, "sha256:" + strings.Repeat("a", 4000), "sha256:" + hex[:63], hex,
	} {
		_, err := image.ParseDigest(bad)
		assert.Error(t, err, bad)
	}
}

func TestParseReference(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]image.Reference{
		"nginx":                         {Host: "docker.io", Repository: "library/nginx", Tag: "latest", Spelled: "nginx", Floating: true},
		"nginx:1.27":                    {Host: "docker.io", Repository: "library/nginx", Tag: "1.27", Spelled: "nginx"},
		"index.docker.io/t/jm:prod":     {Host: "docker.io", Repository: "t/jm", Tag: "prod", Spelled: "index.docker.io/t/jm"},
		"docker.io/t/jm:prod":           {Host: "docker.io", Repository: "t/jm", Tag: "prod", Spelled: "docker.io/t/jm"},
		"localhost:5000/a":              {Host: "localhost:5000", Repository: "a", Tag: "latest", Spelled: "localhost:5000/a", Floating: true},
		"ghcr.io/t/i:0.3@sha256:" + hex: {Host: "ghcr.io", Repository: "t/i", Tag: "0.3", Digest: image.Digest("sha256:" + hex), Spelled: "ghcr.io/t/i"},
		"ghcr.io/t/i@sha256:" + hex:     {Host: "ghcr.io", Repository: "t/i", Digest: image.Digest("sha256:" + hex), Spelled: "ghcr.io/t/i"},
	} {
		got, err := image.ParseReference(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, bad := range []string{"", "upper/Case", "a b", "ghcr.io/x:", "ghcr.io/x@sha256:zz", "ghcr.io/x@sha512:" + hex + hex, "https://ghcr.io/x", "-"} {
		_, err := image.ParseReference(bad)
		assert.Error(t, err, bad)
	}
}

func TestFollows_I41(t *testing.T) {
	t.Parallel()
	parse := func(text string) image.Reference {
		ref, err := image.ParseReference(text)
		require.NoError(t, err)
		return ref
	}
	target := parse("docker.io/t/jm:prod")
	assert.True(t, parse("t/jm:prod").Follows(target))
	assert.True(t, parse("t/jm:prod@sha256:"+hex).Follows(target))
	assert.True(t, parse("t/jm@sha256:"+hex).Follows(target))
	assert.False(t, parse("t/jm:0.4").Follows(target))
	assert.False(t, parse("t/jm").Follows(target))
	assert.False(t, parse("ghcr.io/t/jm:prod").Follows(target))
}

func FuzzParseReference(f *testing.F) {
	f.Add("ghcr.io/t/i:0.3@sha256:" + hex)
	f.Add("localhost:5000/a")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := image.ParseReference(text)
		if err != nil {
			return
		}
		again, err := image.ParseReference(ref.String())
		require.NoError(t, err)
		assert.Equal(t, ref.String(), again.String())
		_, err = image.ParseReference(ref.Spelled)
		assert.NoError(t, err)
	})
}

// A digest is accepted in one spelling only, which a regular expression spells out a second time.
func FuzzParseDigest(f *testing.F) {
	digest := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	for _, seed := range []string{
		"sha256:" + hex, "sha256:" + strings.ToUpper(hex), "sha512:" + hex + hex, " sha256:" + hex, "sha256:" + hex + "\n", "sha256:" + hex[1:], hex, "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := image.ParseDigest(text)
		assert.Equal(t, digest.MatchString(text) && !strings.HasSuffix(text, "\n"), err == nil, "%q", text)
		if err == nil {
			assert.Equal(t, text, string(parsed))
		}
	})
}

func TestMissing(t *testing.T) {
	t.Parallel()
	parse := func(texts ...string) []image.Platform {
		var platforms []image.Platform
		for _, text := range texts {
			platform, err := image.ParsePlatform(text)
			require.NoError(t, err, text)
			platforms = append(platforms, platform)
		}
		return platforms
	}
	assert.Empty(t, image.Missing(parse("linux/arm64"), parse("linux/amd64", "linux/arm64/v8")))
	assert.Empty(t, image.Missing(parse("linux/arm64/v8"), parse("linux/arm64")))
	assert.Empty(t, image.Missing(parse("linux/arm/v7"), parse("linux/arm")))
	assert.Equal(t, parse("linux/arm/v7"), image.Missing(parse("linux/arm/v7"), parse("linux/arm/v6")))
	assert.Equal(t, parse("linux/arm64"), image.Missing(parse("linux/arm64", "linux/amd64"), parse("linux/amd64")))
	windows := func(version string) image.Platform { return parse("windows/amd64")[0].OfVersion(version) }
	offered := []image.Platform{windows("10.0.20348.9"), windows("10.0.17763.1")}
	assert.Empty(t, image.Missing([]image.Platform{windows("10.0.17763.5329"), windows("10.0.20348.2"), windows("")}, offered), "the last part is a patch")
	assert.Equal(t, []image.Platform{windows("10.0.26100.1")}, image.Missing([]image.Platform{windows("10.0.26100.1")}, offered), "I90")
	assert.Empty(t, image.Missing([]image.Platform{windows("10.0.26100.1")}, parse("windows/amd64")), "an unset build matches any")
	assert.Equal(t, "windows(10.0.20348)/amd64", windows("10.0.20348.2340").String())
	assert.Equal(t, windows("10.0.20348"), windows("10.0.20348.2340"))
	for _, none := range []string{"10", "10.0", "10.0.20348.1.2", "10.0.x", "10.0.20348\n"} {
		assert.Equal(t, windows(""), windows(none), none)
	}
	assert.Equal(t, parse("linux/amd64")[0], parse("linux/amd64")[0].OfVersion("10.0.20348.1"))
	for _, bad := range []string{"", "linux", "linux/", "Linux/amd64", "linux/arm/v7/x"} {
		_, err := image.ParsePlatform(bad)
		require.Error(t, err, bad)
	}
	assert.False(t, image.Platform{OS: "unknown", Architecture: "unknown"}.Known())
}
