package image

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseReference(t *testing.T) {
	t.Parallel()
	digest := Digest("sha256:" + hex)
	for text, want := range map[string]Reference{
		"nginx":                         {Host: "docker.io", Repository: "library/nginx", Tag: "latest", Spelled: "nginx", Floating: true},
		"nginx:1.27":                    {Host: "docker.io", Repository: "library/nginx", Tag: "1.27", Spelled: "nginx"},
		"index.docker.io/t/jm:prod":     {Host: "docker.io", Repository: "t/jm", Tag: "prod", Spelled: "index.docker.io/t/jm"},
		"docker.io/t/jm:prod":           {Host: "docker.io", Repository: "t/jm", Tag: "prod", Spelled: "docker.io/t/jm"},
		"localhost:5000/a":              {Host: "localhost:5000", Repository: "a", Tag: "latest", Spelled: "localhost:5000/a", Floating: true},
		"ghcr.io/t/i:0.3@sha256:" + hex: {Host: "ghcr.io", Repository: "t/i", Tag: "0.3", Digest: digest, Spelled: "ghcr.io/t/i"},
		"ghcr.io/t/i@sha256:" + hex:     {Host: "ghcr.io", Repository: "t/i", Digest: digest, Spelled: "ghcr.io/t/i"},
	} {
		got, err := ParseReference(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, bad := range []string{
		"", "upper/Case", "a b", "ghcr.io/x:", "ghcr.io/x@sha256:zz", "ghcr.io/x@sha512:" + hex + hex, "https://ghcr.io/x", "-",
		"ghcr.io/x:" + strings.Repeat("a", 129),
	} {
		_, err := ParseReference(bad)
		assert.Error(t, err, bad)
	}
}

func TestI41Follows(t *testing.T) {
	t.Parallel()
	target, err := ParseReference("docker.io/t/jm:prod")
	require.NoError(t, err)
	for text, want := range map[string]bool{
		"t/jm:prod": true, "t/jm:prod@sha256:" + hex: true, "t/jm@sha256:" + hex: true,
		"t/jm:0.4": false, "t/jm": false, "ghcr.io/t/jm:prod": false,
	} {
		slot, err := ParseReference(text)
		require.NoError(t, err)
		assert.Equal(t, want, slot.Follows(target), text)
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("ghcr.io/t/i:0.3@sha256:" + hex)
	f.Add("localhost:5000/a")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseReference(text)
		if err != nil {
			return
		}
		again, err := ParseReference(ref.String())
		require.NoError(t, err)
		assert.Equal(t, ref.String(), again.String())
		_, err = ParseReference(ref.Spelled)
		assert.NoError(t, err)
	})
}
