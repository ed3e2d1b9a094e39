package scenario_test

import (
	"fmt"
	"net/http"
	"os"
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

// inHub is where each of docker.io's mirrors keeps the image.
var inHub = map[string]string{
	firstMirror: firstMirror + "/dockerhub/tracebloc/jobs-manager:prod", secondMirror: secondMirror + "/tracebloc/jobs-manager:prod", "docker.io": jobsManager,
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
	s.Configure(fmt.Sprintf("registries: [{host: docker.io, mirrors: [%s/dockerhub, %s], fallback: %t}]\ntargets:\n", firstMirror, secondMirror, fallback) +
		targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "")))
	s.Forget()
	return s, live, means
}

// What each answer of the first mirror leads to. I22: the slot goes on naming docker.io, with a digest that the mirror
// holds from which pods pull.
func TestI22MirrorsAreAskedInOrder(t *testing.T) {
	t.Parallel()
	at := func(do faultinject.Action) func(*harness.Scenario) {
		return func(s *harness.Scenario) {
			s.Site.Front.Inject(registries.Fault{Match: registries.At(firstMirror, registries.Head), Do: do})
		}
	}
	for name, c := range map[string]struct {
		trouble func(*harness.Scenario) // of the first mirror
		via     string                  // who is believed
		cause   string                  // or nobody, and the first mirror is named
	}{
		"it has it":              {func(*harness.Scenario) {}, firstMirror, ""},
		"it has not":             {withoutTag(firstMirror), secondMirror, ""},
		"a 503":                  {at(faultinject.Reply(503, "")), secondMirror, ""},
		"a reset":                {at(faultinject.Reset()), secondMirror, ""},
		"a closed way":           {func(s *harness.Scenario) { s.Site.Proxy.Refuse(firstMirror, 403) }, secondMirror, ""},
		"an unknown certificate": {unknownCertificate(firstMirror), secondMirror, ""},
		"neither has it":         {func(s *harness.Scenario) { withoutTag(firstMirror)(s); withoutTag(secondMirror)(s) }, "docker.io", ""},
		"neither can be asked": {func(s *harness.Scenario) {
			s.Site.Proxy.Refuse(firstMirror, 403)
			s.Site.Proxy.Refuse(secondMirror, 502)
		}, "docker.io", ""},
		"a 401": {at(faultinject.Reply(401, "", "WWW-Authenticate", `Basic realm="x"`)), "", "unauthorized"},
		"a 403": {at(faultinject.Reply(403, "")), "", "forbidden"},
		"a 429": {at(faultinject.Reply(429, "")), "", "rate-limited"},
		"a digest that is none": {func(s *harness.Scenario) {
			s.Site.Front.Inject(registries.Fault{
				Match: registries.At(firstMirror, registries.Head, registries.Get), Do: faultinject.Header("Docker-Content-Digest", "sha256:zz"),
			})
		}, "", "bad-response"},
		"a digest it hasn't (I22)": {at(faultinject.Header("Docker-Content-Digest", digestOf("elsewhere"))), "", "not-found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, live, means := mirrored(t, true)
			c.trouble(s)
			result := s.Tick()
			if c.cause != "" {
				failed := requireOutcome(t, result, 0, "skipped", c.cause)
				assert.Contains(t, failed.Message, firstMirror)
				assert.Equal(t, jobsManager+"@"+live, workloads.Image(s.Deployment("jobs"), "main"))
				requireAsked(t, s, firstMirror)
				return
			}
			requireOutcome(t, result, 0, "refreshed", "")
			assert.Equal(t, jobsManager+"@"+means[c.via], workloads.Image(s.Deployment("jobs"), "main"))
			for _, call := range s.Site.Front.Calls(registries.At("", registries.Get)) {
				if call.Reference == means[c.via] {
					assert.Equal(t, map[string]string{firstMirror: firstMirror, secondMirror: secondMirror, "docker.io": hubHost}[c.via], call.Host, "verified where it came from")
				}
			}
			if c.via == firstMirror {
				requireAsked(t, s, firstMirror)
			}
		})
	}
}

// fallback: false: what no mirror has is not asked of the registry itself.
func TestI22WithoutFallbackTheRegistryIsNotAsked(t *testing.T) {
	t.Parallel()
	s, live, _ := mirrored(t, false)
	withoutTag(firstMirror)(s)
	s.Site.Proxy.Refuse(secondMirror, 403)
	failed := requireOutcome(t, s.Tick(), 0, "skipped", "not-found")
	assert.Contains(t, failed.Message, firstMirror)
	assert.Contains(t, failed.Message, secondMirror)
	assert.Equal(t, jobsManager+"@"+live, workloads.Image(s.Deployment("jobs"), "main"))
	requireAsked(t, s, firstMirror)
	assert.Len(t, s.Site.Proxy.Connects(""), 2, "one try at each of the mirrors")
}

// withoutTag takes the tag from a mirror.
func withoutTag(host string) func(*harness.Scenario) {
	return func(s *harness.Scenario) {
		if err := s.Site.Delete(inHub[host]); err != nil {
			panic(err)
		}
	}
}

// unknownCertificate gives a host a certificate of an authority that nobody knows.
func unknownCertificate(host string) func(*harness.Scenario) {
	return func(s *harness.Scenario) {
		authority, err := pki.NewAuthority("a stranger")
		if err != nil {
			panic(err)
		}
		certificate, err := authority.Issue(host)
		if err != nil {
			panic(err)
		}
		s.Site.Front.SetCertificate(host, certificate)
	}
}

// requireAsked asserts that no other host was asked for anything.
func requireAsked(t *testing.T, s *harness.Scenario, hosts ...string) {
	t.Helper()
	for _, call := range s.Site.Front.Calls(nil) {
		assert.Contains(t, hosts, call.Host, "%s %s", call.Method, call.Path)
	}
}

// Plain HTTP is spoken where the configuration says so, to that host, be it a registry or a mirror; and nowhere else, whatever
// the address.
func TestPlainHTTPWhereItIsSaidAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		registries string // HOST is the host, port included
		image      string
		plain      bool
	}{
		"said":                    {"[{host: HOST, plainHTTP: true}]", "HOST/dockerhub/tracebloc/jobs-manager:prod", true},
		"said of a mirror":        {"[{host: docker.io, mirrors: [HOST/dockerhub]}, {host: HOST, plainHTTP: true}]", jobsManager, true},
		"not said":                {"[]", "HOST/dockerhub/tracebloc/jobs-manager:prod", false},
		"not said of a mirror":    {"[{host: docker.io, mirrors: [HOST/dockerhub], fallback: false}]", jobsManager, false},
		"said of another host":    {"[{host: localhost, plainHTTP: true}]", "HOST/dockerhub/tracebloc/jobs-manager:prod", false},
		"said of what it mirrors": {"[{host: docker.io, mirrors: [HOST/dockerhub], fallback: false, plainHTTP: true}]", jobsManager, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, digest := runsTag(t, jobsManager)
			host := s.Site.Front.PlainAddr()
			store := registries.NewStore(t.Context())
			s.Site.Add(host, store, store, host)
			s.Push(host+"/dockerhub/tracebloc/jobs-manager:prod", image("first"))
			moved := s.Push(host+"/dockerhub/tracebloc/jobs-manager:prod", image("moved"))
			s.Configure("registries: " + strings.ReplaceAll(c.registries, "HOST", host) + "\ntargets:\n" +
				targetOf("ingestor", strings.ReplaceAll(c.image, "HOST", host), entry("Deployment", "jobs", "api", "env: "+slot)))
			s.Forget()
			result := s.Tick()
			if c.plain {
				requireOutcome(t, result, 0, "refreshed", "")
				assert.Equal(t, moved, live(s))
				requireAsked(t, s, host)
				return
			}
			failed := requireOutcome(t, result, 0, "skipped", "tls")
			assert.Contains(t, failed.Message, host)
			assert.Equal(t, digest, live(s))
			assert.Empty(t, s.Site.Front.Calls(func(call registries.Call) bool { return !call.TLS }))
		})
	}
}

// A registry without TLS may be anybody who answers in its place: the token endpoint that it names is another host, which is
// asked without TLS only where that is said of it as well. A metadata service's answer would do for a token.
func TestATokenEndpointInClearIsAHostOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		realm, also string
		asked       bool
	}{
		"beside it":                 {"http://HOST/token", "", true},
		"elsewhere":                 {"http://metadata.example.com/token", "", false},
		"elsewhere, and said of it": {"http://metadata.example.com/token", ", {host: metadata.example.com, plainHTTP: true}", true},
		"a metadata service":        {"http://169.254.169.254/token", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			host := s.Site.Front.PlainAddr()
			store := registries.NewStore(t.Context())
			s.Site.Add(host, store, store, host)
			digest := s.Push(host+"/team/app:1", image("one"))
			mount(t, s, "puller", entries{host: goodLogin})
			tokens := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"Token":"instance-credentials"}`))
			})
			for _, one := range []string{"metadata.example.com", "169.254.169.254"} {
				s.Site.Front.Handle(one, tokens)
			}
			s.Site.Front.Inject(registries.Fault{Match: registries.At(host, registries.Token), Do: faultinject.Reply(200, `{"token":"x"}`)})
			s.Site.Front.Inject(registries.Fault{Match: registries.At(host, registries.Ping), Do: faultinject.Reply(
				401, "", "WWW-Authenticate", `Bearer realm="`+strings.ReplaceAll(c.realm, "HOST", host)+`",service="x"`)})
			watch(s, map[string]pull{"ingestor": {image: host + "/team/app:1", secrets: []string{"puller"}}})
			configuration, err := os.ReadFile(filepath.Join(s.Dir, "config.yaml"))
			require.NoError(t, err)
			s.Configure("registries: [{host: " + host + ", plainHTTP: true}" + c.also + "]\n" + string(configuration))
			s.Forget()
			result := s.Run("plan")
			if c.asked {
				requireResolved(t, result, "ingestor", digest)
				assert.NotContains(t, result.Stderr, "is for none of the images", "an entry for a token endpoint is of use")
				return
			}
			assert.Equal(t, "bad-response", result.Report.Target("ingestor").Cause)
			requireAsked(t, s, host)
			assert.Empty(t, s.Site.Front.Calls(func(c registries.Call) bool { return c.Scheme != "" }))
		})
	}
}

// An authority in caFile is trusted for that registry, its token endpoint included, and for no other.
func TestCAFileIsOfOneRegistry(t *testing.T) {
	t.Parallel()
	s, _ := onTag(t, jobsManager)
	s.Push(ingestor, image("first"))
	authority, err := pki.NewAuthority("the registry's own")
	require.NoError(t, err)
	file := filepath.Join(s.Dir, "own.crt")
	require.NoError(t, authority.WriteFile(file))
	for _, host := range []string{hubHost, hubTokens, "ghcr.io"} {
		certificate, err := authority.Issue(host)
		require.NoError(t, err)
		s.Site.Front.SetCertificate(host, certificate)
	}
	s.Deploy(workloads.Deployment("other", workloads.Container("main", ingestor), workloads.Replicas(0)))
	s.Configure("registries: [{host: docker.io, caFile: " + file + "}]\ntargets:\n" +
		targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot)) +
		targetOf("other", ingestor, entry("Deployment", "other", "")))
	result := s.Tick()
	requireOutcome(t, result, 0, "unchanged", "")
	assert.Equal(t, "tls", result.Report.Target("other").Cause)
	assert.Contains(t, result.Report.Target("other").Message, "caFile of the registry")
	assert.Empty(t, s.Site.Front.Calls(registries.At("ghcr.io")))
	assert.NotEmpty(t, s.Site.Front.Calls(func(c registries.Call) bool { return c.Host == hubTokens && c.Status == http.StatusOK }))
}

// I62: a proxy cache served an old digest for weeks while its origin rate-limited it. A check asks both, where it can.
func TestI62ACheckComparesAMirrorWithItsOrigin(t *testing.T) {
	t.Parallel()
	s, _, means := mirrored(t, false)
	line := requireCheck(t, check(t, s, 0), "registry", "warning", jobsManager)
	for _, text := range []string{means[firstMirror] + " at the mirror " + firstMirror + "/dockerhub", means["docker.io"] + " at docker.io itself", "lags behind"} {
		assert.Contains(t, line.Message, text)
	}
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Empty(t, s.Site.Front.Calls(registries.At(hubHost)), "a tick asks where pods pull from")

	refused := s.Site.Proxy.Refuse(hubHost, http.StatusForbidden) // and that it cannot be asked is nothing to say
	for _, one := range check(t, s, 0).Checks {
		assert.NotContains(t, one.Message, "docker.io could not be asked")
		assert.NotContains(t, one.Message, "lags behind")
	}
	refused()
	s.Push(inHub[firstMirror], image("docker.io")) // it has caught up
	for _, one := range check(t, s, 0).Checks {
		assert.NotContains(t, one.Message, "lags behind")
	}
}

// An entry of the configuration that no image is asked with does nothing, and looks as though it did.
func TestAnEntryForNoImageIsSaid(t *testing.T) {
	t.Parallel()
	s, _ := onTag(t, jobsManager)
	target := "targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot))
	const entries = "registries: [{host: registry-1.docker.io, fallback: true}, {host: harbor.example.com, plainHTTP: true}, {host: docker.io, mirrors: [mirror.example.com]}, {host: mirror.example.com}]\n"
	s.Site.Front.Handle(secondMirror, http.NotFoundHandler())
	s.Configure(entries + target)
	for range 2 {
		result := s.Tick()
		requireOutcome(t, result, 0, "unchanged", "")
		assert.Equal(t, 1, strings.Count(result.Stderr, "the entry for registry-1.docker.io is for none of the images"), "once a tick")
		assert.Equal(t, 1, strings.Count(result.Stderr, "the entry for harbor.example.com is for none of the images"))
		assert.Equal(t, 2, strings.Count(result.Stderr, "is for none of the images"))
	}
	line := requireCheck(t, check(t, s, 0), "registry", "warning", "registry-1.docker.io")
	assert.Contains(t, line.Message, "Docker Hub is docker.io there")
}
