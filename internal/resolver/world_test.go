package resolver_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// world is the internet of one test: TLS servers under real names behind a CONNECT proxy, a certificate
// authority, a log of every request, and everything that was logged.
type world struct {
	t      *testing.T
	proxy  *httptest.Server
	caKey  *ecdsa.PrivateKey
	ca     *x509.Certificate
	roots  *x509.CertPool
	logs   *locked
	serial int64

	mu       sync.Mutex
	servers  map[string]string // host -> address
	refuse   map[string]int    // host -> status of the proxy's answer to CONNECT; -1 hangs up, -2 never answers
	requests []seen            // in the order of their arrival
	opened   map[string]int    // CONNECTs by host
}

// seen is one request as a registry got it.
type seen struct {
	Method, Host, Path, Query, Authorization string
	Accept                                   []string
	Proto, Encoding                          string
}

func (s seen) String() string { return s.Method + " " + s.Host + s.Path }

type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, logs: &locked{}, servers: map[string]string{}, refuse: map[string]int{}, opened: map[string]int{}}
	w.caKey, w.ca = authority(t)
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.ca)
	w.proxy = httptest.NewServer(http.HandlerFunc(w.connect))
	t.Cleanup(w.proxy.Close)
	return w
}

func authority(t *testing.T) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return key, certificate
}

// certificate issues one for a name, valid until a time.
func (w *world) certificate(name string, until time.Time) tls.Certificate {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(w.t, err)
	w.mu.Lock()
	w.serial++
	serial := w.serial + 1
	w.mu.Unlock()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, w.ca, &key.PublicKey, w.caKey)
	require.NoError(w.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve puts a handler up under a name.
func (w *world) serve(host string, handler http.HandlerFunc) {
	w.t.Helper()
	w.serveWith(host, w.certificate(host, time.Now().Add(time.Hour)), handler)
}

func (w *world) serveWith(host string, certificate tls.Certificate, handler http.HandlerFunc) {
	w.t.Helper()
	server := httptest.NewUnstartedServer(w.recording(host, handler))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.StartTLS()
	w.t.Cleanup(server.Close)
	w.at(host, server.Listener.Addr().String())
}

// plain puts a handler up without TLS, reached directly, and returns its host.
func (w *world) plain(handler http.HandlerFunc) string {
	w.t.Helper()
	var host string
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.recording(host, handler)(rw, r)
	}))
	host = server.Listener.Addr().String()
	w.t.Cleanup(server.Close)
	return host
}

// at has the proxy lead to an address for a host.
func (w *world) at(host, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[host] = address
}

func (w *world) recording(host string, handler http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.requests = append(w.requests, seen{
			Method: r.Method, Host: host, Path: r.URL.Path, Query: r.URL.RawQuery, Authorization: r.Header.Get("Authorization"),
			Accept: r.Header.Values("Accept"), Proto: r.Proto, Encoding: r.Header.Get("Accept-Encoding"),
		})
		w.mu.Unlock()
		handler(rw, r)
	}
}

// connect is the proxy.
func (w *world) connect(rw http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.Host)
	w.mu.Lock()
	status, address := w.refuse[host], w.servers[host]
	w.opened[host]++
	w.mu.Unlock()
	switch {
	case status > 0:
		rw.WriteHeader(status)
		return
	case status == -2:
		<-r.Context().Done()
		return
	}
	mine, _, err := rw.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = mine.Close() }()
	if status == -1 {
		return
	}
	theirs, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		_, _ = io.WriteString(mine, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer func() { _ = theirs.Close() }()
	_, _ = io.WriteString(mine, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(theirs, mine); _ = theirs.Close() }()
	_, _ = io.Copy(mine, theirs)
}

// options are those of a resolver in this world.
func (w *world) options() resolver.Options {
	proxy, err := url.Parse(w.proxy.URL)
	require.NoError(w.t, err)
	return resolver.Options{
		Timeout: 20 * time.Second, Concurrency: 8, Roots: w.roots, Backoff: []time.Duration{time.Millisecond, time.Millisecond},
		Logger: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Proxy: func(r *http.Request) (*url.URL, error) {
			if strings.HasPrefix(r.URL.Hostname(), "127.0.0.1") {
				return nil, nil
			}
			return proxy, nil
		},
	}
}

// resolver makes one, with changes to its options.
func (w *world) resolver(change ...func(*resolver.Options)) *resolver.Resolver {
	w.t.Helper()
	o := w.options()
	for _, f := range change {
		f(&o)
	}
	r, err := resolver.New(o)
	require.NoError(w.t, err)
	w.t.Cleanup(r.Close)
	return r
}

// one resolves a single image.
func (w *world) one(text string, change ...func(*resolver.Options)) resolver.Answer {
	w.t.Helper()
	answers := w.resolver(change...).Resolve(w.t.Context(), []resolver.Query{query(w.t, text)})
	require.Len(w.t, answers, 1)
	return answers[0]
}

func query(t *testing.T, text string, secrets ...string) resolver.Query {
	t.Helper()
	ref, err := image.ParseReference(text)
	require.NoError(t, err)
	q := resolver.Query{Image: ref}
	for _, secret := range secrets {
		namespace, name, _ := strings.Cut(secret, "/")
		q.PullSecrets = append(q.PullSecrets, credential.Name{Namespace: namespace, Name: name})
	}
	return q
}

// asked lists the requests that arrived, as METHOD host/path.
func (w *world) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, r := range w.requests {
		all = append(all, r.String())
	}
	return all
}

func (w *world) seen() []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]seen(nil), w.requests...)
}

func (w *world) count(part string) int {
	n := 0
	for _, line := range w.asked() {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}
