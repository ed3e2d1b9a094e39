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
	stops              []func() error
	hosts              sync.Map // to http.Handlers
	certificates       sync.Map // of the test's choice, by host

	secrets
	calls // what was asked
}

type calls = record.Journal[Call, *Call]

// newFront serves no host yet, on loopback ports.
func newFront(ctx context.Context, authority *pki.Authority) (f *Front, err error) {
	f = &Front{authority: authority}
	if f.tlsAddr, err = f.listen(ctx, faultinject.AnyPort, f.withTLS()); err != nil {
		return nil, err
	}
	if f.plainAddr, err = f.listen(ctx, faultinject.AnyPort, nil); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func (f *Front) withTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if chosen, ok := f.certificates.Load(serverName(hello)); ok {
			return chosen.(*tls.Certificate), nil
		}
		return f.authority.Issue(serverName(hello))
	}}
}

// serverName is whom a client wants; one that dials an address names nobody.
func serverName(hello *tls.ClientHelloInfo) string { return cmp.Or(hello.ServerName, "127.0.0.1") }

func (f *Front) listen(ctx context.Context, address string, config *tls.Config) (string, error) {
	at, stop, err := faultinject.Listen(ctx, address, f, config)
	if err == nil {
		f.stops = append(f.stops, stop)
	}
	return at, err
}

// Listen serves every host with TLS at a further address, for clients that
// come without a proxy.
func (f *Front) Listen(ctx context.Context, address string) error {
	_, err := f.listen(ctx, address, f.withTLS())
	return err
}

// stop breaks what is under way and stops serving.
func (f *Front) stop() error {
	var failures []error
	for _, stop := range f.stops {
		failures = append(failures, stop())
	}
	return errors.Join(failures...)
}

// Handle serves a host, which is a name without a port where the port is 443.
func (f *Front) Handle(host string, handler http.Handler) { f.hosts.Store(host, handler) }

// TLSAddr is where every host is served with TLS.
func (f *Front) TLSAddr() string { return f.tlsAddr }

// PlainAddr is where every host is served without.
func (f *Front) PlainAddr() string { return f.plainAddr }

// Inject adds a fault and returns a function that takes it away again.
func (f *Front) Inject(rule Fault) (remove func()) { return f.Faults.Inject(rule) }

// SetCertificate has a host show a certificate of the test's choice: expired,
// for another name, of another authority.
func (f *Front) SetCertificate(host string, certificate *tls.Certificate) {
	f.certificates.Store(host, certificate)
}

// ServeHTTP records a call and answers it, faults first.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := describe(r)
	f.keepHeader(r.Header.Get("Authorization"))
	handler, known := f.hosts.Load(call.Host)
	if !known {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no such host here", http.StatusMisdirectedRequest)
		})
	}
	f.Faults.Serve(w, r, call, &f.calls, handler.(http.Handler))
}

// Calls returns what was recorded and matches, in the order of arrival; a nil
// matcher is any.
func (f *Front) Calls(match Matcher) []Call { return f.Recorded(match) }
