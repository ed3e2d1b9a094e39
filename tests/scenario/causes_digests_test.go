package scenario_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	firstMirror  = "harbor.example.com"
	secondMirror = "mirror.example.com"
)

// inHub is where docker.io and each of its mirrors keeps the image.
var inHub = map[string]string{
	firstMirror:  firstMirror + "/dockerhub/tracebloc/jobs-manager:prod",
	secondMirror: secondMirror + "/tracebloc/jobs-manager:prod",
	hubHost:      jobsManager,
}

// mirrored makes a scenario in image mode with docker.io and two mirrors of it, each of which means something else by the
// tag, so that one sees who was asked.
func mirrored(t *testing.T, fallback bool) (s *harness.Scenario, live string, means map[string]string) {
	t.Helper()
	s = environment.Scenario(t)
	for _, host := range []string{firstMirror, secondMirror} {
		store := registries.NewStore(t.Context())
		s.Site.Add(host, store, store, host)
	}
	means = map[string]string{}
	for host, reference := range inHub {
		live = s.Push(reference, image("live"))
		means[host] = s.Push(reference, image(host))
	}
	s.Deploy(workloads.Deployment("jobs", workloads.Container("main", jobsManager+"@"+live),
		workloads.Label(mark, label(live)), workloads.Annotation(recorded, live)))
	s.Configure("registries: [{host: docker.io, mirrors: [harbor.example.com/dockerhub, mirror.example.com], " +
		fmt.Sprintf("fallback: %t}]\ntargets:\n", fallback) + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "")))
	s.Forget()
	return s, live, means
}

// requireAsked asserts that no other host was asked for anything.
func requireAsked(t *testing.T, s *harness.Scenario, host string) {
	t.Helper()
	for _, call := range s.Site.Front.Calls(nil) {
		assert.Equal(t, host, call.Host, "%s %s", call.Method, call.Path)
	}
}

// What each answer of the first mirror leads to. I22: the slot goes on naming docker.io, with a digest that the mirror
// holds from which pods pull.
func TestI22MirrorsAreAskedInOrder(t *testing.T) {
	t.Parallel()
	at := func(do faultinject.Action) func(*harness.Scenario) {
		return func(s *harness.Scenario) { inject(s, registries.At(firstMirror, registries.Head), do) }
	}
	without := func(hosts ...string) func(*harness.Scenario) {
		return func(s *harness.Scenario) {
			for _, host := range hosts {
				require.NoError(t, s.Site.Delete(inHub[host]))
			}
		}
	}
	for name, c := range map[string]struct {
		trouble    func(*harness.Scenario) // of the first mirror
		via        string                  // who is believed
		cause      string                  // or nobody, and the first mirror is named
		noFallback bool
	}{
		"it has it":    {trouble: without(), via: firstMirror},
		"it has not":   {trouble: without(firstMirror), via: secondMirror},
		"a 503":        {trouble: at(faultinject.Reply(503, "")), via: secondMirror},
		"a reset":      {trouble: at(faultinject.Reset()), via: secondMirror},
		"a closed way": {trouble: func(s *harness.Scenario) { s.Site.Proxy.Refuse(firstMirror, 403) }, via: secondMirror},
		"a stranger's certificate": {trouble: func(s *harness.Scenario) {
			certificate, err := stranger(t).Issue(firstMirror)
			require.NoError(t, err)
			s.Site.Front.SetCertificate(firstMirror, certificate)
		}, via: secondMirror},
		"neither has it": {trouble: without(firstMirror, secondMirror), via: hubHost},
		"neither can be asked": {trouble: func(s *harness.Scenario) {
			s.Site.Proxy.Refuse(firstMirror, 403)
			s.Site.Proxy.Refuse(secondMirror, 502)
		}, via: hubHost},
		"a 401": {trouble: at(faultinject.Reply(401, "", "WWW-Authenticate", `Basic realm="x"`)), cause: "unauthorized"},
		"a 403": {trouble: at(faultinject.Reply(403, "")), cause: "forbidden"},
		"a 429": {trouble: at(faultinject.Reply(429, "")), cause: "rate-limited"},
		"a digest that is none": {trouble: func(s *harness.Scenario) {
			inject(s, ofManifests(firstMirror), faultinject.Header("Docker-Content-Digest", "sha256:zz"))
		}, cause: "bad-response"},
		"a digest that it has not": {trouble: at(faultinject.Header("Docker-Content-Digest", digestOf("elsewhere"))), cause: "not-found"},
		"neither, and no fallback": {trouble: func(s *harness.Scenario) {
			without(firstMirror)(s)
			s.Site.Proxy.Refuse(secondMirror, 403)
		}, cause: "not-found", noFallback: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, live, means := mirrored(t, !c.noFallback)
			c.trouble(s)
			result := s.Tick()
			if c.cause == "" {
				requireOutcome(t, result, 0, "refreshed", "")
				assert.Equal(t, jobsManager+"@"+means[c.via], workloads.Image(s.Deployment("jobs"), "main"))
				for _, call := range s.Site.Front.Calls(ofDigest(means[c.via])) {
					assert.Equal(t, c.via, call.Host, "verified where it came from")
				}
			} else {
				failed := requireOutcome(t, result, 0, "skipped", c.cause)
				assert.Contains(t, failed.Message, firstMirror)
				assert.Equal(t, c.noFallback, strings.Contains(failed.Message, secondMirror))
				assert.Equal(t, jobsManager+"@"+live, workloads.Image(s.Deployment("jobs"), "main"))
			}
			if c.cause != "" || c.via == firstMirror {
				requireAsked(t, s, firstMirror)
			}
		})
	}
}

// Plain HTTP is spoken where the configuration says so, to that host, be it a registry, a mirror or a token endpoint, and
// nowhere else, whatever the address. A registry without TLS may be anybody who answers in its place: a metadata service's
// answer would do for a token.
func TestPlainHTTPWhereItIsSaidAlone(t *testing.T) {
	t.Parallel()
	const direct, plain = "HOST/dockerhub/tracebloc/jobs-manager:prod", "{host: HOST, plainHTTP: true}"
	const endpoint, mirrored = "tokens.example.com", "{host: docker.io, mirrors: [HOST/dockerhub], fallback: false"
	for name, c := range map[string]struct {
		registries string // HOST is the host, port included
		image      string
		realm      string // of the token endpoint, if there is one
		cause      string
	}{
		"said":                    {plain, direct, "", ""},
		"said of a mirror":        {mirrored + "}, " + plain, jobsManager, "", ""},
		"not said":                {"", direct, "", "tls"},
		"not said of a mirror":    {mirrored + "}", jobsManager, "", "tls"},
		"said of another host":    {"{host: localhost, plainHTTP: true}", direct, "", "tls"},
		"said of what it mirrors": {mirrored + ", plainHTTP: true}", jobsManager, "", "tls"},

		"tokens beside it":             {plain, direct, "http://HOST/token", ""},
		"tokens elsewhere":             {plain, direct, "http://" + endpoint + "/token", "bad-response"},
		"tokens said of":               {plain + ", {host: " + endpoint + ", plainHTTP: true}", direct, "http://" + endpoint + "/token", ""},
		"tokens of a metadata service": {plain, direct, "http://169.254.169.254/token", "bad-response"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			host := s.Site.Front.PlainAddr()
			at := func(text string) string { return strings.ReplaceAll(text, "HOST", host) }
			store := registries.NewStore(t.Context())
			s.Site.Add(host, store, store, host)
			digest := s.Push(at(direct), image("one"))
			mount(t, s, "puller", entries{host: goodLogin})
			for _, one := range []string{endpoint, "169.254.169.254"} {
				s.Site.Front.Handle(one, http.NotFoundHandler())
			}
			inject(s, registries.At("", registries.Token), faultinject.Reply(200, `{"Token":"instance-credentials"}`))
			if c.realm != "" {
				challenge := `Bearer realm="` + at(c.realm) + `",service="x"`
				inject(s, registries.At(host, registries.Ping), faultinject.Reply(401, "", "WWW-Authenticate", challenge))
			}
			watch(s, map[string]pull{"ingestor": {image: at(c.image), secrets: []string{"puller"}}}, "registries: ["+at(c.registries)+"]")
			result := s.Run("plan")
			if c.cause == "" {
				requireTarget(t, result, "ingestor", digest, "")
				assert.NotContains(t, result.Stderr, "is for none of the images", "an entry for a token endpoint is of use")
				return
			}
			requireTarget(t, result, "ingestor", "", c.cause, host)
			for _, call := range s.Site.Front.Calls(nil) {
				assert.Equal(t, c.cause == "bad-response", !call.TLS && call.Host == host, "%s%s", call.Host, call.Path)
				assert.Empty(t, call.Scheme)
			}
		})
	}
}

// A proxy that reads TLS is a matter of its authority: in SSL_CERT_FILE for everything, in caFile for one registry, its token
// endpoint included, and for no other.
func TestAProxyThatReadsTLSAndIsTrusted(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"SSL_CERT_FILE", "caFile"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			authority, err := pki.NewAuthority("the company's proxy")
			require.NoError(t, err)
			file := filepath.Join(s.Dir, "company.crt")
			require.NoError(t, authority.WriteFile(file))
			first := ""
			if where == "caFile" {
				first = "registries: [{host: docker.io, caFile: " + file + "}]"
			} else {
				s.Setenv("SSL_CERT_FILE", file)
			}
			digest := s.Push(jobsManager, image("one"))
			s.Push(ingestor, image("one"))
			watch(s, map[string]pull{"hub": {image: jobsManager}, "ghcr": {image: ingestor}}, first)
			s.Site.Proxy.InterceptAs(authority)
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			requireTarget(t, result, "hub", digest, "")
			assert.NotZero(t, asked(s, hubTokens, registries.Token))
			if where == "SSL_CERT_FILE" {
				requireTarget(t, result, "ghcr", digest, "")
				return
			}
			requireTarget(t, result, "ghcr", "", "tls", "caFile of the registry")
			assert.Zero(t, asked(s, "ghcr.io"))
		})
	}
}

// I62: a proxy cache served an old digest for weeks while its origin rate-limited it. A check asks both, where it can.
func TestI62ACheckComparesAMirrorWithItsOrigin(t *testing.T) {
	t.Parallel()
	s, _, means := mirrored(t, false)
	line := requireCheck(t, check(t, s, 0), "registry", "warning", jobsManager)
	requireSays(t, line.Message, means[firstMirror]+" at the mirror "+firstMirror+"/dockerhub", "lags behind")
	requireSays(t, line.Message, means[hubHost]+" at docker.io itself")
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Zero(t, asked(s, hubHost), "a tick asks where pods pull from")

	quiet := func() {
		t.Helper()
		for _, one := range check(t, s, 0).Checks {
			assert.False(t, one.Check == "registry" && one.Status != "ok", "%s %s", one.Subject, one.Message)
		}
	}
	restore := s.Site.Proxy.Refuse(hubHost, http.StatusForbidden) // and that it cannot be asked is nothing to say
	quiet()
	restore()
	s.Push(inHub[firstMirror], image(hubHost)) // it has caught up
	quiet()
}

// An entry of the configuration that no image is asked with does nothing, and looks as though it did.
func TestAnEntryForNoImageIsSaid(t *testing.T) {
	t.Parallel()
	s, _ := onTag(t, jobsManager)
	s.Site.Front.Handle(secondMirror, http.NotFoundHandler())
	s.Configure("registries: [{host: registry-1.docker.io, fallback: true}, {host: harbor.example.com, plainHTTP: true}, " +
		"{host: docker.io, mirrors: [mirror.example.com]}, {host: mirror.example.com}]\ntargets:\n" +
		targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot)))
	for range 2 {
		result := s.Tick()
		requireOutcome(t, result, 0, "unchanged", "")
		for text, times := range map[string]int{"the entry for registry-1.docker.io ": 1, "the entry for harbor.example.com ": 1, "": 2} {
			assert.Equal(t, times, strings.Count(result.Stderr, text+"is for none of the images"), "once a tick: %s", text)
		}
	}
	line := requireCheck(t, check(t, s, 0), "registry", "warning", "registry-1.docker.io")
	assert.Contains(t, line.Message, "Docker Hub is docker.io there")
}

// What a new digest must offer: the platforms that are named, or those that the digest in use offers. I24: the digest that was put
// there lacked arm64, and pods failed with "no match for platform".
func TestI24I90Platforms(t *testing.T) {
	t.Parallel()
	const both, arm = "platforms: [linux/amd64, linux/arm64]", "platforms: [linux/arm64]"
	const amd64, arm64, win17, win20 = "linux/amd64", "linux/arm64", "windows/amd64:10.0.17763.1", "windows/amd64:10.0.20348.2"
	index, single := registries.Index, registries.Image
	for name, c := range map[string]struct {
		live, latest registries.Content
		line         string
		lacks        string // empty: it is rolled out
		gone         bool   // the registry no longer has what is in use, which then asks for nothing
	}{
		"as many":                       {live: index("a", amd64, arm64), latest: index("b", arm64, amd64)},
		"one more":                      {live: index("a", amd64), latest: index("b", amd64, "linux/s390x")},
		"named, and there":              {live: index("a", amd64), latest: index("b", amd64, arm64), line: both},
		"named, and not there":          {live: index("a", amd64), latest: index("b", amd64), line: both, lacks: arm64},
		"named ones alone decide":       {live: index("a", amd64), latest: index("b", arm64), line: arm},
		"a single one, by its config":   {live: single("a", amd64), latest: single("b", amd64)},
		"a single one of another":       {live: single("a", amd64), latest: single("b", arm64), lacks: amd64},
		"an index, then a single one":   {live: index("a", amd64, arm64), latest: single("b", amd64), lacks: arm64},
		"a single one, then an index":   {live: single("a", arm64), latest: index("b", amd64), lacks: arm64},
		"in Docker's formats":           {live: single("a", amd64).AsDocker(), latest: index("b", amd64).AsDocker()},
		"in Docker's, and one less":     {live: index("a", amd64, arm64).AsDocker(), latest: single("b", amd64).AsDocker(), lacks: arm64},
		"as ko writes it":               {live: registries.KoIndex("a", amd64), latest: registries.KoIndex("b", amd64)},
		"another variant":               {live: index("a", "linux/arm/v7"), latest: index("b", "linux/arm/v6"), lacks: "linux/arm/v7"},
		"one Windows build less":        {live: index("a", win17, win20), latest: index("b", win20), lacks: "windows(10.0.17763)/amd64"},
		"another, of a single one":      {live: single("a", win17), latest: single("b", win20), lacks: "windows(10.0.17763)/amd64"},
		"an attestation is none":        {live: index("a", amd64).WithAttestation(), latest: index("b", amd64)},
		"one less, and attested":        {live: index("a", amd64, arm64), latest: index("b", amd64).WithAttestation(), lacks: arm64},
		"one less than in what is gone": {live: index("a", amd64, arm64), latest: index("b", amd64), gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, after := behindTag(t, ingestor, c.live, c.latest, c.line)
			if c.gone {
				require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+before))
			}
			if c.lacks == "" {
				requireOutcome(t, s.Tick(), 0, "refreshed", "")
				assert.Equal(t, after, live(s))
				return
			}
			requireFailing(t, s.Tick(), 0, "platform-missing", "lacks "+c.lacks+" ", ingestor+"@"+after[:19])
			requireUntouched(t, s, before)
		})
	}
}

// I31: a registry answered 429; the updater fell back from HEAD to GET, and drained the quota of the whole site. It is asked
// again when it says so, where that is within the time for one image, and never by the GET that costs a pull.
func TestI31WhenA429SaysHowLongToWait(t *testing.T) {
	t.Parallel()
	after := func(wait string) faultinject.Action { return faultinject.Reply(429, "", "Retry-After", wait) }
	ghcr := func(wait string) faultinject.Action { // in the message alone
		return faultinject.Reply(429, `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: `+wait+`, allowed: 44000/minute"}]}`)
	}
	for name, c := range map[string]struct {
		stage registries.Stage
		do    faultinject.Action
		waits float64 // so many seconds at least; negative: for another tick
	}{
		"the token endpoint, not now":          {registries.Token, after("0"), 0},
		"ghcr.io's token endpoint, not now":    {registries.Token, ghcr("285.47µs"), 0},
		"ghcr.io's token endpoint, not today":  {registries.Token, ghcr("24h"), -1},
		"ping, not now":                        {registries.Ping, after("0"), 0},
		"ping, not today":                      {registries.Ping, after("86400"), -1},
		"manifest, in a second":                {registries.Head, after("1"), 1},
		"manifest, without a word":             {registries.Head, faultinject.Reply(429, ""), -1},
		"manifest, with a date":                {registries.Head, after("Fri, 31 Dec 1999 23:59:59 GMT"), 0},
		"manifest, with a date to come":        {registries.Head, after("Wed, 31 Dec 2098 23:59:59 GMT"), -1},
		"manifest by digest, not now":          {registries.Get, after("0"), 0},
		"manifest by digest, not today":        {registries.Get, after("86400"), -1},
		"manifest by digest, ghcr.io's answer": {registries.Get, ghcr("24h"), -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, latest := behindTag(t, ingestor, image("first"), image("second"))
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", c.stage), Times: 1, Do: c.do})
			result := s.Tick()
			calls := s.Site.Front.Calls(registries.At("ghcr.io", c.stage))
			if c.waits >= 0 {
				requireOutcome(t, result, 0, "refreshed", "")
				assert.Equal(t, latest, live(s))
				require.GreaterOrEqual(t, len(calls), 2)
				assert.GreaterOrEqual(t, calls[1].Time.Sub(calls[0].Time).Seconds(), c.waits)
				return
			}
			requireFailing(t, result, 0, "rate-limited", "ghcr.io")
			assert.Len(t, calls, 1, "not asked again")
			assert.True(t, c.stage == registries.Get || asked(s, "ghcr.io", registries.Get) == 0, "no pull is spent")
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			requireUntouched(t, s, before)
		})
	}
}

// A rollout that could not pull is not started: docker.io says how many pulls are left. What has not changed needs no pull.
func TestQuota(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		latest  string
		left    int
		header  string // in place of what the registry says, where set
		pulls   int
		outcome string
	}{
		"none left":                   {"second", 0, "", 0, "skipped"},
		"one left, which this is":     {"second", 1, "", 1, "skipped"},
		"two left, for two manifests": {"second", 2, "", 2, "skipped"},
		"enough":                      {"second", 3, "", 2, "refreshed"}, // and none to spare for the name of the build
		"no limit":                    {"second", -1, "", 3, "refreshed"},
		"a header that is no number":  {"second", 50, "none;w=21600", 3, "refreshed"},
		"nothing has changed":         {"first", 0, "", 0, "unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, latest := behindTag(t, jobsManager, image("first"), image(c.latest))
			s.Site.DockerHub.LimitPulls(c.left)
			s.WithoutPlan() // a plan pulls as well
			if c.header != "" {
				inject(s, ofManifests(hubHost), faultinject.Header("Ratelimit-Remaining", c.header))
			}
			result := s.Tick()
			assert.Equal(t, c.pulls, asked(s, hubHost, registries.Get))
			if c.outcome != "skipped" {
				requireOutcome(t, result, 0, c.outcome, "")
				assert.Equal(t, latest, live(s))
				return
			}
			requireFailing(t, result, 0, "rate-limited", "docker.io/tracebloc/jobs-manager@sha256:", hubHost)
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			requireUntouched(t, s, before)
			s.Site.DockerHub.LimitPulls(100)
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
		})
	}
}
