package annotate_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/image"
)

func TestDigits(t *testing.T) {
	t.Parallel()
	of := digest("a")
	hex := strings.TrimPrefix(string(of), "sha256:")
	for text, names := range map[string]bool{
		hex[:12]: true, hex[:40]: true, hex[:63]: true, strings.Repeat("b", 12): false,
	} {
		digits, err := annotate.ParseDigits(text)
		require.NoError(t, err, text)
		assert.Equal(t, names, digits.Name(of), text)
	}
	for _, text := range []string{"", hex[:11], hex, strings.ToUpper(hex[:12]), "true", "sha256-" + hex[:12], hex[:12] + "\n"} {
		digits, err := annotate.ParseDigits(text)
		require.Error(t, err, text)
		assert.False(t, digits.Name(of), text)
	}
	assert.True(t, annotate.DigitsOf(of).Name(of))
	assert.False(t, annotate.DigitsOf(of).Name(image.Digest("")))
}
