package transport

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

func TestTheChallengeOfAManifestIsForTheCaller(t *testing.T) {
	t.Parallel()
	const bearer, basic = `Bearer realm="https://auth.io/token",scope="repository:x:pull"`, `Basic realm="x"`
	for address, hidden := range map[string]bool{
		"https://a.io/v2/x/manifests/1":    true,
		"https://a.io/v2/x/blobs/sha256:0": true,
		"https://a.io/v2/":                 false,
		"https://b.io/v2/x/manifests/1":    false,
	} {
		r := get(t, address, "", failure.StageManifest)
		refusal := reply(http.StatusUnauthorized, "", "Www-Authenticate", basic, "Www-Authenticate", bearer)
		answer, err := (&note{next: below(refusal), host: "a.io"}).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, hidden, answer.Header.Get("Www-Authenticate") == "", address)
		seen := callOf(r.Context()).Answer
		assert.Equal(t, http.StatusUnauthorized, seen.Status, address)
		assert.Equal(t, []string{bearer, basic}, seen.Challenge.Values("Www-Authenticate"), "a token first, as nodes have it")
	}
}

func TestWhatACallGetsToKnow(t *testing.T) {
	t.Parallel()
	r := get(t, "https://b.io/x", "https://a.io/x", failure.StageManifest)
	busy := reply(http.StatusTooManyRequests, "", "Retry-After", "7", "Ratelimit-Remaining", "3;w=60")
	_, err := (&note{next: below(busy), host: "a.io"}).RoundTrip(r)
	require.NoError(t, err)
	seen := callOf(r.Context()).Answer
	assert.True(t, seen.Crossed)
	assert.Equal(t, "b.io", seen.URL.Host)
	assert.Equal(t, "7s", seen.Retry.String())
	assert.Equal(t, 3, seen.Quota.Remaining)
	assert.Zero(t, callOf(t.Context()).Answer, "where nobody asks, nothing is kept")
}
