package registries

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"sync"

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

	authority          *pki.Authority
	tlsAddr, plainAddr string

	mu           sync.Mutex
	stops        []func() error
	hosts        map[string]http.Handler
	certificates map[string]*tls.Certificate // of the test's choice

	secrets
	calls // what was asked
}

type calls = record.Journal[Call, *Call]

// newFront serves no host yet, on loopback ports.
func newFront(ctx context.Context, authority *pki.Authority) (f *Front, err error) {
	f = &Front{authority: authority, hosts: map[string]http.Handler{}, certificates: map[string]*tls.Certificate{}}
	if f.tlsAddr, err = f.listen(ctx, faultinject.AnyPort, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.certificate}); err != nil {
		return nil, err
	}
	if f.plainAddr, err = f.listen(ctx, faultinject.AnyPort, nil); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func (f *Front) listen(ctx context.Context, address string, config *tls.Config) (string, error) {
	at, stop, err := faultinject.Listen(ctx, address, &http.Server{Handler: f, TLSConfig: config})
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stops = append(f.stops, stop)
	}
	return at, err
}

// Listen serves every host with TLS at a further address, for clients that
// come without a proxy.
func (f *Front) Listen(ctx context.Context, address string) error {
	_, err := f.listen(ctx, address, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.certificate})
	return err
}

// stop breaks what is under way and stops serving.
func (f *Front) stop() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failures []error
	for _, stop := range f.stops {
		failures = append(failures, stop())
	}
	return errors.Join(failures...)
}

// Handle serves a host, which is a name without a port where the port is 443.
func (f *Front) Handle(host string, handler http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts[host] = handler
}

func (f *Front) handler(host string) http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hosts[host]
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
	f.certificates[host] = certificate
}

func (f *Front) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := serverName(hello)
	f.mu.Lock()
	defer f.mu.Unlock()
	if chosen := f.certificates[host]; chosen != nil {
		return chosen, nil
	}
	return f.authority.Issue(host)
}

// serverName is whom a client wants; one that dials an address names nobody.
func serverName(hello *tls.ClientHelloInfo) string { return cmp.Or(hello.ServerName, "127.0.0.1") }

// ServeHTTP records a call and answers it, faults first.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := describe(r)
	f.keepHeader(r.Header.Get("Authorization"))
	handler := f.handler(call.Host)
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no such host here", http.StatusMisdirectedRequest)
		})
	}
	f.Faults.Serve(w, r, call, &f.calls, handler)
}

// Calls returns what was recorded and matches, in the order of arrival; a nil
// matcher is any.
func (f *Front) Calls(match Matcher) []Call { return f.Recorded(match) }
