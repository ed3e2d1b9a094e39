package image

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// platforms reads several, with the build of Windows behind an @.
func platforms(t *testing.T, text string) (all []Platform) {
	t.Helper()
	for _, one := range strings.Fields(text) {
		name, build, _ := strings.Cut(one, "@")
		platform, err := ParsePlatform(name)
		require.NoError(t, err, name)
		all = append(all, platform.OfVersion(build))
	}
	return all
}

func TestI90Missing(t *testing.T) {
	t.Parallel()
	const builds = "windows/amd64@10.0.20348.9 windows/amd64@10.0.17763.1"
	for _, c := range []struct{ wanted, offered, missing string }{
		{"linux/arm64", "linux/amd64 linux/arm64/v8", ""},
		{"linux/arm64/v8", "linux/arm64", ""},
		{"linux/arm/v7", "linux/arm", ""},
		{"linux/arm/v7", "linux/arm/v6", "linux/arm/v7"},
		{"linux/arm64 linux/amd64", "linux/amd64", "linux/arm64"},
		{"windows/amd64@10.0.17763.5329 windows/amd64@10.0.20348.2 windows/amd64", builds, ""}, // the last part is a patch
		{"windows/amd64@10.0.26100.1", builds, "windows/amd64@10.0.26100"},
		{"windows/amd64@10.0.26100.1", "windows/amd64", ""}, // an unset build matches any
		{"linux/amd64@10.0.20348.1", "linux/amd64", ""},
		{"windows/amd64@10 windows/amd64@10.0 windows/amd64@10.0.20348.1.2 windows/amd64@10.0.x", "windows/amd64@10.0.1", ""}, // no builds
	} {
		assert.Equal(t, platforms(t, c.missing), Missing(platforms(t, c.wanted), platforms(t, c.offered)), c)
	}
	assert.Equal(t, "windows(10.0.20348)/amd64", platforms(t, builds)[0].String())
	assert.Empty(t, Platform{OS: "windows"}.OfVersion("10.0.20348\n").Build)
}

func TestParsePlatform(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "linux", "linux/", "Linux/amd64", "linux/arm/v7/x"} {
		_, err := ParsePlatform(bad)
		require.Error(t, err, bad)
	}
	assert.False(t, Platform{OS: "unknown", Architecture: "unknown"}.Known())
}
