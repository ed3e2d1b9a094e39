package credential

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A password says itself when it ends, or nobody knows.
func TestExpires(t *testing.T) {
	t.Parallel()
	end := time.Unix(1_800_000_000, 0).UTC()
	encoded := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for password, want := range map[string]time.Time{
		"e30." + encoded(`{"exp":1800000000}`) + ".x":                                            end,
		base64.StdEncoding.EncodeToString([]byte(`{"type":"DATA_KEY","expiration":1800000000}`)): end,
		"e30." + encoded(`{"exp":-1}`) + ".x":                                                    {},
		"e30." + encoded(`{"exp":"soon"}`) + ".x":                                                {},
		"e30." + encoded(`{}`) + ".x":                                                            {},
		base64.StdEncoding.EncodeToString([]byte(`hunter2`)):                                     {},
		"hunter2": {}, "a.b.c": {}, "": {},
	} {
		assert.Equal(t, want, Docker("", "user", password, "").Expires(), password)
	}
}
