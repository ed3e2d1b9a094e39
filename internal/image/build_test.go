package image

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What an image says of itself anybody may have written: no terminal, log or chat makes anything of it, and it is short.
func TestABuildIsFitToPrint(t *testing.T) {
	t.Parallel()
	const long = 10 << 10
	for said, want := range map[[3]string]Build{
		{"1.4.2", "9f3c2ab", "2026-11-20T11:00:00.5+01:00"}:                 {"1.4.2", "9f3c2ab", "2026-11-20T10:00:00Z"},
		{" 1.4\n2\t", "a\x00b\u202ec", "yesterday"}:                         {"1.4 2", "abc", ""},
		{"\x1b[31m1.4\x1b]0;x\x07.2", "<!here> @all [x](https://evil)", ""}: {"1.4.2", "!here all x (https evil)", ""},
		{":<//`", "a::////b", "0001-01-01T00:00:00Z"}:                       {": //", "a: //b", ""},
		{"https://me:hunter2@host/x", "", "9999-12-31T23:59:59-01:00"}:      {"https redacted host/x", "", ""},
		{strings.Repeat("1", long), strings.Repeat("é", long), strings.Repeat("2", long)}: {
			strings.Repeat("1", 63) + "…", strings.Repeat("é", 63) + "…", ""},
		{"1", "\xff2", "1970-01-01T00:00:00Z"}: {"1", "2", ""}, // what is built to be the same each time says so
	} {
		got := BuildOf(map[string]string{
			"org.opencontainers.image.version": said[0], "org.opencontainers.image.revision": said[1], "org.opencontainers.image.created": said[2], "version": "x",
		})
		assert.Equal(t, want, got, "%q", said)
	}
}

func TestHowABuildIsNamed(t *testing.T) {
	t.Parallel()
	const sha, at = "9f3c2ab0123456789012345678901234567890ab", "2026-11-20T10:00:00Z"
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	for build, want := range map[Build][2]string{
		{"1.4.2", sha, at}:               {"1.4.2 (9f3c2ab)", "1.4.2 (9f3c2ab, built 20 Nov 10:00 UTC)"},
		{"1.4.2", "", at}:                {"1.4.2", "1.4.2 (built 20 Nov 10:00 UTC)"},
		{"", sha, ""}:                    {"9f3c2ab", "9f3c2ab"},
		{sha, sha, ""}:                   {"9f3c2ab", "9f3c2ab"},
		{"20261120", "r123456", ""}:      {"20261120 (r123456)", "20261120 (r123456)"},
		{"", "", "2025-01-02T03:04:05Z"}: {"it", "it (built 2 Jan 2025 03:04 UTC)"},
		{}:                               {"it", "it"},
	} {
		assert.Equal(t, want, [2]string{build.Name("it"), build.NameAndTime("it", now)})
	}
	assert.Equal(t, "built 20 Nov 10:00 UTC", Build{Created: at}.NameAndTime("", now))
}

// What says neither version nor revision has no name, and takes another's, with its own time if it has one.
func TestOneBuildOrAnother(t *testing.T) {
	t.Parallel()
	named, other := Build{Version: "1", Created: "a"}, Build{"2", "r", "b"}
	assert.Equal(t, named, named.Or(other))
	assert.Equal(t, Build{"2", "r", "a"}, Build{Created: "a"}.Or(other))
	assert.Equal(t, other, Build{}.Or(other))
	assert.Equal(t, Build{Version: "1", Created: "b"}, Build{Version: "1"}.Or(other))
}

// Annotations are read as they were written, so that no tick writes them again.
func FuzzBuild(f *testing.F) {
	f.Add("1.4.2", "9f3c2ab", "2026-11-20T10:00:00Z")
	f.Add("https://me:hunter2@host/x?token=abc", "a::////b <@here>", "9999-12-31T23:59:59-01:00")
	f.Add("\x1b[31m"+strings.Repeat("é ", 100), " \u202e… ", "")
	f.Fuzz(func(t *testing.T, version, revision, created string) {
		build := Build{version, revision, created}.cleaned()
		require.Equal(t, build, build.cleaned())
		require.LessOrEqual(t, utf8.RuneCountInString(build.Version+build.Revision+build.Created), 64+64+20)
		require.False(t, strings.ContainsAny(build.Version+build.Revision, "<>@[]`\n\x1b") || strings.Contains(build.Version, "://"))
		text, err := json.Marshal(build)
		require.NoError(t, err)
		var again Build
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, build, again)
	})
}
