// Package transport stands between go-containerregistry and the network. The library speaks the protocol of
// registries (the handshake, tokens, redirects, manifests); what it leaves to its caller, or does otherwise than this
// program promises, is put right here, under it, by one http.RoundTripper a file. From the library down to the wire:
//
//	redirect   where an answer may send to, and how often
//	note       what came of it, for the one who asked: the last answer, its challenge, its quota
//	retry      asks again what may pass by itself
//	origin     the scheme, and no credential for another origin
//	debug      a line in the log for each request
//	body       bounds, and the whole of it before anybody above looks at it
//	header     what every request carries, and what none does
//	trace      how far a request has come, and a Failure where it came no further
//
// Each knows the next and what its own job takes. None knows images, accounts or causes: package resolver makes a
// cause of a Failure.
package transport

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"time"
)

// Options are what all registries are asked with.
type Options struct {
	Timeout     time.Duration // to connect, and for a TLS handshake
	Concurrency int           // connections that are kept for a host
	Logger      *slog.Logger
	UserAgent   string
	AllowHTTP   func(host string) bool // whether this host may be asked without TLS
	Large       chan struct{}          // as many large bodies are read at once as it holds
}

// To is the way to one registry, by the address that its requests are sent to. It trusts roots, or the system's where that
// is nil, and remembers when the registry asked to be left alone.
func To(address string, roots *x509.CertPool, o Options) http.RoundTripper {
	var next http.RoundTripper = &trace{next: newWire(o, roots)}
	next = &header{next: next, userAgent: o.UserAgent}
	next = &body{next: next, large: o.Large}
	next = &debug{next: next, logger: o.Logger}
	next = &origin{next: next, host: address, allowHTTP: o.AllowHTTP}
	next = &retry{next: next, backoff: []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}}
	next = &note{next: next, host: address}
	return &redirect{next: next, allowHTTP: o.AllowHTTP}
}
