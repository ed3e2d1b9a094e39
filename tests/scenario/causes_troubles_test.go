package scenario_test

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// troubles are the rows of the fault table: each makes its trouble at the stage of a cell.
var troubles = map[string]func(*cell){
	"a name that does not resolve":      func(c *cell) { c.says = "the cluster's DNS"; c.lead("nowhere.invalid", stagePhrase["name"]) },
	"a closed port":                     closedPort,
	"a port that swallows every packet": deafPort,
	"no answer":                         noAnswer,
	"an answer that drips":              func(c *cell) { c.short(); c.says = "allow egress to"; c.body(faultinject.Drip()) },
	"a reset":                           aReset,
	"a reset in the middle of the body": func(c *cell) { c.says = "cut the connection"; c.body(faultinject.Truncate(20)) },
	"half a body":                       func(c *cell) { c.says = "half an answer"; c.body(faultinject.Short(20)) },

	"an expired certificate": func(c *cell) {
		c.says = "has expired"
		c.show(func(host string) (*tls.Certificate, error) {
			return c.Site.Authority.IssueBetween(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), host)
		})
	},
	"a certificate for another name": func(c *cell) {
		c.says = "for another name"
		c.show(func(string) (*tls.Certificate, error) { return c.Site.Authority.Issue("other.example.com") })
	},
	"a certificate of an unknown authority": func(c *cell) {
		c.says = "caFile of the registry or in SSL_CERT_FILE"
		c.show(func(host string) (*tls.Certificate, error) { return c.stranger().Issue(host) })
	},
	"a proxy of unknown authority that reads TLS": func(c *cell) {
		c.says = "a proxy that intercepts TLS"
		c.Site.Proxy.InterceptAs(c.stranger())
	},
	"plain HTTP where TLS should be": plainHTTP,

	"a proxy that answers 403": func(c *cell) { c.refused(http.StatusForbidden, "allowed there, as other hosts may be") },
	"a proxy that answers 407": func(c *cell) { c.refused(http.StatusProxyAuthRequired, "user and password") },
	"a proxy that answers 502": func(c *cell) { c.refused(http.StatusBadGateway, "could not connect to") },
	"a proxy that hangs up": func(c *cell) {
		c.says = "hung up"
		host := c.name(stagePhrase["proxy"])
		c.Site.Proxy.Inject(registries.ProxyFault{Match: func(r registries.Connect) bool { return r.Host == host }, Do: faultinject.Reset()})
	},

	"a login page with status 200": func(c *cell) {
		c.says = "a captive portal, a login page"
		c.body(faultinject.Reply(http.StatusOK, "<html>please log in</html>", "Content-Type", "text/html"))
	},
	"a gigabyte": func(c *cell) { c.says = "more than a manifest or token may have"; c.body(faultinject.Huge(1 << 30)) },
	"a redirect in a circle": func(c *cell) {
		c.says = "redirected to nowhere, or too often"
		c.answer(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusTemporaryRedirect)
		})
	},
	"a redirect to plain HTTP": func(c *cell) {
		c.says = "redirected to plain HTTP"
		c.answer(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, "http://"+r.Host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		})
	},
	"a status that means nothing": func(c *cell) { c.says = "answered 418"; c.answer(faultinject.Reply(http.StatusTeapot, "")) },
	"a 401 that does not say how": func(c *cell) {
		c.says = "without saying how to authenticate"
		if c.stage != "ping" {
			c.says = "private or does not exist"
		}
		c.throughout(faultinject.Reply(http.StatusUnauthorized, ""))
	},
	"a 401": func(c *cell) { c.says = "private or does not exist"; c.deny() },
	"a 401, and a named secret is not there": func(c *cell) {
		c.says = "absent is not mounted"
		c.lines = "    pullSecrets: [absent]\n"
		c.deny()
	},
	"a 403": func(c *cell) {
		c.says = "403"
		c.throughout(faultinject.Reply(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"denied"}]}`))
	},
	"a 404": notFound,
	"a 429": func(c *cell) {
		c.says = "authenticate with a pull secret, or use a mirror"
		c.answer(faultinject.Reply(http.StatusTooManyRequests, ""))
	},
	"a 503": func(c *cell) {
		c.says = "nothing to do here"
		c.answer(faultinject.Reply(http.StatusServiceUnavailable, "down"))
	},
	"Harbor without its database": func(c *cell) {
		c.says = "refuses even valid accounts"
		c.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Ping), Do: faultinject.Reply(
			http.StatusUnauthorized, "", "WWW-Authenticate", `Bearer realm="https://`+hubTokens+`/token",service="harbor-registry"`)})
		c.Site.Front.Inject(registries.Fault{Match: c.manifests(), Do: faultinject.Reply(
			http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized to access repository"}]}`)})
	},

	"a digest that is none": func(c *cell) {
		c.says = "64 lowercase hex digits"
		c.Site.Front.Inject(registries.Fault{Match: c.manifests(), Do: faultinject.Header("Docker-Content-Digest", "sha256:zz")})
	},
	"a body that is not its digest's": func(c *cell) { c.says = "not its digest's"; c.answer(faultinject.Body(`{"schemaVersion":2}`)) },
	"a manifest of schema 1": func(c *cell) {
		c.says = "schema 1"
		c.holds("application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1,"name":"tracebloc/jobs-manager","tag":"prod","fsLayers":[]}`)
	},
	"an artifact": func(c *cell) {
		c.says = "an artifact there, which is no image"
		c.Push(jobsManager, registries.Artifact("chart"))
		c.body(asItIs)
	},
	"an empty index": func(c *cell) {
		c.says = "an index there that holds no image"
		c.Push(jobsManager, registries.EmptyIndex())
		c.body(asItIs)
	},
	"a body that is no manifest": func(c *cell) { c.says = "no image manifest"; c.holds("application/json", `{"hello":"world"}`) },
	"an image without a platform that live offers": func(c *cell) {
		c.host, c.phrases, c.says = "docker.io", nil, "lacks linux/amd64"
		c.Push(jobsManager, registries.Index("second", "linux/arm64"))
	},
	"no pulls left": func(c *cell) { c.says = "no pulls are left"; c.Site.DockerHub.LimitPulls(0) },
}

func closedPort(c *cell) {
	c.says = "let NetworkPolicies and firewalls allow egress"
	c.lead(c.port(faultinject.ClosedPort()), stagePhrase["connect"])
}

func deafPort(c *cell) {
	c.short()
	c.says = "allow egress to"
	c.lead(c.port(faultinject.DeafPort()), stagePhrase["connect"])
}

// noAnswer: a proxy that does not answer CONNECT, one that opens a tunnel in which nobody speaks, a server that takes a
// request and never answers it.
func noAnswer(c *cell) {
	c.short()
	c.says = "allow egress to"
	switch c.stage {
	case "proxy":
		c.Site.Proxy.Blackhole(hubHost)
	case "TLS":
		c.Site.Proxy.Mute(hubHost)
	default:
		c.answer(faultinject.Hang())
	}
}

func aReset(c *cell) {
	c.says = "cut the connection"
	if c.stage == "TLS" {
		c.lead(c.port(faultinject.ResettingPort()), stagePhrase["TLS"])
		return
	}
	c.answer(faultinject.Reset())
}

// show has the host of the stage show a certificate; at the stage "proxy" it is a proxy's that is spoken to over TLS.
func (c *cell) show(issue func(host string) (*tls.Certificate, error)) {
	host := "127.0.0.1"
	if c.stage == "proxy" {
		c.host = c.Site.Front.TLSAddr()
		c.Setenv("HTTPS_PROXY", "https://"+c.host)
	} else {
		host = c.name(stagePhrase["TLS"])
	}
	certificate, err := issue(host)
	require.NoError(c.t, err)
	c.Site.Front.SetCertificate(host, certificate)
}

// stranger is an authority that nobody trusts.
func (c *cell) stranger() *pki.Authority {
	authority, err := pki.NewAuthority("a stranger")
	require.NoError(c.t, err)
	return authority
}

func plainHTTP(c *cell) {
	c.says = "does not speak TLS"
	c.lead(c.Site.Front.PlainAddr(), stagePhrase["TLS"])
	if c.stage == "proxy" {
		c.Setenv("HTTPS_PROXY", "https://"+c.host)
	}
}

// refused has the proxy refuse to connect to the host of the stage.
func (c *cell) refused(status int, says string) {
	c.says = says
	c.Site.Proxy.Refuse(c.name(stagePhrase["proxy"]), status)
}

// manifests are all requests for manifests.
func (c *cell) manifests() registries.Matcher {
	if c.stage == "index" {
		return registries.At(hubHost, registries.Get)
	}
	return registries.At(hubHost, registries.Head, registries.Get)
}

// deny makes the image private: at once, or between the two requests for its manifest. docker.io's token endpoint gives a
// token all the same; others, as ghcr.io's, refuse it.
func (c *cell) deny() {
	private := func() { c.Site.DockerHub.SetPrivate("tracebloc/jobs-manager", true) }
	switch c.stage {
	case "manifest":
		private()
	case "index":
		c.answer(faultinject.Before(func() { private(); c.Site.DockerHub.RevokeTokens() }))
	default:
		c.answer(faultinject.Reply(http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`))
	}
}

// notFound: no registry there, a tag that was deleted, and a digest that was deleted between the two requests.
func notFound(c *cell) {
	c.says = "answered 404"
	switch c.stage {
	case "manifest":
		require.NoError(c.t, c.Site.Delete(jobsManager))
	case "index":
		digest, err := c.Site.Digest(jobsManager)
		require.NoError(c.t, err)
		c.Site.Front.Inject(registries.Fault{Match: c.request(), Times: 1, Do: faultinject.Before(func() {
			if err := c.Site.Delete("docker.io/tracebloc/jobs-manager@" + digest); err != nil {
				c.t.Error(err)
			}
		})})
	default:
		c.throughout(faultinject.Reply(http.StatusNotFound, "page not found"))
	}
}

// holds has the registry hold a body under the tag and under its digest.
func (c *cell) holds(mediaType, body string) {
	headers := []string{"Content-Type", mediaType}
	if c.stage == "index" {
		headers = append(headers, "Docker-Content-Digest", digestOf(body))
	}
	c.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head, registries.Get), Do: faultinject.Reply(http.StatusOK, body, headers...)})
}

// asItIs answers as ever.
func asItIs(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }
