package apiproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/record"
)

// Fault says which requests meet which trouble.
type Fault = faultinject.Rule[Request]

// Proxy is a TLS reverse proxy in front of one API server.
type Proxy struct {
	// Faults are what requests meet; Inject adds to them.
	Faults faultinject.Set[Request]

	url     string
	forward http.Handler
	server  *http.Server
	stop    context.CancelFunc

	journal // what was asked
	waited  waited
}

type journal = record.Journal[Request, *Request]

// Start serves on a loopback port, with a certificate of authority, in front
// of the API server at target, whose certificate authority signed too.
func Start(ctx context.Context, target string, authority *pki.Authority) (*Proxy, error) {
	upstream, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("read the API server's address: %w", err)
	}
	certificate, err := authority.Issue("127.0.0.1", "::1", "localhost")
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the API proxy: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // Stop ends it, not the test's context
	p := &Proxy{
		url: "https://" + listener.Addr().String(), stop: stop,
		forward: reverseProxy(upstream, authority.Pool()),
	}
	quiet := log.New(io.Discard, "", 0) // broken connections are the point here
	p.server = &http.Server{
		Handler: p, ErrorLog: quiet, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"http/1.1"},
		},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		BaseContext:  func(net.Listener) context.Context { return ctx },
	}
	go func() {
		if err := p.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("the API proxy stopped serving: %v", err))
		}
	}()
	return p, nil
}

func reverseProxy(upstream *url.URL, trusted *x509.CertPool) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
		},
		FlushInterval: -1, // each event of a watch goes on at once
		ErrorLog:      log.New(io.Discard, "", 0),
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted},
			ForceAttemptHTTP2: true,
		},
	}
}

// URL is the proxy's address, for a kubeconfig.
func (p *Proxy) URL() string { return p.url }

// Stop breaks what is under way and stops serving.
func (p *Proxy) Stop() error {
	p.stop()
	return p.server.Close()
}

// Inject adds a fault and returns a function that takes it away again.
func (p *Proxy) Inject(f Fault) (remove func()) { return p.Faults.Inject(f) }

// ServeHTTP records a request and answers it, faults first.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle of its request
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	request := describe(r, body)
	recorded := p.Add(&request)
	noted := faultinject.Note(w, func(status int) { p.Answered(recorded, status) })
	defer p.waited.after(request)
	p.waited.before(r.Context(), request)
	if action := p.Faults.Pick(request); action != nil {
		action(noted, r, p.forward)
		return
	}
	p.forward.ServeHTTP(noted, r)
}
