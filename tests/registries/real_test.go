package registries_test

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/registries"
)

// The registry itself verifies accounts and tokens: what it lets in, a real
// one would.
func TestRealAuthentication(t *testing.T) {
	site, through := start(t)
	dir := t.TempDir()
	tokens, err := registries.NewTokenRegistry(t.Context(), dir, "https://auth.example.com/token")
	require.NoError(t, err)
	site.Add("token.example.com", tokens.Store, tokens, "token.example.com", "auth.example.com")
	passwords, err := registries.NewHtpasswd(t.Context(), dir)
	require.NoError(t, err)
	site.Add("basic.example.com", passwords.Store, passwords, "basic.example.com")

	const user, secret = "puller", "the puller's password"
	for _, reference := range []string{"token.example.com/tracebloc/private:1", "basic.example.com/tracebloc/private:1"} {
		digest, err := site.Push(reference, registries.Index("one", "linux/amd64"))
		require.NoError(t, err)
		tokens.SetPrivate("tracebloc/private", true)
		tokens.AddAccount(user, secret, "tracebloc/private")
		tokens.AddAccount("other", secret)
		require.NoError(t, passwords.AddAccount(user, secret))
		as := func(user, secret string) (string, int) {
			found, err := head(t, through, reference, remote.WithAuth(&authn.Basic{Username: user, Password: secret}))
			if err != nil {
				return "", status(t, err)
			}
			return found.Digest.String(), http.StatusOK
		}
		found, code := as(user, secret)
		assert.Equal(t, http.StatusOK, code)
		assert.Equal(t, digest, found)
		_, code = as(user, "wrong")
		assert.Equal(t, http.StatusUnauthorized, code)
		_, code = as("other", secret)
		assert.Equal(t, http.StatusUnauthorized, code)
		_, err = head(t, through, reference)
		assert.Equal(t, http.StatusUnauthorized, status(t, err))
	}
	answer := ask(t, through, http.MethodHead, "https://token.example.com/v2/tracebloc/private/manifests/1", "Bearer a.b.c")
	assert.Equal(t, http.StatusUnauthorized, answer.status)
	require.NoError(t, passwords.RemoveAccount(user))
	_, err = head(t, through, "basic.example.com/tracebloc/private:1", remote.WithAuth(&authn.Basic{Username: user, Password: secret}))
	assert.Equal(t, http.StatusUnauthorized, status(t, err))
}

// Whatever could give an account away is known, so that it can be looked for.
func TestSecretsAreCollected(t *testing.T) {
	site, through := start(t)
	h, robot := harbor(t, site)
	token := ask(t, through, http.MethodGet, harborToken+"&scope=repository:private/app:pull", basic(robot, "a wrong guess"))
	site.GHCR.AddAccount("puller", "a password that is not used")
	secrets := site.Secrets()
	for _, secret := range []string{
		"the robot's secret", basic(robot, "the robot's secret")[len("Basic "):],
		"a wrong guess", basic(robot, "a wrong guess")[len("Basic "):],
		token.body["token"].(string), "a password that is not used",
	} {
		assert.Contains(t, secrets, secret)
	}
	h.SetRobot(robot, registries.RobotDeleted)
	assert.Contains(t, site.Secrets(), "the robot's secret")
}
