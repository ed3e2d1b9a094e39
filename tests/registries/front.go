package registries

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/record"
)

// Fault says which calls meet which trouble.
type Fault = faultinject.Rule[Call]

// Front serves many hosts on one TLS port, and on one plain port.
type Front struct {
	// Faults are what calls meet; Inject adds to them.
	Faults faultinject.Set[Call]

	authority  *pki.Authority
	tls, plain *http.Server
	tlsAddr    string
	plainAddr  string
	stop       context.CancelFunc

	mu           sync.Mutex
	hosts        map[string]http.Handler
	certificates map[string]*tls.Certificate
	secrets      Secrets

	calls // what was asked
}

type calls = record.Journal[Call, *Call]

// NewFront serves no host yet, on loopback ports.
func NewFront(ctx context.Context, authority *pki.Authority) (*Front, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // Stop ends it, not the test's context
	f := &Front{
		authority: authority, stop: stop,
		hosts: map[string]http.Handler{}, certificates: map[string]*tls.Certificate{},
	}
	quiet := log.New(io.Discard, "", 0) // broken connections are the point here
	base := func(net.Listener) context.Context { return ctx }
	f.tls = &http.Server{
		Handler: f, ErrorLog: quiet, BaseContext: base, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.certificate},
	}
	f.plain = &http.Server{Handler: f, ErrorLog: quiet, BaseContext: base, ReadHeaderTimeout: time.Minute}
	var err error
	if f.tlsAddr, err = serve(ctx, loopback, func(l net.Listener) error { return f.tls.ServeTLS(l, "", "") }); err != nil {
		return nil, err
	}
	if f.plainAddr, err = serve(ctx, loopback, f.plain.Serve); err != nil {
		return nil, errors.Join(err, f.tls.Close())
	}
	return f, nil
}

// loopback is any free port, for this machine alone.
const loopback = "127.0.0.1:0"

func serve(ctx context.Context, at string, with func(net.Listener) error) (address string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
	if err != nil {
		return "", fmt.Errorf("listen for a registry: %w", err)
	}
	go func() {
		if err := with(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("a server of the test stopped serving: %v", err))
		}
	}()
	return listener.Addr().String(), nil
}

// Listen serves every host with TLS at a further address, for clients that
// come without a proxy.
func (f *Front) Listen(ctx context.Context, address string) error {
	_, err := serve(ctx, address, func(l net.Listener) error { return f.tls.ServeTLS(l, "", "") })
	return err
}

// Handle serves a host, which is a name without a port where the port is 443.
func (f *Front) Handle(host string, handler http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts[host] = handler
}

// Serves tells whether the front has that host.
func (f *Front) Serves(host string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hosts[host] != nil
}

// TLSAddr is where every host is served with TLS.
func (f *Front) TLSAddr() string { return f.tlsAddr }

// PlainAddr is where every host is served without.
func (f *Front) PlainAddr() string { return f.plainAddr }

// Inject adds a fault and returns a function that takes it away again.
func (f *Front) Inject(rule Fault) (remove func()) { return f.Faults.Inject(rule) }

// SetCertificate has a host show a certificate of the test's choice: expired,
// for another name, of another authority. Nil restores the right one.
func (f *Front) SetCertificate(host string, certificate *tls.Certificate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if certificate == nil {
		delete(f.certificates, host)
		return
	}
	f.certificates[host] = certificate
}

func (f *Front) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := hello.ServerName
	if name == "" {
		name = "127.0.0.1" // a client that dials an address names no server
	}
	if certificate := f.certificates[name]; certificate != nil {
		return certificate, nil
	}
	certificate, err := f.authority.Issue(name)
	if err == nil {
		f.certificates[name] = certificate
	}
	return certificate, err
}

// Stop breaks what is under way and stops serving.
func (f *Front) Stop() error {
	f.stop()
	return errors.Join(f.tls.Close(), f.plain.Close())
}

// ServeHTTP records a call and answers it, faults first.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := describe(r)
	f.secrets.AddHeader(r.Header.Get("Authorization"))
	recorded := f.Add(&call)
	f.mu.Lock()
	handler := f.hosts[call.Host]
	f.mu.Unlock()
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no such host here", http.StatusMisdirectedRequest)
		})
	}
	noted := faultinject.Note(w, func(status int) { f.Answered(recorded, status) })
	if action := f.Faults.Pick(call); action != nil {
		action(noted, r, handler)
		return
	}
	handler.ServeHTTP(noted, r)
}

// Calls returns what was recorded and matches, in the order of arrival; a nil
// matcher is any.
func (f *Front) Calls(match Matcher) []Call { return f.Recorded(match) }
