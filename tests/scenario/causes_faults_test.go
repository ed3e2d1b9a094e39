package scenario_test

import (
	"crypto/tls"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// fault is something that goes wrong between a tick and a registry.
type fault struct {
	name, cause string
	stages      string // where it strikes
	says        string // what the message tells, beside the host and the stage
	make        func(*trial)
}

// stagePhrase is how a message names a stage. The first four are the way to the registry, or to the proxy that leads there;
// the others are requests: to /v2/, to the token endpoint, for the tag, and by digest for what a tag that has moved means now.
var stagePhrase = map[string]string{
	"name": "resolving the name", "connect": "connecting", "proxy": "the proxy", "TLS": "TLS",
	"ping": "the registry's /v2/ endpoint", "token": "the token endpoint", "manifest": "the manifest", "index": "the manifest",
}

// A fault of the way strikes at "token" on the way to the token endpoint, and at "manifest" and "index" on the way to the host
// to which the registry redirects.
const (
	viaProxy    = "proxy token manifest index"
	viaTLS      = "proxy TLS token manifest index"
	perRequest  = "ping token manifest index"
	perBody     = "token manifest index" // nothing is read of /v2/
	perManifest = "manifest index"
)

var faults = []fault{
	{"a name that does not resolve", "dns", "name " + viaProxy, "the cluster's DNS", lead("nowhere.invalid", "name")},
	{"a closed port", "connection-refused", "connect " + viaProxy, "allow egress", leadToPort(faultinject.ClosedPort)},
	{"a port that swallows every packet", "timeout", "connect " + viaProxy, "allow egress to", leadToPort(faultinject.DeafPort)},
	{"no answer", "timeout", "proxy", "allow egress to", func(c *trial) { c.Site.Proxy.Blackhole(hubHost) }}, // to CONNECT
	{"no answer", "timeout", "TLS", "allow egress to", func(c *trial) { c.Site.Proxy.Mute(hubHost) }},        // in an open tunnel
	{"no answer", "timeout", perRequest, "allow egress to", answer(faultinject.Hang())},
	{"an answer that drips", "timeout", perRequest, "allow egress to", body(faultinject.Drip())},
	{"a reset", "connection-refused", "TLS", "cut the connection", leadToPort(faultinject.ResettingPort)},
	{"a reset", "connection-refused", perRequest, "cut the connection", answer(faultinject.Reset())},
	{"a reset in the middle of the body", "connection-refused", perBody, "cut the connection", body(faultinject.Truncate(20))},
	{"half a body", "bad-response", perBody, "half an answer", body(faultinject.Short(20))},

	{"an expired certificate", "tls", viaTLS, "has expired", shows(expired)},
	{"a certificate for another name", "tls", viaTLS, "for another name", shows(ofAnotherName)},
	{"a certificate of an unknown authority", "tls", viaTLS, "caFile of the registry or in SSL_CERT_FILE", shows(ofAStranger)},
	{"a proxy of unknown authority that reads TLS", "tls", "TLS", "a proxy that intercepts TLS", func(c *trial) {
		c.Site.Proxy.InterceptAs(stranger(c.t))
	}},
	{"plain HTTP where TLS should be", "tls", viaTLS, "does not speak TLS", plainHTTP},

	{"a proxy that answers 403", "proxy", viaProxy, "allowed there, as other hosts may be", proxyAnswers(http.StatusForbidden)},
	{"a proxy that answers 407", "proxy", viaProxy, "user and password", proxyAnswers(http.StatusProxyAuthRequired)},
	{"a proxy that answers 502", "proxy", viaProxy, "could not connect to", proxyAnswers(http.StatusBadGateway)},
	{"a proxy that hangs up", "proxy", viaProxy, "hung up", func(c *trial) {
		host := c.name("proxy")
		is := func(r registries.Connect) bool { return r.Host == host }
		c.Site.Proxy.Inject(registries.ProxyFault{Match: is, Do: faultinject.Reset()})
	}},

	{"a login page with status 200", "bad-response", perBody, "a captive portal, a login page", body(loginPage)},
	{"a gigabyte", "bad-response", perBody, "more than a manifest or token may have", body(faultinject.Huge(1 << 30))},
	{"a redirect in a circle", "bad-response", perRequest, "redirected to nowhere, or too often", answer(redirect(""))},
	{"a redirect to plain HTTP", "bad-response", perRequest, "redirected to plain HTTP", downgraded},
	{"a status that means nothing", "bad-response", perRequest, "answered 418", answer(faultinject.Reply(http.StatusTeapot, ""))},
	{"a 401 that does not say how", "unauthorized", "ping", "without saying how to authenticate", persists(faultinject.Reply(401, ""))},
	{"a 401 that does not say how", "unauthorized", perManifest, "private or does not exist", persists(faultinject.Reply(401, ""))},
	{"a 401", "unauthorized", perBody, "private or does not exist", deny},
	{"a 401, and a named secret is not there", "credential-missing", perBody, "absent is not mounted", func(c *trial) {
		c.lines = append(c.lines, "pullSecrets: [absent]")
		deny(c)
	}},
	{"a 403", "forbidden", perRequest, "403", refuses(403, "DENIED")},
	{"a 404", "not-found", "ping token", "answered 404", persists(faultinject.Reply(404, "page not found"))},
	{"a 404", "not-found", perManifest, "answered 404", deleted},
	{"a 429", "rate-limited", perRequest, "authenticate with a pull secret, or use a mirror", answer(faultinject.Reply(429, ""))},
	{"a 503", "server-error", perRequest, "nothing to do here", answer(faultinject.Reply(503, "down"))},
	{"Harbor without its database", "server-error", perManifest, "refuses even valid accounts", func(c *trial) {
		c.challenge(hubHost, "https://"+hubTokens+"/token", "harbor-registry")
		refuses(401, "UNAUTHORIZED")(c)
	}},
	{"a policy", "forbidden", "manifest", "412 (A_POLICY), a policy of its own", refuses(412, "A_POLICY")},
	{"a policy", "forbidden", "index", "is withheld: the registry " + hubHost + " answered 412 (A_POLICY)", refuses(412, "A_POLICY")},
	{"a 401 to an account", "unauthorized", "manifest", "was refused to pull secret", account(refuses(401, "UNAUTHORIZED"))},
	{"a 404 to an account", "not-found", "manifest", "which some registries hide behind a 404", account(refuses(404, "NAME_UNKNOWN"))},
	{"a firewall's 403", "forbidden", "token", "and not as a registry does", account(answer(faultinject.Reply(403, "<p>")))},
	{"a 402 to an account", "forbidden", "token", "a bill that is due", account(answer(faultinject.Reply(402, "pay")))},
	{"a registry's 403 to an account", "unauthorized", "token", "was rejected by the token endpoint", account(refuses(403, "DENIED"))},
	{"storage that refuses", "forbidden", "index", cdnHost + ", to which the registry sends, answered 403", func(c *trial) {
		c.Secret("signature-of-the-storage")
		c.Site.Front.Handle(cdnHost, http.NotFoundHandler())
		inject(c.Scenario, registries.At(cdnHost), faultinject.Reply(403, ""))
		c.host = cdnHost
		answer(redirect("https://" + cdnHost + "/?sig=signature-of-the-storage"))(c)
	}},
	{"a realm in clear", "bad-response", "ping", "X-Forwarded-Proto", account(realm("http://auth.docker.io/token"))},
	{"a relative realm", "bad-response", "ping", "X-Forwarded-Proto", account(realm("/token"))},
	{"a realm on this machine", "bad-response", "token", "on this machine", account(realm("https://127.0.0.1/token"))},
	{"a metadata service", "bad-response", "token", "named a token endpoint", account(realm("https://169.254.169.254/token"))},

	{"a digest that is none", "bad-response", "manifest", "64 lowercase hex digits", digestHeader("sha256:zz")},
	{"a digest in upper case", "bad-response", "manifest", "64 lowercase hex digits", digestHeader(strings.ToUpper(digestOf("")))},
	{"a digest and more", "bad-response", "manifest", "64 lowercase hex digits", digestHeader(digestOf("") + `","other":"x`)},
	{"a body that is not its digest's", "bad-response", "index", "not its digest's", answer(faultinject.Body(`{"schemaVersion":2}`))},
	{"schema 1", "bad-response", perManifest, "schema 1", holds("application/vnd.docker.distribution.manifest.v1+prettyjws",
		`{"schemaVersion":1,"name":"tracebloc/jobs-manager","tag":"prod","fsLayers":[]}`)},
	{"an artifact", "bad-response", perManifest, "an artifact there, which is no image", means(registries.Artifact("chart"))},
	{"an empty index", "bad-response", perManifest, "an index there that holds no image", means(registries.EmptyIndex())},
	{"a body that is no manifest", "bad-response", perManifest, "no image manifest", holds("application/json", `{"hello":"world"}`)},
	{"an image without a platform that live offers", "platform-missing", "index", "lacks linux/amd64", func(c *trial) {
		c.host, c.phrases = "docker.io", nil
		c.Push(jobsManager, registries.Index("second", "linux/arm64"))
	}},
	{"no pulls left", "rate-limited", "index", "no pulls are left", func(c *trial) { c.Site.DockerHub.LimitPulls(0) }},
}

// I33: the token endpoint was down but the registry was up, and the other way round. I32: a registry answered 200 with a login
// page. I37: the digest header was garbage. Whatever goes wrong, the cause, the host, the stage and what to do are said, it is
// counted, and the slot is not touched. Each cause is followed to its threshold once.
func TestI32I33I37FaultsOfRegistriesAndTheWayToThem(t *testing.T) {
	t.Parallel()
	followed := map[string]bool{}
	for _, f := range faults {
		for stage := range strings.FieldsSeq(f.stages) {
			follow := !followed[f.cause]
			followed[f.cause] = true
			t.Run(f.name+"/"+stage, func(t *testing.T) {
				t.Parallel()
				c := faultAt(t, f.name, stage)
				c.requireCounted(f, 1, 3)
				if follow {
					c.Setenv("RESOLVE_FAILURE_THRESHOLD", "2")
					c.requireCounted(f, 2, 2)
				}
				for _, call := range c.Site.Front.Calls(nil) {
					assert.True(t, call.TLS, "plain HTTP to %s%s", call.Host, call.Path)
					assert.True(t, call.User == "" || call.Host == hubTokens, "an account at %s%s", call.Host, call.Path)
				}
			})
		}
	}
	assert.ElementsMatch(t, []string{
		"not-found", "unauthorized", "forbidden", "credential-missing", "rate-limited", "dns", "connection-refused", "timeout", "tls",
		"proxy", "server-error", "bad-response", "platform-missing",
	}, slices.Collect(maps.Keys(followed)), "the causes that a registry, or the way to it, can bring about")
}

// trial is a fault at a stage: a Deployment's variable holds the digest that a tag of docker.io means or, at the stage "index",
// has meant until now.
type trial struct {
	*harness.Scenario
	t      *testing.T
	stage  string
	digest string
	image  string // what the target follows
	lines  []string
	// The message names the host, and has the phrases of the stage.
	host    string
	phrases []string
}

// faultAt makes the scenario of a fault at a stage.
func faultAt(t *testing.T, name, stage string) *trial {
	t.Helper()
	i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name && slices.Contains(strings.Fields(f.stages), stage) })
	require.GreaterOrEqual(t, i, 0, "no such fault: %s/%s", name, stage)
	s, digest := onTag(t, jobsManager)
	c := &trial{Scenario: s, t: t, stage: stage, digest: digest, image: jobsManager, host: hubHost}
	c.phrases = []string{stagePhrase[stage]}
	switch stage {
	case "token":
		c.host = hubTokens
	case "index":
		s.Push(jobsManager, image("second"))
	}
	if faults[i].cause == "timeout" {
		s.Setenv("RESOLVE_TIMEOUT", "4s")
	}
	faults[i].make(c)
	followTag(s, c.image, c.lines...)
	s.Forget()
	return c
}

// requireCounted runs a tick that fails for the fault, for the count-th time.
func (c *trial) requireCounted(f fault, count, threshold int) {
	c.t.Helper()
	exit := count / threshold
	result := c.Tick()
	requireFailing(c.t, result, exit, f.cause, append(c.phrases, c.host, f.says)...)
	target := result.Report.Target("ingestor")
	assert.Equal(c.t, f.cause, target.Cause)
	assert.Equal(c.t, count, target.Failures)
	assert.Equal(c.t, threshold, target.Threshold)
	d := c.Deployment("jobs")
	assert.Equal(c.t, strconv.Itoa(count), d.Annotations[failures])
	if exit == 1 {
		assert.True(c.t, strings.HasPrefix(d.Annotations[lastError], f.cause+": "), d.Annotations[lastError])
		assert.Contains(c.t, d.Annotations[lastError], c.host)
	} else {
		assert.NotContains(c.t, d.Annotations, lastError)
	}
	requireUntouched(c.t, c.Scenario, c.digest)
	assert.Equal(c.t, 1, workloads.Revision(d))
}

// request is what is asked at the stage.
func (c *trial) request() registries.Matcher {
	switch c.stage {
	case "ping":
		return registries.At(hubHost, registries.Ping)
	case "token":
		return registries.At(hubTokens, registries.Token)
	case "manifest":
		return registries.At(hubHost, registries.Head)
	default:
		return registries.At(hubHost, registries.Get)
	}
}

// answer has the request of the stage answered like this.
func answer(do faultinject.Action) func(*trial) {
	return func(c *trial) { inject(c.Scenario, c.request(), do) }
}

// persists has all that is asked of the registry from the stage on answered like this: what /v2/ says is not the last word, and
// the answer to a HEAD has no body.
func persists(do faultinject.Action) func(*trial) {
	return func(c *trial) {
		match := c.request()
		switch c.stage {
		case "ping":
			match = registries.At(hubHost)
		case "manifest":
			match = ofManifests(hubHost)
		}
		inject(c.Scenario, match, do)
	}
}

// refuses is persists for an error of the registry's own.
func refuses(status int, code string) func(*trial) {
	return persists(faultinject.Reply(status, `{"errors":[{"code":"`+code+`","message":"no"}]}`))
}

// challenge has a registry say where to get a token.
func (c *trial) challenge(registry, realm, service string) {
	inject(c.Scenario, registries.At(registry, registries.Ping), faultinject.Reply(
		401, "", "WWW-Authenticate", `Bearer realm="`+realm+`",service="`+service+`"`))
}

func downgraded(c *trial) { answer(redirect("http://" + c.host))(c) }

// realm is a token endpoint that the registry names; at the stage "token" that is to blame.
func realm(address string) func(*trial) {
	return func(c *trial) {
		if c.stage == "token" {
			c.host = strings.Split(address, "/")[2]
		}
		c.challenge(hubHost, address, "registry.docker.io")
	}
}

// digestHeader has the registry give a digest for each manifest.
func digestHeader(digest string) func(*trial) {
	return persists(faultinject.Header("Docker-Content-Digest", digest))
}

// account is a fault that meets an account of docker.io.
func account(make func(*trial)) func(*trial) {
	return func(c *trial) {
		hubAccount(c.t, c.Scenario, "puller")
		c.lines = append(c.lines, "pullSecrets: [puller]")
		make(c)
	}
}

// body is answer for what is wrong with a body. The answer to a HEAD has none, so there the registry omits the digest, and the
// tag is asked for by GET.
func body(do faultinject.Action) func(*trial) {
	return func(c *trial) {
		match := c.request()
		if c.stage == "manifest" {
			inject(c.Scenario, registries.At(hubHost, registries.Head), faultinject.Header("Docker-Content-Digest"))
			match = registries.At(hubHost, registries.Get)
		}
		inject(c.Scenario, match, do)
	}
}

// means has the tag mean something else, which the registry shows at the stage.
func means(content registries.Content) func(*trial) {
	return func(c *trial) {
		c.Push(jobsManager, content)
		body(faultinject.Edit(func(body []byte) []byte { return body }))(c)
	}
}

// holds has the registry hold a body under the tag and under its digest.
func holds(mediaType, text string) func(*trial) {
	return func(c *trial) {
		headers := []string{"Content-Type", mediaType}
		if c.stage == "index" {
			headers = append(headers, "Docker-Content-Digest", digestOf(text))
		}
		inject(c.Scenario, ofManifests(hubHost), faultinject.Reply(http.StatusOK, text, headers...))
	}
}

// lead leads the stage to an address: it is the registry's, its proxy's, that of its token endpoint, or the one to which it
// redirects. The failure is then one of the way, with the phrase of that.
func lead(address, way string) func(*trial) {
	return func(c *trial) {
		c.host = address
		c.Setenv("NO_PROXY", "127.0.0.1,localhost,.invalid")
		switch c.stage {
		case "proxy":
			c.Setenv("HTTPS_PROXY", "http://"+address)
		case "token":
			c.phrases = append(c.phrases, stagePhrase[way])
			registry := hubHost
			if strings.HasPrefix(address, "127.") { // no registry elsewhere may name this machine
				registry = c.Site.Front.TLSAddr()
				c.image = registry + "/tracebloc/jobs-manager:prod"
			}
			c.challenge(registry, "https://"+address+"/token", "registry.docker.io")
		case "manifest", "index":
			answer(redirect("https://" + address))(c)
			c.phrases = []string{stagePhrase[way]}
		default:
			c.image = address + "/tracebloc/jobs-manager:prod"
		}
	}
}

// leadToPort leads the stage to a port that is held for the length of the test.
func leadToPort(hold func() (*faultinject.Port, error)) func(*trial) {
	return func(c *trial) {
		port, err := hold()
		require.NoError(c.t, err)
		c.t.Cleanup(func() { assert.NoError(c.t, port.Close()) })
		lead(port.Address, "connect")(c)
	}
}

// name returns the host that is asked at the stage, for what is wrong with the way to that host alone.
func (c *trial) name(way string) string {
	switch c.stage {
	case "manifest", "index":
		c.Site.Front.Handle(cdnHost, http.NotFoundHandler())
		lead(cdnHost, way)(c)
	case "token":
		c.phrases = append(c.phrases, stagePhrase[way])
	}
	return c.host
}

// shows has the host of the stage show a certificate; at the stage "proxy" it is a proxy's that is spoken to over TLS.
func shows(issue func(c *trial, host string) (*tls.Certificate, error)) func(*trial) {
	return func(c *trial) {
		host := "127.0.0.1"
		if c.stage == "proxy" {
			c.host = c.Site.Front.TLSAddr()
			c.Setenv("HTTPS_PROXY", "https://"+c.host)
		} else {
			host = c.name("TLS")
		}
		certificate, err := issue(c, host)
		require.NoError(c.t, err)
		c.Site.Front.SetCertificate(host, certificate)
	}
}

func expired(c *trial, host string) (*tls.Certificate, error) {
	return c.Site.Authority.IssueBetween(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), host)
}

func ofAnotherName(c *trial, _ string) (*tls.Certificate, error) {
	return c.Site.Authority.Issue("other.example.com")
}

func ofAStranger(c *trial, host string) (*tls.Certificate, error) { return stranger(c.t).Issue(host) }

// stranger is an authority that nobody trusts.
func stranger(t *testing.T) *pki.Authority {
	t.Helper()
	authority, err := pki.NewAuthority("a stranger")
	require.NoError(t, err)
	return authority
}

func plainHTTP(c *trial) {
	lead(c.Site.Front.PlainAddr(), "TLS")(c)
	if c.stage == "proxy" {
		c.Setenv("HTTPS_PROXY", "https://"+c.host)
	}
}

// proxyAnswers has the proxy refuse to connect to the host of the stage.
func proxyAnswers(status int) func(*trial) {
	return func(c *trial) { c.Site.Proxy.Refuse(c.name("proxy"), status) }
}

// deny makes the image private: at once, or between the two requests for its manifest. docker.io's token endpoint gives a token
// all the same; others, as ghcr.io's, refuse it.
func deny(c *trial) {
	private := func() { c.Site.DockerHub.SetPrivate("tracebloc/jobs-manager", true) }
	switch c.stage {
	case "manifest":
		private()
	case "index":
		answer(faultinject.Before(func() { private(); c.Site.DockerHub.RevokeTokens() }))(c)
	default:
		answer(faultinject.Reply(401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`))(c)
	}
}

// deleted: a tag that was deleted, and a digest that was deleted between the two requests.
func deleted(c *trial) {
	if c.stage == "manifest" {
		require.NoError(c.t, c.Site.Delete(jobsManager))
		return
	}
	digest, err := c.Site.Digest(jobsManager)
	require.NoError(c.t, err)
	c.Site.Front.Inject(registries.Fault{Match: c.request(), Times: 1, Do: faultinject.Before(func() {
		assert.NoError(c.t, c.Site.Delete(jobsManager+"@"+digest))
	})})
}
