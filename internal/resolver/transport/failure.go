package transport

import (
	"net/http"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Place is where a request goes.
type Place struct {
	Role   failure.Stage // what is asked for
	Host   string        // that is asked, as the request's URL spells it, or the proxy that could not be reached
	Secure bool          // asked over TLS
	Proxy  string        // host:port of the proxy between, where there is one
}

// Failure is why no answer came, or none that anybody may use. It is the only error of the RoundTrippers of this
// package, in plain values; none of them is secret.
type Failure struct {
	Place
	Kind   Kind
	Stage  failure.Stage // how far the request had come
	Status int           // of the answer, or of the proxy's to CONNECT
	Retry  time.Duration // how long the other side asked to wait; of BackedOff: how long that still is
}

// Kind is what happened, in the finest terms that can be told apart without reading an error's text.
type Kind int

// The kinds.
const (
	Interrupted      Kind = iota + 1 // the tick was told to stop
	TimedOut                         // no answer in time
	NoName                           // the name does not resolve
	NameTrouble                      // the name could not be looked up
	Refused                          // the connection was refused
	Reset                            // the connection was cut
	Unreachable                      // there is no way to the host
	UnknownAuthority                 // of the certificate
	WrongName                        // in the certificate
	Expired                          // the certificate
	NotTLS                           // what answered does not speak TLS
	Handshake                        // any other trouble with TLS
	ProxySetting                     // the proxy setting is no address
	ProxyRefused                     // the proxy answered CONNECT with Status
	ProxyHungUp                      // the proxy did not answer CONNECT
	InvalidHTTP                      // what answered does not speak HTTP
	TooLarge                         // a body without bounds
	Truncated                        // half a body
	Downgrade                        // a redirect to plain HTTP
	BadRedirect                      // a redirect to nowhere, or too many
	BackedOff                        // the registry asked not to be asked for a while, which is not over
	SecondPing                       // the library's second ping, over another scheme
)

func (f *Failure) Error() string {
	return "no answer from " + f.Host + " (at: " + string(f.Stage) + ")"
}

// temporary says that another try within the same tick is worth it.
func (f *Failure) temporary() bool {
	switch f.Kind {
	case NameTrouble, TimedOut, ProxyHungUp, Refused, Reset, Unreachable, Truncated:
		return true
	case ProxyRefused:
		return f.Status >= http.StatusInternalServerError
	default:
		return false
	}
}

// failureOf is a failure of what was answered, not of the way.
func failureOf(r *http.Request, kind Kind) *Failure {
	stage := callOf(r.Context()).Stage
	return &Failure{Kind: kind, Stage: stage, Place: Place{Role: stage, Host: r.URL.Host, Secure: r.URL.Scheme == "https"}}
}
