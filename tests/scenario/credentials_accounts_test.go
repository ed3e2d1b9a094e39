package scenario_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// refreshedFrom has a Deployment run an image, pinned by a tick, that it pulls with a secret.
func refreshedFrom(t *testing.T, s *harness.Scenario, image, digest, secret string) {
	t.Helper()
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", image), workloads.PullSecret(secret)))
	s.Configure("targets:\n" + targetOf("ingestor", "", entry("Deployment", "jobs", "api")))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	require.Equal(t, image+"@"+digest, workloads.Image(s.Deployment("jobs"), "api"))
}

// I25: a robot account expired, and nothing was wrong until the next rollout, weeks later. Here the pods go on running, and the
// ticks say it. I59: the token of a pull secret had been revoked, the image was public: the updater resolved it anonymously, rolled
// it out, and no pod could pull.
func TestI25I59ADeadCredentialIsFoundWhileOldPodsRun(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	registry, digest := someRegistry(t, s)
	mount(t, s, "regcred", entries{someHost: goodLogin})
	refreshedFrom(t, s, somePublic, digest, "regcred")
	registry.RemoveAccount(goodLogin.user)
	moved := s.Push(somePublic, image("second"))
	for tick, exit := range []int{0, 0, 1, 1} {
		s.Forget()
		requireFailing(t, s.Tick(), exit, "unauthorized", somePublic,
			"pull secret "+s.Namespace+"/regcred (account good, entry "+someHost+")", "the token endpoint "+someTokens,
			"expired, disabled, deleted or have a wrong password, which a registry does not tell")
		d := s.Deployment("jobs")
		assert.Equal(t, somePublic+"@"+digest, workloads.Image(d, "api"))
		assert.Equal(t, 1, int(d.Status.AvailableReplicas))
		assert.Equal(t, strconv.Itoa(min(tick+1, 3)), d.Annotations[failures])
		assert.Equal(t, exit == 1, d.Annotations[lastError] != "")
		assert.Equal(t, 2, logins(s, someTokens, goodLogin), "a proof and what pods ask for, and no more after both were refused")
	}
	requireCheck(t, check(t, s, 1), "credential", "failed", s.Namespace+"/regcred")
	events := eventsOf(s, "ResolveFailing")
	require.Len(t, events, 1)
	assert.Contains(t, events[0], s.Namespace+"/regcred")

	registry.AddAccount(goodLogin.user, goodLogin.password, "team/private")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	d := s.Deployment("jobs")
	assert.Equal(t, somePublic+"@"+moved, workloads.Image(d, "api"))
	assert.NotContains(t, d.Annotations, failures)
	assert.NotContains(t, d.Annotations, lastError)
}

// I42: one good credential cleared the failure count that a dead one had built up on the same image.
func TestI42ADeadCredentialBesideAGoodOne(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	registry, latest := someRegistry(t, s)
	slots := ""
	for name, l := range map[string]login{"good": goodLogin, "dead": deadLogin} {
		mount(t, s, name, entries{someHost: l})
		s.Create(workloads.CronJob("with-"+name, workloads.Container("app", somePrivate), workloads.PullSecret(name)))
		slots += entry("CronJob", "with-"+name, "")
	}
	s.Configure("targets:\n" + targetOf("ingestor", somePrivate, slots))
	image := func(name string) string {
		return s.CronJob(name).Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image
	}
	for tick, exit := range []int{0, 0, 1, 1} {
		if tick > 0 { // the first tick adopts
			latest = s.Push(somePrivate, registries.Image(strconv.Itoa(tick), "linux/amd64"))
		}
		result := s.Tick()
		harness.RequireExit(t, exit, result)
		target := result.Report.Target("ingestor")
		assert.Equal(t, "unauthorized", target.Cause)
		assert.Contains(t, target.Message, s.Namespace+"/dead (account dead, ")
		assert.Equal(t, min(tick+1, 3), target.Failures, "the good one clears nothing")
		if tick > 0 {
			assert.Equal(t, "refreshed", target.Workload("with-good").Outcome, "whose own credential works goes on")
			assert.Equal(t, somePrivate+"@"+latest, image("with-good"))
			assert.Equal(t, "unauthorized", target.Workload("with-dead").Cause)
			assert.Equal(t, somePrivate, image("with-dead"))
		}
	}
	registry.AddAccount(deadLogin.user, deadLogin.password, "team/private")
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Zero(t, result.Report.Target("ingestor").Failures)
	assert.Equal(t, "refreshed", result.Report.Target("ingestor").Workload("with-dead").Outcome)
	assert.Equal(t, image("with-good"), image("with-dead"))
}

// A login is refused where both questions are: what pods ask for, and one about the account alone. Whatever is no verdict on
// the account says nothing of it.
func TestALoginThatIsRefusedOnceIsNot(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	watch(s, map[string]pull{"private": {image: somePrivate, secrets: []string{"good"}}})
	const alone, pods, refusal = false, true, `{"errors":[{"code":"DENIED"}]}`
	for name, c := range map[string]struct {
		asked bool
		do    faultinject.Action
		cause string
		warns int
	}{
		"401 to pods":           {pods, faultinject.Reply(401, ""), "unauthorized", 0},
		"404 to pods":           {pods, faultinject.Reply(404, ""), "not-found", 0},
		"401":                   {alone, faultinject.Reply(401, ""), "", 1},
		"403":                   {alone, faultinject.Reply(403, refusal), "", 1},
		"a firewall's 403":      {alone, faultinject.Reply(403, "<html>"), "", 0},
		"400":                   {alone, faultinject.Reply(400, `{"errors":[{"code":"UNSUPPORTED"}]}`), "", 0},
		"402, a bill":           {alone, faultinject.Reply(402, refusal), "", 0},
		"404":                   {alone, faultinject.Reply(404, ""), "", 0},
		"429":                   {alone, faultinject.Reply(429, ""), "", 0},
		"503":                   {alone, faultinject.Reply(503, "<html>"), "", 0},
		"a reset":               {alone, faultinject.Reset(), "", 0},
		"half an answer":        {alone, faultinject.Truncate(10), "", 0},
		"a redirect":            {alone, redirect("https://ghcr.io"), "", 0},
		"both, as it should be": {alone, faultinject.Edit(func(body []byte) []byte { return body }), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			defer inject(s, func(call registries.Call) bool {
				return call.Stage == registries.Token && call.User != "" && (len(call.Scopes) > 0) == c.asked
			}, c.do)()
			s.Forget()
			result := s.Run("plan")
			assert.Len(t, warnings(t, result), c.warns)
			requireTarget(t, result, "private", digest, c.cause)
			if c.cause == "" {
				assert.Equal(t, 2, logins(s, someTokens, goodLogin), "a proof, once, and a token")
			}
			for _, call := range s.Site.Front.Calls(registries.At("ghcr.io")) {
				assert.Empty(t, call.Header.Get("Authorization"))
			}
		})
	}
}

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
	for _, c := range []struct {
		match  registries.Matcher
		causes map[int]string // by status
	}{
		{registries.At(someTokens, registries.Token), map[int]string{
			200: "bad-response", 302: "unauthorized", 400: "bad-response", 401: "unauthorized", 429: "rate-limited", 500: "server-error",
		}},
		{ofManifests(someHost), map[int]string{
			200: "bad-response", 302: "bad-response", 401: "unauthorized", 403: "forbidden", 429: "rate-limited", 500: "server-error",
		}},
	} {
		for status, cause := range c.causes {
			remove := inject(s, c.match, echo(status))
			requireFailing(t, s.Tick(), 1, cause)
			remove()
		}
	}
	remove := s.Site.Proxy.Refuse(someHost, http.StatusProxyAuthRequired)
	requireFailing(t, s.Tick(), 1, "proxy")
	assert.NotEmpty(t, s.Run("check", "-o", "table").Stdout)
	remove()
	s.Setenv("HTTPS_PROXY", "http://proxy-user:password-of-the-proxy@127.0.0.1:1")
	requireFailing(t, s.Tick(), 1, "connection-refused")
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
	registry := registries.NewBasic(registries.NewStore(t.Context()))
	s.Site.Add(someHost, registry.Store, registry, someHost)
	registry.AddAccount(goodLogin.user, goodLogin.password, "team/private")
	digest := s.Push(somePrivate, image("first"))
	mount(t, s, "regcred", entries{someHost: goodLogin, cdnHost: deadLogin})
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
