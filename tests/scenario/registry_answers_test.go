package scenario_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	oracle "github.com/google/go-containerregistry/pkg/crane"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// registryAnswer is what a registry says in its own way, and what becomes of it.
type registryAnswer struct {
	account bool // asked for with an account of docker.io
	prepare func(s *harness.Scenario)
	// cause and says are what is made of it; without a cause it resolves.
	cause, says string
	// craneResolves says why crane resolves what this program refuses.
	craneResolves string
}

// ping, token, head and manifest answer at a stage of docker.io's flow.
func ping(do faultinject.Action) func(*harness.Scenario) {
	return func(s *harness.Scenario) { inject(s, registries.At(hubHost, registries.Ping), do) }
}

func token(status int, text string) func(*harness.Scenario) {
	return func(s *harness.Scenario) {
		inject(s, registries.At(hubTokens, registries.Token), faultinject.Reply(status, text))
	}
}

func head(do faultinject.Action) func(*harness.Scenario) {
	return func(s *harness.Scenario) { inject(s, registries.At(hubHost, registries.Head), do) }
}

func manifest(do faultinject.Action) func(*harness.Scenario) {
	return func(s *harness.Scenario) { inject(s, ofManifests(hubHost), do) }
}

// withheld answers HEAD, which has no body, and GET with a status and an error of the registry's own.
func withheld(status int, code string) func(*harness.Scenario) {
	return manifest(faultinject.Reply(status, `{"errors":[{"code":"`+code+`","message":"no"}]}`))
}

// challenges has docker.io say how to authenticate.
func challenges(values ...string) func(*harness.Scenario) {
	var headers []string
	for _, value := range values {
		headers = append(headers, "WWW-Authenticate", value)
	}
	return ping(faultinject.Reply(401, "", headers...))
}

// digest has the header of the manifest's digest changed; without a value it is missing.
func digestHeader(value ...string) faultinject.Action {
	return faultinject.Header("Docker-Content-Digest", value...)
}

// registryAnswers are answers of real registries, and of what stands before them.
func registryAnswers() map[string]registryAnswer {
	const page, hub = "<html>not for you</html>", `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`
	hex := strings.Repeat("a", 64)
	reply := faultinject.Reply
	resolves := func(prepare func(*harness.Scenario)) registryAnswer { return registryAnswer{prepare: prepare} }
	resolvesAs := func(prepare func(*harness.Scenario)) registryAnswer {
		return registryAnswer{prepare: prepare, account: true}
	}
	fails := func(prepare func(*harness.Scenario), cause, says string) registryAnswer {
		return registryAnswer{prepare: prepare, cause: cause, says: says}
	}
	failsAs := func(prepare func(*harness.Scenario), cause, says string) registryAnswer {
		return registryAnswer{prepare: prepare, cause: cause, says: says, account: true}
	}
	crane := func(row registryAnswer, why string) registryAnswer {
		row.craneResolves = why
		return row
	}
	malformed := func(header string) registryAnswer {
		return crane(fails(manifest(digestHeader(header)), "bad-response", "64 lowercase hex digits"), "a digest that its registry spells otherwise is not believed")
	}
	return map[string]registryAnswer{
		"as ever":                         resolves(head(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) })),
		"HEAD is not allowed":             resolves(head(reply(405, ""))),
		"HEAD is not implemented":         resolves(head(reply(501, ""))),
		"HEAD without a type":             resolves(head(faultinject.Header("Content-Type"))),
		"HEAD without a length":           resolves(head(faultinject.Header("Content-Length"))),
		"HEAD without a digest":           resolves(head(digestHeader())),
		"no digest at all":                resolves(manifest(digestHeader())),
		"HEAD with a digest that is none": resolves(head(digestHeader("sha256:zz"))),
		"HEAD with another algorithm": crane(resolves(head(digestHeader("sha512:"+hex+hex))),
			"to what the header says, where this program computes the digest that it can write"),

		"/v2/ says 401 and not how":     resolves(challenges()),
		"/v2/ says 404":                 resolves(ping(reply(404, page))),
		"/v2/ says 403, to an account":  resolvesAs(ping(reply(403, page))),
		"/v2/ is a login page":          resolves(ping(loginPage)),
		"/v2/ is half a body":           resolves(ping(faultinject.Short(20))),
		"/v2/ is cut off":               resolves(ping(faultinject.Truncate(20))),
		"/v2/ is a gigabyte":            resolves(ping(faultinject.Huge(1 << 30))),
		"several ways to ask":           resolvesAs(challenges("Negotiate", `Basic realm="x"`, hub)),
		"half a challenge more":         resolves(challenges(hub + `, Basic realm="unterminated`)),
		"another scope":                 resolves(vanity),
		"a challenge after a redirect":  resolves(func(s *harness.Scenario) { sendsTo(s, cdnHost, s.Site.DockerHub) }),
		"storage inside":                resolves(func(s *harness.Scenario) { sendsTo(s, s.Site.Front.TLSAddr(), s.Site.DockerHub.Store) }),
		"a token that is not valid yet": resolves(revoked),

		"a firewall's 403 for a token":    failsAs(token(403, page), "forbidden", "and not as a registry does"),
		"a plain 403 for a token":         failsAs(token(403, "blocked"), "forbidden", "a geo block"),
		"402 for a token":                 failsAs(token(402, "pay"), "forbidden", "a bill that is due"),
		"a registry's 403 for a token":    failsAs(token(403, `{"errors":[{"code":"DENIED"}]}`), "unauthorized", "was rejected by the token endpoint"),
		"401 for a manifest, and not how": failsAs(withheld(401, "UNAUTHORIZED"), "unauthorized", "was refused to pull secret"),
		"nothing there, to an account":    failsAs(withheld(404, "NAME_UNKNOWN"), "not-found", "which some registries hide behind a 404"),
		"a policy, 412":                   fails(withheld(412, "PROJECTPOLICYVIOLATION"), "forbidden", "412 (PROJECTPOLICYVIOLATION), a policy of its own"),
		"a scan's 403":                    fails(withheld(403, "DENIED_BY_SCAN"), "forbidden", "403 (DENIED_BY_SCAN)"),
		"gone":                            fails(withheld(410, "GONE"), "not-found", "answered 410"),
		"locked":                          fails(withheld(423, "LOCKED"), "forbidden", "423 (LOCKED)"),
		"for legal reasons":               fails(withheld(451, "LEGAL"), "forbidden", "451 (LEGAL)"),

		"a realm in clear":        failsAs(challenges(`Bearer realm="http://auth.docker.io/token"`), "bad-response", "X-Forwarded-Proto"),
		"a relative realm":        failsAs(challenges(`Bearer realm="/token"`), "bad-response", "X-Forwarded-Proto"),
		"a realm on this machine": failsAs(challenges(`Bearer realm="https://127.0.0.1/token"`), "bad-response", "on this machine"),
		"a metadata service":      failsAs(challenges(`Bearer realm="https://169.254.169.254/latest"`), "bad-response", "named a token endpoint"),

		"no hex":            malformed("sha256:zz"),
		"another algorithm": malformed("sha512:" + hex + hex),
		"upper case":        malformed("sha256:" + strings.ToUpper(hex)),
		"four thousand":     malformed("sha256:" + strings.Repeat("a", 4000)),
		"quotes":            malformed(`"sha256:` + hex + `"`),
		"injection":         malformed(`sha256:` + hex + `","other":"x`),
		"HEAD refused though GET is not": crane(fails(head(reply(403, "")), "forbidden", "403"),
			"nodes ask by HEAD, and are refused"),
		"a login page": crane(fails(manifest(loginPage), "bad-response", "no image manifest"), "the digest of a page is no image's"),
	}
}

// vanity is a path-rewriting proxy in front of the registry: the manifest's 401 wants the scope of the repository behind it.
func vanity(s *harness.Scenario) {
	s.Site.Front.Handle(hubHost, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, "/v2/tracebloc/", "/v2/behind/", 1)
		s.Site.DockerHub.ServeHTTP(w, r)
	}))
	if _, err := s.Site.Push("docker.io/behind/jobs-manager:prod", image("one")); err != nil {
		panic(err)
	}
}

// sendsTo has the registry ask nobody, and send everybody to an address, as those do that have their storage elsewhere.
func sendsTo(s *harness.Scenario, address string, handler http.Handler) {
	s.Site.Front.Handle(address, handler)
	manifest(redirect("https://" + address))(s)
}

// revoked has a token refused once.
func revoked(s *harness.Scenario) {
	s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head), Times: 1, Do: faultinject.Before(s.Site.DockerHub.RevokeTokens)})
}

// I32: a registry answered 200 with a login page. I37: the digest header was garbage. Whatever crane resolves as the same
// account, the program resolves, or the row says why not; and what it does not resolve it says in its own terms, and writes
// nothing. No account leaves for where it is not meant to go.
func TestI32I37AnswersOfRegistriesWithCraneBeside(t *testing.T) {
	t.Parallel()
	for name, row := range registryAnswers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := onTag(t, jobsManager)
			digest := s.Push(jobsManager, image("one"))
			as := authn.Anonymous
			if row.account {
				hubAccount(t, s, "puller")
				as = authn.FromConfig(authn.AuthConfig{Username: "puller", Password: "hunter2-of-puller"})
				followTag(s, jobsManager, "pullSecrets: [puller]")
			}
			row.prepare(s)
			through, err := s.Site.Transport()
			require.NoError(t, err)
			api := strings.Replace(jobsManager, "docker.io/", hubHost+"/", 1) // which crane would call index.docker.io
			theirs, err := oracle.Digest(api, oracle.WithTransport(through), oracle.WithAuth(as), oracle.WithContext(t.Context()))
			if err == nil && row.craneResolves == "" {
				assert.Equal(t, digest, theirs)
				assert.Empty(t, row.cause, "crane resolves it")
			}
			assert.False(t, err != nil && row.craneResolves != "", "crane does not: %v", err)

			row.prepare(s)
			s.Forget()
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			if row.cause == "" {
				requireResolved(t, result, "ingestor", digest)
				assert.Equal(t, digest, live(s))
			} else {
				requireFailed(t, result, "ingestor", row.cause, row.says)
				assert.Empty(t, slotWrites(s, "deployments", "jobs"))
			}
			for _, call := range s.Site.Front.Calls(func(c registries.Call) bool { return c.User != "" }) {
				assert.True(t, call.TLS)
				assert.Equal(t, hubTokens, call.Host)
			}
		})
	}
}

// I21: a proxy dropped repeated Accept headers, and changed the case of header names.
func TestI21AProxyThatDropsAndRecasesHeaders(t *testing.T) {
	t.Parallel()
	s, _, moved := behindTag(t, ingestor, image("first"), registries.Index("second", "linux/amd64", "linux/arm64"))
	s.Site.Proxy.Intercept(true)
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", moved, 2)
	for _, call := range s.Site.Front.Calls(ofManifests("ghcr.io")) {
		assert.Len(t, call.Accept, 1, "one Accept value")
	}
}

// I47: a registry's error text with newlines and escape codes forged log lines and filled an annotation.
func TestI47ForeignTextIsCutAndCleaned(t *testing.T) {
	t.Parallel()
	s, _ := onTag(t, ingestor, "resolveFailureThreshold: 1")
	inject(s, registries.At("ghcr.io", registries.Head, registries.Get, registries.Token), faultinject.Reply(403,
		`{"errors":[{"code":"DENIED\n{\"level\":\"FORGED\"}\u001b[31m","message":"`+strings.Repeat("x", 5000)+`"}]}`, "Content-Type", "application/json"))
	result := s.Tick()
	requireOutcome(t, result, 1, "failed", "forbidden")
	for line := range strings.Lines(result.Stderr) {
		assert.True(t, strings.HasPrefix(line, `{"time":`), "a forged line: %s", line)
	}
	text := s.Deployment("jobs").Annotations[lastError]
	assert.NotEmpty(t, text)
	assert.NotContains(t, text, "\n")
	assert.NotContains(t, text, "\x1b")
	assert.Less(t, len(text), 1500)
}

// A registry that goes away in the middle of a request (a rolling update of its own, a load balancer) is asked again.
func TestARegistryThatGoesAwayInMidRequest(t *testing.T) {
	t.Parallel()
	const manifest = "/v2/tracebloc/ingestor/manifests/0.3"
	for name, c := range map[string]struct {
		path   string
		leaves int
	}{
		"once, at the ping": {"/v2/", 1}, "once, at the manifest": {manifest, 1}, "each time": {manifest, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			store := registries.NewStore(t.Context())
			address, err := registries.NewLeaver(t.Context(), s.Site.Authority, store, c.path, c.leaves)
			require.NoError(t, err)
			s.Site.Add(address, store, store)
			digest := s.Push(address+"/tracebloc/ingestor:0.3", image("one"))
			watch(s, map[string]pull{"ingestor": {image: address + "/tracebloc/ingestor:0.3"}})
			result := s.Run("plan")
			if c.leaves == 1 {
				requireResolved(t, result, "ingestor", digest)
				return
			}
			requireFailed(t, result, "ingestor", "connection-refused", "cut the connection")
		})
	}
}

// I1: ghcr.io was blocked by the egress proxy, docker.io was not; every tick warned and exited 0. I2: below the threshold a blip
// pages nobody.
func TestI1I2OneRegistryBlockedAtTheProxy(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Deploy(workloads.Deployment("proxy", workloads.Container("proxy", jobsManager), workloads.Env("proxy", slot, s.Push(jobsManager, image("m")))))
	s.Configure(ingestorConfig + targetOf("manager", jobsManager, entry("Deployment", "proxy", "proxy", "env: "+slot)))
	harness.RequireExit(t, 0, s.Tick())

	latest := s.Push(ingestor, image("latest"))
	unblock := s.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	for tick, exit := range []int{0, 0, 1, 1} {
		moved := s.Push(jobsManager, image("m"+strconv.Itoa(tick)))
		result := s.Tick()
		failed := requireOutcome(t, result, exit, []string{"skipped", "failed"}[exit], "proxy")
		assert.Contains(t, failed.Message, "ghcr.io")
		assert.Contains(t, failed.Message, "proxy")
		count := min(tick+1, 3)
		requireFailed(t, result, "ingestor", "proxy")
		assert.Equal(t, count, result.Report.Target("ingestor").Failures, "capped at the threshold")
		assert.Equal(t, 3, result.Report.Target("ingestor").Threshold)
		d := s.Deployment("jobs")
		assert.Equal(t, strconv.Itoa(count), d.Annotations[failures])
		if exit == 1 {
			assert.Regexp(t, `^proxy: .*ghcr\.io`, d.Annotations[lastError])
		} else {
			assert.NotContains(t, d.Annotations, lastError)
		}
		assert.Equal(t, first, live(s), "the slot is untouched")
		outcomeOf(t, result, "manager", "proxy", "refreshed", "")
		value, _ := workloads.EnvValue(s.Deployment("proxy"), "proxy", slot)
		assert.Equal(t, moved, value, "docker.io goes on")
	}
	assert.Len(t, eventsOf(s, "ResolveFailing"), 1, "one Event a change of state")

	unblock()
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", latest, 2)
	d := s.Deployment("jobs")
	assert.NotContains(t, d.Annotations, failures, "one good resolve clears the count")
	assert.NotContains(t, d.Annotations, lastError)
}
