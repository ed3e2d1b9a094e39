package credential

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEntriesForManyHosts(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]bool{
		"*.example.com": true, "h?.example.com": true, "h[ab].io": true, "h.example.com": false, "h.example.com/t*": false,
	} {
		assert.Equal(t, want, Docker(entry, "u", "p", "").ManyHosts(), entry)
	}
}

func TestNoPrintShowsAPassword(t *testing.T) {
	t.Parallel()
	c := Credential{Source: Name{"ns", "pull"}, Entry: "ghcr.io", username: "robot$team+puller", password: "hunter2"}
	assert.Equal(t, "pull secret ns/pull (account robot$team+puller, entry ghcr.io)", c.String())
	marshalled, err := json.Marshal(c)
	require.NoError(t, err)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c, c), fmt.Sprintf("%v %#v", c.Identity(), c.Identity()), string(marshalled), c.LogValue().String(),
	} {
		assert.NotContains(t, text, "hunter2")
		assert.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("hunter2")))
	}
}

func TestAccountsThatAreTokensAreNotPrinted(t *testing.T) {
	t.Parallel()
	for username, want := range map[string]string{
		"me": "me", "robot$p+n": "robot$p+n", "AWS": "AWS", "_json_key": "_json_key", "a\x1b[31m\nb": "a b",
		"ghp_abc": "redacted", "github_pat_abc": "redacted", "glpat-abc": "redacted", "x": "redacted", strings.Repeat("y", 200): "redacted",
	} {
		assert.Equal(t, want, Docker("ghcr.io", username, "x", "").Account())
	}
}
