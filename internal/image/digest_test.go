package image

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var hex = strings.Repeat("0123456789abcdef", 4)

func TestI37ADigestHasOneSpelling(t *testing.T) {
	t.Parallel()
	good, err := ParseDigest("sha256:" + hex)
	require.NoError(t, err)
	assert.Equal(t, "sha256:0123456789ab", good.Short())
	for _, bad := range []string{
		"", "sha256:zz", "sha512:" + hex, "sha256:" + hex + "\n", " sha256:" + hex, "sha256:" + strings.ToUpper(hex),
		`"sha256:` + hex + `"`, "sha256:" + strings.Repeat("a", 4000), "sha256:" + hex[:63], hex,
	} {
		_, err := ParseDigest(bad)
		assert.Error(t, err, bad)
	}
}

// A regular expression spells the one spelling out a second time.
func FuzzParseDigest(f *testing.F) {
	digest := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	for _, seed := range []string{"sha256:" + hex, "sha256:" + strings.ToUpper(hex), "sha256:" + hex + "\n", "sha256:" + hex[1:], hex} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := ParseDigest(text)
		assert.Equal(t, digest.MatchString(text) && !strings.HasSuffix(text, "\n"), err == nil, "%q", text)
		assert.True(t, err != nil || string(parsed) == text)
	})
}
