// Package apiproxy stands between the program under test and a real API
// server. It records every request, so that a test can assert what was read
// and written, and breaks the ones that the test picks:
//
//	api.Inject(apiproxy.Fault{
//		Match: apiproxy.Write("deployments", "jobs-manager"),
//		Times: 1,
//		Do:    apiproxy.Refuse(409, "Conflict", "the object has been modified"),
//	})
//
// Hooks (faultinject.Before, After, Hold and Lose) run between the program and
// the server, which is where a test kills the program or lets something else
// change the object. It speaks HTTP/1.1, so that a reset is a TCP reset and
// hits one request.
package apiproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

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

	address string
	forward http.Handler
	stop    func() error

	journal // what was asked

	mu      sync.Mutex
	stopped map[string]bool // objects that have been watched by somebody who has stopped
	hold    func(ctx context.Context, object Request)
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
	p := &Proxy{stopped: map[string]bool{}, forward: &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		FlushInterval: -1, // each event of a watch goes on at once
		ErrorLog:      log.New(io.Discard, "", 0),
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.Pool()},
			ForceAttemptHTTP2: true,
		},
	}}
	p.address, p.stop, err = faultinject.Listen(ctx, faultinject.AnyPort, p,
		&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}, faultinject.HTTP1)
	return p, err
}

// URL is the proxy's address, for a kubeconfig.
func (p *Proxy) URL() string { return "https://" + p.address }

// Stop breaks what is under way and stops serving.
func (p *Proxy) Stop() error { return p.stop() }

// Inject adds a fault and returns a function that takes it away again.
func (p *Proxy) Inject(f Fault) (remove func()) { return p.Faults.Inject(f) }

// ServeHTTP records a request and answers it, faults first.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle of its request
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	request := describe(r, body)
	if request.Verb == "watch" {
		defer p.watched(request)
	}
	if hold := p.holds(request); hold != nil {
		hold(r.Context(), request)
	}
	p.Faults.Serve(w, r, request, &p.journal, p.forward)
}

// HoldReads calls hold before each read by name that follows a watch of the same object: the read of a tick that has waited
// long enough. A test whose ticks wait for a second needs no quick machine, if hold waits for what the tick was meant to see.
func (p *Proxy) HoldReads(hold func(ctx context.Context, object Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = hold
}

func (p *Proxy) watched(r Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped[r.object()] = true
}

// holds is what the request waits for, if anything.
func (p *Proxy) holds(r Request) func(context.Context, Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold == nil || r.Verb != "get" || r.Subresource != "" || !p.stopped[r.object()] {
		return nil
	}
	delete(p.stopped, r.object())
	return p.hold
}

// Requests returns what was recorded and matches, in the order of arrival; a
// nil matcher is any. What is under way has status 0.
func (p *Proxy) Requests(match Matcher) []Request { return p.Recorded(match) }

// Writes returns the recorded requests that change an object, Events left out.
func (p *Proxy) Writes() []Request {
	return p.Requests(func(r Request) bool { return r.IsWrite() && r.Resource != "events" })
}

// Reads returns the recorded requests that read a resource.
func (p *Proxy) Reads() []Request {
	return p.Requests(func(r Request) bool { return !r.IsWrite() && r.Resource != "" })
}
