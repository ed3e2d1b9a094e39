package resolver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"encoding/pem"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// broken puts up docker.io with handlers of its own for some of its stages: "ping", "token", "manifest".
func (w *world) broken(handlers map[string]http.HandlerFunc) *registry {
	g := newRegistry("https://auth.docker.io/token")
	g.index("t/i", "1", "a", "linux/amd64")
	at := func(stage string, otherwise http.HandlerFunc) http.HandlerFunc {
		if own, ok := handlers[stage]; ok {
			return own
		}
		return otherwise
	}
	w.serve("registry-1.docker.io", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			at("ping", g.ServeHTTP)(rw, r)
			return
		}
		at("manifest", g.ServeHTTP)(rw, r)
	})
	w.serve("auth.docker.io", at("token", g.tokens))
	return g
}

func status(code int) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { refuse(rw, code, "SOME_CODE", "leaky \x1b[31m text\n") }
}

func html(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(rw, "<html>please log in, leaky</html>")
}

func digestHeader(value string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Docker-Content-Digest", value) }
}

// hangUp cuts the connection in the middle of an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const (
	hubHost  = "registry-1.docker.io"
	authHost = "auth.docker.io"
)

// Each row is one thing that goes wrong at one stage of docker.io's flow.
func TestCausesByStage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stage    string
		handler  http.HandlerFunc
		cause    fault.Cause
		at       fault.Stage
		host     string
		says     string
		requests int // at the stage
	}{
		"ping 403":           {"ping", status(403), fault.Forbidden, fault.StagePing, hubHost, "403 (SOME_CODE) to /v2/", 1},
		"ping 404":           {"ping", status(404), fault.NotFound, fault.StagePing, hubHost, "as no registry does", 1},
		"ping 429":           {"ping", status(429), fault.RateLimited, fault.StagePing, hubHost, "429", 1},
		"ping 500":           {"ping", status(500), fault.ServerError, fault.StagePing, hubHost, "500", 3},
		"ping 418":           {"ping", status(418), fault.BadResponse, fault.StagePing, hubHost, "418", 1},
		"ping no challenge":  {"ping", status(401), fault.Unauthorized, fault.StagePing, hubHost, "without saying how", 1},
		"ping reset":         {"ping", hangUp, fault.ConnectionRefused, fault.StagePing, hubHost, "cut the connection", 3},
		"token 401":          {"token", status(401), fault.Unauthorized, fault.StageToken, authHost, "without a credential", 1},
		"token 403":          {"token", status(403), fault.Forbidden, fault.StageToken, authHost, "without a credential", 1},
		"token 404":          {"token", status(404), fault.NotFound, fault.StageToken, authHost, "the token endpoint auth.docker.io, which the registry names, answered 404", 1},
		"token 429":          {"token", status(429), fault.RateLimited, fault.StageToken, authHost, "429", 1},
		"token 502":          {"token", status(502), fault.ServerError, fault.StageToken, authHost, "the token endpoint auth.docker.io answered 502", 3},
		"token HTML":         {"token", html, fault.BadResponse, fault.StageToken, authHost, "without a token", 1},
		"token reset":        {"token", hangUp, fault.ConnectionRefused, fault.StageToken, authHost, "cut the connection", 3},
		"token too large":    {"token", flood(2 << 20), fault.BadResponse, fault.StageToken, authHost, "more than", 1},
		"manifest 400":       {"manifest", status(400), fault.BadResponse, fault.StageManifest, hubHost, "400", 1},
		"manifest 401":       {"manifest", challenged(status(401)), fault.Unauthorized, fault.StageManifest, hubHost, "private or does not exist", 1},
		"manifest 403":       {"manifest", status(403), fault.Forbidden, fault.StageManifest, hubHost, "with 403 to a request without a credential", 1},
		"manifest 404":       {"manifest", status(404), fault.NotFound, fault.StageManifest, hubHost, "build and push", 1},
		"manifest 429":       {"manifest", status(429), fault.RateLimited, fault.StageManifest, hubHost, "it did not say for how long", 1},
		"manifest 503":       {"manifest", status(503), fault.ServerError, fault.StageManifest, hubHost, "own trouble", 3},
		"manifest reset":     {"manifest", hangUp, fault.ConnectionRefused, fault.StageManifest, hubHost, "cut the connection", 3},
		"manifest HTML":      {"manifest", html, fault.BadResponse, fault.StageManifest, hubHost, "captive portal", 2},
		"digest garbage":     {"manifest", digestHeader("sha256:zz"), fault.BadResponse, fault.StageManifest, hubHost, "sent a digest that is not", 1},
		"digest of sha512":   {"manifest", digestHeader("sha512:" + strings.Repeat("a", 128)), fault.BadResponse, fault.StageManifest, hubHost, "sent a digest that is not", 1},
		"digest too long":    {"manifest", digestHeader("sha256:" + strings.Repeat("a", 4000)), fault.BadResponse, fault.StageManifest, hubHost, "sent a digest that is not", 1},
		"manifest empty":     {"manifest", func(http.ResponseWriter, *http.Request) {}, fault.BadResponse, fault.StageManifest, hubHost, "no image manifest", 2},
		"manifest too large": {"manifest", flood(5 << 20), fault.BadResponse, fault.StageManifest, hubHost, "more than", 2},
		"manifest truncated": {"manifest", half, fault.BadResponse, fault.StageManifest, hubHost, "half an answer", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var asked atomic.Int32
			w.broken(map[string]http.HandlerFunc{c.stage: func(rw http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				c.handler(rw, r)
			}})
			answer := w.one("t/i:1")
			require.NotNil(t, answer.Failure)
			assert.Empty(t, answer.Digest)
			assert.Equal(t, c.cause, answer.Failure.Cause, answer.Failure.Message)
			assert.Equal(t, c.at, answer.Failure.Stage)
			assert.Equal(t, c.host, answer.Failure.Host)
			assert.Contains(t, answer.Failure.Message, c.says)
			assert.Contains(t, answer.Failure.Message, "docker.io/t/i:1")
			assert.Contains(t, answer.Failure.Message, c.host)
			assert.NotContains(t, answer.Failure.Message+w.logs.String(), "leaky", "bodies are never quoted")
			assert.Equal(t, c.requests, int(asked.Load()), "requests at the stage")
		})
	}
}

func challenged(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Www-Authenticate", `Bearer realm="https://auth.docker.io/token",service="s",error="insufficient_scope"`)
		next(rw, r)
	}
}

func flood(size int) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		chunk := []byte(strings.Repeat(" ", 1<<16))
		for sent := 0; sent < size; sent += len(chunk) {
			if _, err := rw.Write(chunk); err != nil {
				return
			}
		}
	}
}

// half promises more than it sends, over HTTP/1 and HTTP/2.
func half(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Length", "1000")
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.WriteString(rw, `{"schemaVersion":2`)
}

// What the network itself does, on the way to the registry and on the way to its token endpoint.
func TestCausesOnTheWay(t *testing.T) {
	t.Parallel()
	closed := closedPort(t)
	for name, c := range map[string]struct {
		change  func(w *world)
		options func(o *resolver.Options)
		cause   fault.Cause
		at      fault.Stage
		host    string
		says    string
	}{
		"proxy 403":                 {func(w *world) { w.refuse[hubHost] = 403 }, nil, fault.Proxy, fault.StageProxy, hubHost, "refused with 403 to connect to the registry registry-1.docker.io:443; have registry-1.docker.io:443 allowed"},
		"proxy 407":                 {func(w *world) { w.refuse[hubHost] = 407 }, nil, fault.Proxy, fault.StageProxy, hubHost, "user and password"},
		"proxy 502":                 {func(w *world) { w.refuse[hubHost] = 502 }, nil, fault.Proxy, fault.StageProxy, hubHost, "answered 502"},
		"proxy hangs up":            {func(w *world) { w.refuse[hubHost] = -1 }, nil, fault.Proxy, fault.StageProxy, hubHost, "hung up"},
		"proxy 403 for the tokens":  {func(w *world) { w.refuse[authHost] = 403 }, nil, fault.Proxy, fault.StageProxy, authHost, "the token endpoint auth.docker.io:443"},
		"proxy never answers":       {func(w *world) { w.refuse[hubHost] = -2 }, short, fault.Timeout, fault.StageProxy, hubHost, "allow egress to registry-1.docker.io:443"},
		"proxy is down":             {nil, through("http://" + closed), fault.ConnectionRefused, fault.StageProxy, closed, "the proxy " + closed + " refused the connection"},
		"proxy has no name":         {nil, through("http://proxy.invalid:3128"), fault.DNS, fault.StageName, "proxy.invalid:3128", "the name of the proxy proxy.invalid:3128 does not resolve"},
		"proxy setting is nonsense": {nil, nonsense, fault.Proxy, fault.StageProxy, hubHost, "HTTPS_PROXY as http"},
		"no such host":              {nil, through(""), fault.DNS, fault.StageName, "registry.invalid", "the name of the registry registry.invalid does not resolve"},
		"closed port":               {nil, through(""), fault.ConnectionRefused, fault.StageConnect, closed, "refused the connection; let NetworkPolicies"},
		"expired":                   {func(w *world) { w.serveWith(hubHost, w.certificate(hubHost, time.Now().Add(-time.Hour)), html) }, nil, fault.TLS, fault.StageTLS, hubHost, "has expired"},
		"wrong name": {func(w *world) {
			w.serveWith(hubHost, w.certificate("other.example.com", time.Now().Add(time.Hour)), html)
		}, nil, fault.TLS, fault.StageTLS, hubHost, "for another name"},
		"unknown authority":         {nil, func(o *resolver.Options) { o.Roots = newWorld(t).roots }, fault.TLS, fault.StageTLS, hubHost, "caFile of the registry or in SSL_CERT_FILE"},
		"no TLS":                    {func(w *world) { w.at(hubHost, w.plain(html)) }, nil, fault.TLS, fault.StageTLS, hubHost, "plainHTTP"},
		"token endpoint without":    {func(w *world) { w.at(authHost, w.plain(html)) }, nil, fault.TLS, fault.StageTLS, authHost, "the token endpoint auth.docker.io:443"},
		"client certificate wanted": {func(w *world) { w.at(hubHost, demanding(w, tls.VersionTLS12)) }, nil, fault.TLS, fault.StageTLS, hubHost, "client certificate"},
		"the same, in TLS 1.3":      {func(w *world) { w.at(hubHost, demanding(w, tls.VersionTLS13)) }, nil, fault.TLS, fault.StageTLS, hubHost, "client certificate"},
		"reset in the handshake": {func(w *world) {
			w.at(hubHost, listen(w.t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }))
		}, nil, fault.ConnectionRefused, fault.StageTLS, hubHost, "during the TLS handshake"},
		"handshake never answered": {func(w *world) { w.at(hubHost, listen(w.t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })) }, short, fault.Timeout, fault.StageTLS, hubHost, "at: TLS"},
		"token endpoint is down":   {func(w *world) { w.at(authHost, closed) }, nil, fault.Proxy, fault.StageProxy, authHost, "answered 502 and could not connect to the token endpoint auth.docker.io:443"},
		"manifest never answered":  {func(w *world) { w.at(hubHost, w.hanging()) }, short, fault.Timeout, fault.StagePing, hubHost, "no answer from the registry registry-1.docker.io:443 within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.broken(nil)
			if c.change != nil {
				c.change(w)
			}
			text := "t/i:1"
			switch name {
			case "no such host":
				text = "registry.invalid/t/i:1"
			case "closed port":
				text = closed + "/t/i:1"
			}
			var options []func(*resolver.Options)
			if c.options != nil {
				options = append(options, c.options)
			}
			answer := w.one(text, options...)
			require.NotNil(t, answer.Failure)
			assert.Equal(t, c.cause, answer.Failure.Cause, answer.Failure.Message)
			assert.Equal(t, c.at, answer.Failure.Stage)
			assert.Equal(t, c.host, answer.Failure.Host)
			assert.Contains(t, answer.Failure.Message, c.says)
			assert.NotContains(t, answer.Failure.Message+w.logs.String(), "hunter2")
		})
	}
}

func short(o *resolver.Options) { o.Timeout = time.Second }

// through sets another proxy, or none.
func through(proxy string) func(o *resolver.Options) {
	return func(o *resolver.Options) {
		o.Proxy = func(*http.Request) (*url.URL, error) {
			if proxy == "" {
				return nil, nil
			}
			return url.Parse(proxy)
		}
	}
}

func nonsense(o *resolver.Options) {
	o.Proxy = func(*http.Request) (*url.URL, error) { return nil, fmt.Errorf("parse http://u:hunter2@: no") }
}

func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// listen hands each connection to a function.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go f(conn)
		}
	}()
	return listener.Addr().String()
}

// demanding is a TLS server that wants a client certificate.
func demanding(w *world, version uint16) string {
	certificate := w.certificate(hubHost, time.Now().Add(time.Hour))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert, MinVersion: version, MaxVersion: version})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	return listener.Addr().String()
}

// hanging accepts requests over TLS and never answers them.
func (w *world) hanging() string {
	name := "hanging.example.com"
	w.serveWith(name, w.certificate(hubHost, time.Now().Add(time.Hour)), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.servers[name]
}

// A proxy that opens TLS and speaks with a certificate of its own: refused without its authority, accepted with
// it as the registry's caFile, which covers the token endpoint too.
func TestInterceptingProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broken(nil)
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Raw}), 0o600))
	foreign := newWorld(t).roots
	answer := w.one("t/i:1", func(o *resolver.Options) { o.Roots = foreign })
	assert.Equal(t, fault.TLS, answer.Failure.Cause)
	answer = w.one("t/i:1", func(o *resolver.Options) {
		o.Roots = foreign
		o.Registries = []resolver.Registry{{Host: "docker.io", Fallback: true, CAFile: file}}
	})
	require.Nil(t, answer.Failure)
	assert.Equal(t, 1, w.count("auth.docker.io/token"))
}

// One failure never stops another query (I1), and each says its own.
func TestOneHostIsBlockedAndTheOtherIsNot_I1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub, ghcr := w.dockerHub(), w.ghcr()
	ghcr.index("tracebloc/ingestor", "0.3", "a", "linux/amd64")
	digest := hub.index("tracebloc/jobs-manager", "prod", "b", "linux/amd64")
	w.refuse["ghcr.io"] = 403
	answers := w.resolver().Resolve(t.Context(), []resolver.Query{query(t, "ghcr.io/tracebloc/ingestor:0.3"), query(t, "tracebloc/jobs-manager:prod")})
	assert.Equal(t, fault.Proxy, answers[0].Failure.Cause)
	assert.Equal(t, "ghcr.io", answers[0].Failure.Host)
	assert.Equal(t, fault.StageProxy, answers[0].Failure.Stage)
	proxy := strings.TrimPrefix(w.proxy.URL, "http://")
	assert.Equal(t, "ghcr.io/tracebloc/ingestor:0.3 could not be asked for: the proxy "+proxy+" refused with 403 to connect to the registry ghcr.io:443; have ghcr.io:443 allowed there, as other hosts may be already", answers[0].Failure.Message)
	assert.Nil(t, answers[1].Failure)
	assert.Equal(t, digest, answers[1].Digest)
}

// A proxy for plain HTTP answers in the registry's place.
func TestProxyForPlainHTTPWantsAPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy := "http://" + w.plain(status(407))
	answer := w.one("registry.example.com/t/i:1", through(proxy), func(o *resolver.Options) {
		o.Registries = []resolver.Registry{{Host: "registry.example.com", Fallback: true, PlainHTTP: true}}
	})
	assert.Equal(t, fault.Proxy, answer.Failure.Cause)
	assert.Equal(t, fault.StageProxy, answer.Failure.Stage)
}
