package transport

import (
	"crypto/x509"
	"net/http"
	"time"
)

// ToService is the way to a service that is no registry, from which a registry's credentials come. A metadata service, which
// stands beside the machine, is asked directly: never through a proxy, and without another try.
func ToService(o Options, roots *x509.CertPool, direct bool) http.RoundTripper {
	network := newWire(o, roots)
	if direct {
		network.Proxy = nil
	}
	var next http.RoundTripper = &trace{next: network}
	next = &header{next: next, userAgent: o.UserAgent}
	next = &body{next: next, large: o.Large}
	next = &debug{next: next, logger: o.Logger}
	if direct {
		return next
	}
	return &retry{next: next, backoff: []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}}
}
