package image

import "crypto/x509"

// Registry is how one registry is to be asked. Registries without such an entry are asked over TLS, themselves. Package
// config has found it to be valid.
type Registry struct {
	Host          string         // as image references name it: docker.io, harbor.example.com:8443
	Mirrors       []string       // host[:port][/path], asked in order before Host
	Fallback      bool           // ask Host itself after the mirrors
	Roots         *x509.CertPool // trusted for Host and its token endpoint; nil: the system's
	PlainHTTP     bool           // ask Host without TLS; nothing else ever is
	CloudIdentity bool           // where Host is a cloud's: ask with the pod's identity where nobody else is served
}
