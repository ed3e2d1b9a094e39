package failure

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestI47CleanRemovesWhatForgesALog(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"denied: requested access":         "denied: requested access",
		"a\r\n{\"level\":\"INFO\"}\tb":     `a {"level":"INFO"} b`,
		"\x1b[31mred\x1b[0m":               "red",
		"\x1b]0;owned\x07done":             "done", // a terminal's title
		"abc\u202edef\u2066":               "abcdef",
		"to\u200bken":                      "token",
		"a\u009bb":                         "ab",
		"a\u2028b":                         "a b",
		"a\xff\xfeb":                       "ab",
		"https://robot:s3cret@h/x":         "https://redacted@h/x",
		`https://u:p@s"s?x#y@h/x@sha256:1`: "https://redacted@h/x@sha256:1",
		`Get "https://h/token?account=me&password=s3cret": EOF`: `Get "https://h/token?redacted": EOF`,
		"https://u:p@h/t?x=y#f":                                 "https://redacted@h/t?redacted#f",
		"":                                                      "",
		"user:pa/ss@host":                                       "redacted@host",
		"https://u:pa/ss@h/x":                                   "https://redacted@h/x",
		"dial u:p w@host: refused":                              "dial redacted@host: refused",
		"https://h/x;sig=s3cret;v=1":                            "https://h/x;sig=redacted;v=1",
		"a=b;SharedAccessKey=s3cret==":                          "a=b;SharedAccessKey=redacted",
		"ghcr.io/x:1.2@sha256:ab and y:1@sha256:cd":             "ghcr.io/x:1.2@sha256:ab and y:1@sha256:cd",
		"host:443: no answer, ask ops@example.com":              "host:443: no answer, ask ops@example.com",
	} {
		assert.Equal(t, want, Clean(in), in)
		assert.Equal(t, want, CleanEnds(in), in)
	}
}

func TestCleanCuts(t *testing.T) {
	t.Parallel()
	long := "ErrImagePull: " + strings.Repeat("ä", 1000) + ": no match for platform"
	for got, end := range map[string]string{Clean(long): "ä…", CleanEnds(long): "ä: no match for platform"} {
		assert.Equal(t, MaxForeign, utf8.RuneCountInString(got))
		assert.True(t, strings.HasPrefix(got, "ErrImagePull: ä"))
		assert.True(t, strings.HasSuffix(got, end), got)
	}
	assert.Equal(t, MaxForeign, utf8.RuneCountInString(Clean(strings.Repeat("ä", 1_000_000))))
}

func FuzzClean(f *testing.F) {
	f.Add("https://u:p@h/?q\x1b[0m\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		for _, got := range []string{Clean(text), CleanEnds(text)} {
			assert.LessOrEqual(t, utf8.RuneCountInString(got), MaxForeign)
			assert.True(t, utf8.ValidString(got))
			assert.False(t, strings.ContainsAny(got, "\x1b\n"))
		}
	})
}
