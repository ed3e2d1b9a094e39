package transport

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

const bearerChallenge = `Bearer realm="https://auth.io/token",scope="repository:x:pull"`

func TestTheChallengeOfAManifestIsForTheCaller(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at     string
		hidden bool
	}{
		"a manifest":      {"https://a.io/v2/x/manifests/1", true},
		"a configuration": {"https://a.io/v2/x/blobs/sha256:0", true},
		"the ping":        {"https://a.io/v2/", false},
		"another host's":  {"https://b.io/v2/x/manifests/1", false},
	} {
		refusal := reply(http.StatusUnauthorized, "", "Www-Authenticate", `Basic realm="x"`, "Www-Authenticate", bearerChallenge)
		r, call := get(t, c.at, failure.StageManifest)
		answer, err := (&note{next: &answering{answers: []*http.Response{refusal}}, host: "a.io"}).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, c.hidden, answer.Header.Get("Www-Authenticate") == "", name)
		seen := call.Answer
		assert.Equal(t, http.StatusUnauthorized, seen.Status, name)
		assert.Equal(t, []string{bearerChallenge, `Basic realm="x"`}, seen.Challenge.Values("Www-Authenticate"), "a token first, as nodes have it")
	}
}

func TestWhatACallGetsToKnow(t *testing.T) {
	t.Parallel()
	busy := reply(http.StatusTooManyRequests, "", "Retry-After", "7", "Ratelimit-Remaining", "3;w=60")
	r, call := get(t, "https://b.io/x", failure.StageManifest)
	before, _ := get(t, "https://a.io/x", failure.StageManifest)
	_, err := (&note{next: &answering{answers: []*http.Response{busy}}, host: "a.io"}).RoundTrip(follows(r, before))
	require.NoError(t, err)
	seen := call.Answer
	assert.True(t, seen.Crossed)
	assert.Equal(t, "b.io", seen.URL.Host)
	assert.Equal(t, "7s", seen.Retry.String())
	assert.Equal(t, 3, seen.Quota.Remaining)
	assert.Zero(t, callOf(t.Context()).Answer, "where nobody asks, nothing is kept")
}
