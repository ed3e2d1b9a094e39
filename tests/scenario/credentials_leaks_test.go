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
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// guarded makes a scenario that has every kind of secret: a password and tokens for a private image, and a password
// for the proxy. Everything is logged, and the first failure is loud: in the log, the result, the annotation and the
// Event. That none of it holds a secret is asserted when the test ends, as it is after every other.
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
		w.Header().Set("Docker-Content-Digest", secret)
		w.Header().Set("Content-Type", secret)
		w.Header().Set("Retry-After", secret)
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
	tokens, manifests := registries.At("auth."+someHost, registries.Token), registries.At(someHost, registries.Head, registries.Get)
	for name, c := range map[string]struct {
		match registries.Matcher
		do    faultinject.Action
		cause string
	}{
		"token endpoint, 200":  {tokens, echo(200), "bad-response"},
		"token endpoint, 302":  {tokens, echo(302), "unauthorized"},
		"token endpoint, 400":  {tokens, echo(400), "bad-response"},
		"token endpoint, 401":  {tokens, echo(401), "unauthorized"},
		"token endpoint, 429":  {tokens, echo(429), "rate-limited"},
		"token endpoint, 500":  {tokens, echo(500), "server-error"},
		"token endpoint, gone": {tokens, faultinject.Reset(), "connection-refused"},
		"manifest, 200":        {manifests, echo(200), "bad-response"},
		"manifest, 302":        {manifests, echo(302), "bad-response"},
		"manifest, 401":        {manifests, echo(401), "unauthorized"},
		"manifest, 403":        {manifests, echo(403), "forbidden"},
		"manifest, 429":        {manifests, echo(429), "rate-limited"},
		"manifest, 500":        {manifests, echo(500), "server-error"},
		"manifest, gone":       {manifests, faultinject.Reset(), "connection-refused"},
	} {
		remove := s.Site.Front.Inject(registries.Fault{Match: c.match, Do: c.do})
		assert.Equal(t, c.cause, requireOutcome(t, s.Tick(), 1, "failed", c.cause).Cause, name)
		remove()
	}
	remove := s.Site.Proxy.Refuse(someHost, http.StatusProxyAuthRequired)
	requireOutcome(t, s.Tick(), 1, "failed", "proxy")
	assert.NotEmpty(t, s.Run("check", "-o", "table").Stdout)
	remove()
	proxy := s.Site.Proxy.URL()
	s.Setenv("HTTPS_PROXY", "http://proxy-user:password-of-the-proxy@127.0.0.1:1")
	requireOutcome(t, s.Tick(), 1, "failed", "connection-refused")
	s.Setenv("HTTPS_PROXY", proxy)
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
	s.Site.Front.Inject(registries.Fault{Match: registries.At("auth."+someHost, registries.Token), Do: echo(401)})
	const message = "the termination message:"
	result := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c",
		"mount -t tmpfs none /dev && : > /dev/termination-log && "+s.Binary+"; code=$?; echo '"+message+"' >&2; cat /dev/termination-log >&2; exit $code").Finish()
	requireOutcome(t, result, 1, "failed", "unauthorized")
	_, said, found := strings.Cut(result.Stderr, message)
	require.True(t, found)
	assert.Contains(t, said, "pull secret "+s.Namespace+"/regcred (account good, ")
}

// A password goes to the host that it is for: not to where that points, not in clear, and not to a token endpoint in
// clear.
func TestAPasswordGoesToItsHostAlone(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	registry, err := registries.NewHtpasswd(t.Context(), s.Dir)
	require.NoError(t, err)
	require.NoError(t, registry.AddAccount(goodLogin.user, goodLogin.password))
	s.Site.Add(someHost, registry.Store, registry, someHost)
	s.Site.Add("other.example.com", s.Site.GHCR.Store, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
	}), "other.example.com")
	digest := s.Push(somePrivate, registries.Image("first", "linux/amd64"))
	mount(t, s, "regcred", entries{someHost: goodLogin, "other.example.com": deadLogin})
	s.Create(workloads.CronJob("jobs", workloads.Container("api", somePrivate), workloads.PullSecret("regcred")))
	s.Configure("targets: [{name: ingestor, workloads: [{kind: CronJob, name: jobs, container: api}]}]")
	elsewhere := func(call registries.Call) bool { return call.Host != someHost || !call.TLS }
	redirect := func(to string) faultinject.Action {
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}
	}
	for name, c := range map[string]struct {
		match registries.Matcher
		do    faultinject.Action
		cause string
		calls bool // the other host is asked, as nobody
	}{
		"as it is":                   {registries.At("none"), nil, "", false},
		"the manifest is elsewhere":  {registries.At(someHost, registries.Head), redirect("https://other.example.com"), "not-found", true},
		"the manifest is in clear":   {registries.At(someHost, registries.Head), redirect("http://" + someHost), "bad-response", false},
		"the login is elsewhere":     {loggedIn, redirect("https://other.example.com"), "", true},
		"the login is in clear":      {loggedIn, redirect("http://" + someHost), "", false},
		"the token is got in clear":  {registries.At(someHost, registries.Ping), challenge("http://" + someHost + "/token"), "bad-response", false},
		"the token is got with user": {registries.At(someHost, registries.Ping), challenge("https://user:password@other.example.com/token"), "bad-response", false},
	} {
		t.Run(name, func(t *testing.T) {
			defer s.Site.Front.Inject(registries.Fault{Match: c.match, Do: c.do})()
			s.Forget()
			target := s.Run("plan").Report.Target("ingestor")
			assert.Equal(t, c.cause, target.Cause, target.Message)
			if c.cause == "" {
				assert.Equal(t, digest, target.Digest)
			}
			there := s.Site.Front.Calls(elsewhere)
			assert.Equal(t, c.calls, len(there) > 0)
			for _, call := range there {
				assert.Empty(t, call.Header.Get("Authorization"), "%s %s", call.Host, call.Path)
			}
		})
	}
}

// loggedIn is a proof by Basic authentication.
func loggedIn(c registries.Call) bool { return c.Stage == registries.Ping && c.User != "" }

// challenge sends clients to a token endpoint.
func challenge(realm string) faultinject.Action {
	return faultinject.Reply(http.StatusUnauthorized, "", "Www-Authenticate", `Bearer realm="`+realm+`"`)
}

// Registries name the token in one of two fields, or in both: token goes before access_token.
func TestWhereATokenStands(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "regcred", entries{someHost: goodLogin})
	watch(s, map[string]pull{"private": {image: somePrivate, secrets: []string{"regcred"}}})
	for name, c := range map[string]struct {
		change func(answer map[string]any)
		cause  string
	}{
		"token alone":                {func(a map[string]any) { delete(a, "access_token") }, ""},
		"access_token alone":         {func(a map[string]any) { delete(a, "token") }, ""},
		"access_token empty":         {func(a map[string]any) { a["access_token"] = "" }, ""},
		"token empty":                {func(a map[string]any) { a["token"] = "" }, ""},
		"both, and token is right":   {func(a map[string]any) { a["access_token"] = "e30.e30.e30" }, ""},
		"both, and token is wrong":   {func(a map[string]any) { a["token"] = "e30.e30.e30" }, "unauthorized"},
		"neither":                    {func(a map[string]any) { delete(a, "token"); delete(a, "access_token") }, "bad-response"},
		"no lifetime, no issue date": {func(a map[string]any) { delete(a, "expires_in"); delete(a, "issued_at") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			defer s.Site.Front.Inject(registries.Fault{Match: registries.At("", registries.Token), Do: faultinject.Edit(func(body []byte) []byte {
				answer := map[string]any{}
				require.NoError(t, json.Unmarshal(body, &answer))
				c.change(answer)
				changed, err := json.Marshal(answer)
				require.NoError(t, err)
				return changed
			})})()
			target := s.Run("plan").Report.Target("private")
			assert.Equal(t, c.cause, target.Cause, target.Message)
			if c.cause == "" {
				assert.Equal(t, digest, target.Digest)
			}
		})
	}
}
