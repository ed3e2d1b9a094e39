package scenario_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// guarded makes a scenario that has every kind of secret: a password and tokens for a private image, and a password for the
// proxy. Everything is logged, and the first failure is loud: in the log, the result, the annotation and the Event. That none
// of it holds a secret is asserted when the test ends, as it is after every other.
func guarded(t *testing.T) *harness.Scenario {
	t.Helper()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "regcred", entries{someHost: goodLogin})
	s.Setenv("HTTPS_PROXY", strings.Replace(s.Site.Proxy.URL(), "://", "://proxy-user:password-of-the-proxy@", 1))
	s.Setenv("LOG_LEVEL", "debug")
	s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
	refreshedFrom(t, s, somePrivate, digest, "regcred")
	require.Subset(t, s.Site.Secrets(), []string{goodLogin.password, goodLogin.auth(), "password-of-the-proxy"})
	require.NotEmpty(t, s.Site.Proxy.Connects(someHost)[0].Authorization)
	return s
}

// echo answers with what the client should have kept to itself, wherever a client might print something.
func echo(status int) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		secret := strings.TrimPrefix(strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "), "Bearer ")
		for _, name := range []string{"Docker-Content-Digest", "Content-Type", "Retry-After"} {
			w.Header().Set(name, secret)
		}
		w.Header().Set("Www-Authenticate", `Bearer realm="https://x:`+secret+`@`+someHost+`/token?`+secret+`",service="`+secret+`"`)
		w.Header().Set("Location", "https://x:"+secret+"@"+someHost+"/v2/?signature="+secret)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{ // the client may be gone: its own loss
			"errors": []map[string]string{{"code": secret, "message": "retry-after: " + secret, "detail": goodLogin.password}},
			"token":  "\n" + secret, "details": secret,
		})
	}
}

// No password, token or Authorization value is in any standard output, log, Event, annotation or error, whatever fails
// and whatever a registry makes of them.
func TestNoFailurePrintsASecret(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	tokens, manifest := registries.At(someTokens, registries.Token), ofManifests(someHost)
	for _, c := range []struct {
		match registries.Matcher
		do    faultinject.Action
		cause string
	}{
		{tokens, echo(200), "bad-response"},
		{tokens, echo(302), "unauthorized"},
		{tokens, echo(400), "bad-response"},
		{tokens, echo(401), "unauthorized"},
		{tokens, echo(429), "rate-limited"},
		{tokens, echo(500), "server-error"},
		{tokens, faultinject.Reset(), "connection-refused"},
		{manifest, echo(200), "bad-response"},
		{manifest, echo(302), "bad-response"},
		{manifest, echo(401), "unauthorized"},
		{manifest, echo(403), "forbidden"},
		{manifest, echo(429), "rate-limited"},
		{manifest, echo(500), "server-error"},
		{manifest, faultinject.Reset(), "connection-refused"},
	} {
		remove := inject(s, c.match, c.do)
		requireOutcome(t, s.Tick(), 1, "failed", c.cause)
		remove()
	}
	remove := s.Site.Proxy.Refuse(someHost, http.StatusProxyAuthRequired)
	requireOutcome(t, s.Tick(), 1, "failed", "proxy")
	assert.NotEmpty(t, s.Run("check", "-o", "table").Stdout)
	remove()
	s.Setenv("HTTPS_PROXY", "http://proxy-user:password-of-the-proxy@127.0.0.1:1")
	requireOutcome(t, s.Tick(), 1, "failed", "connection-refused")
	s.Setenv("HTTPS_PROXY", s.Site.Proxy.URL())
	requireOutcome(t, s.Tick(), 0, "unchanged", "")

	assert.NotEmpty(t, eventsOf(s, "ResolveFailing"))
	left, err := os.ReadDir(s.Home)
	require.NoError(t, err)
	assert.Empty(t, left, "no file is written")
}

// The termination message says what failed, by names. Here the program runs where a kubelet waits for one.
func TestTheTerminationMessageHoldsNoSecret(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	s.Setenv("LOG_FORMAT", "text")
	inject(s, registries.At(someTokens, registries.Token), echo(401))
	const message = "the termination message:"
	result := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /dev && : > /dev/termination-log && "+
		s.Binary+"; code=$?; echo '"+message+"' >&2; cat /dev/termination-log >&2; exit $code").Finish()
	requireOutcome(t, result, 1, "failed", "unauthorized")
	_, said, found := strings.Cut(result.Stderr, message)
	require.True(t, found)
	assert.Contains(t, said, "pull secret "+s.Namespace+"/regcred (account good, ")
}

// A password goes to the host that it is for: not to where that points, not in clear, and not to a token endpoint in clear.
func TestAPasswordGoesToItsHostAlone(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	startBasic(t, s, dialect{host: someHost})
	digest := s.Push(somePrivate, image("first"))
	mount(t, s, "regcred", entries{someHost: puller, cdnHost: deadLogin})
	watch(s, map[string]pull{"private": {image: somePrivate, secrets: []string{"regcred"}}})
	s.Site.Front.Handle(cdnHost, http.NotFoundHandler())
	ping, head := registries.At(someHost, registries.Ping), registries.At(someHost, registries.Head)
	proof := func(c registries.Call) bool { return ping(c) && c.User != "" }
	realm := func(realm string) faultinject.Action {
		return faultinject.Reply(http.StatusUnauthorized, "", "Www-Authenticate", `Bearer realm="`+realm+`"`)
	}
	for name, c := range map[string]struct {
		match registries.Matcher
		do    faultinject.Action
		cause string
		calls bool // the other host is asked, anonymously
	}{
		"the manifest is elsewhere":  {head, redirect("https://" + cdnHost), "not-found", true},
		"the manifest is in clear":   {head, redirect("http://" + someHost), "bad-response", false},
		"the login is elsewhere":     {proof, redirect("https://" + cdnHost), "", true},
		"the login is in clear":      {proof, redirect("http://" + someHost), "", false},
		"the token is got in clear":  {ping, realm("http://" + someHost + "/token"), "bad-response", false},
		"the token is got with user": {ping, realm("https://user:password@" + cdnHost + "/token"), "bad-response", false},
	} {
		t.Run(name, func(t *testing.T) {
			defer inject(s, c.match, c.do)()
			s.Forget()
			result := s.Run("plan")
			requireTarget(t, result, "private", digest, c.cause)
			elsewhere := s.Site.Front.Calls(func(call registries.Call) bool { return call.Host != someHost || !call.TLS })
			assert.Equal(t, c.calls, len(elsewhere) > 0)
			for _, call := range elsewhere {
				assert.Empty(t, call.Header.Get("Authorization"), "%s %s", call.Host, call.Path)
			}
		})
	}
}
