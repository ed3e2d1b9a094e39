package failure_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/failure"
)

func TestCleanRemovesWhatForgesALog_I47(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"plain":          {"denied: requested access", "denied: requested access"},
		"new lines":      {"a\r\n{\"level\":\"INFO\"}\tb", `a {"level":"INFO"} b`},
		"colour":         {"\x1b[31mred\x1b[0m", "red"},
		"title":          {"\x1b]0;owned\x07done", "done"},
		"bidi":           {"abc\u202edef\u2066", "abcdef"},
		"zero width":     {"to\u200bken", "token"},
		"c1 control":     {"a\u009bb", "ab"},
		"line separator": {"a\u2028b", "a b"},
		"invalid utf-8":  {"a\xff\xfeb", "ab"},
		"user info":      {"https://robot:s3cret@h/x", "https://redacted@h/x"},
		"odd user info":  {`https://u:p@s"s?x#y@h/x@sha256:1`, "https://redacted@h/x@sha256:1"},
		"query":          {`Get "https://h/token?account=me&password=s3cret": EOF`, `Get "https://h/token?redacted": EOF`},
		"both":           {"https://u:p@h/t?x=y#f", "https://redacted@h/t?redacted#f"},
		"empty":          {"", ""},
	} {
		assert.Equal(t, c.want, failure.Clean(c.in), name)
	}
}

func TestCleanCuts(t *testing.T) {
	t.Parallel()
	got := failure.Clean(strings.Repeat("ä", 1_000_000))
	assert.Equal(t, failure.MaxForeign, utf8.RuneCountInString(got))
	assert.True(t, strings.HasSuffix(got, "…"))
}

func TestCleanEndsKeepsBothEnds(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a b", failure.CleanEnds("a\x1b[31m\nb"))
	got := failure.CleanEnds("ErrImagePull: " + strings.Repeat("ä", 1000) + ": no match for platform")
	assert.Equal(t, failure.MaxForeign, utf8.RuneCountInString(got))
	assert.True(t, strings.HasPrefix(got, "ErrImagePull: ä"))
	assert.True(t, strings.HasSuffix(got, "ä: no match for platform"))
}

func FuzzClean(f *testing.F) {
	f.Add("https://u:p@h/?q\x1b[0m\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		for _, got := range []string{failure.Clean(text), failure.CleanEnds(text)} {
			assert.LessOrEqual(t, utf8.RuneCountInString(got), failure.MaxForeign)
			assert.True(t, utf8.ValidString(got))
			assert.NotContains(t, got, "\x1b")
			assert.NotContains(t, got, "\n")
		}
	})
}

func TestWorst(t *testing.T) {
	t.Parallel()
	blip := &failure.Error{Cause: failure.Timeout}
	dead := &failure.Error{Cause: failure.Unauthorized}
	assert.Nil(t, failure.Worst())
	assert.Nil(t, failure.Worst(nil, nil))
	assert.Same(t, dead, failure.Worst(blip, nil, dead))
	assert.Same(t, dead, failure.Worst(dead, blip))
}

func TestOf(t *testing.T) {
	t.Parallel()
	inner := &failure.Error{Cause: failure.DNS, Message: "no such host"}
	assert.Nil(t, failure.Of(nil, failure.API))
	assert.Same(t, inner, failure.Of(fmt.Errorf("resolving: %w", inner), failure.API))
	foreign := failure.Of(errors.New("boom\nboom"), failure.API)
	assert.Equal(t, failure.API, foreign.Cause)
	assert.Equal(t, "boom boom", foreign.Error())
}
