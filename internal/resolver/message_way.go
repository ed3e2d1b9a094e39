package resolver

import (
	"fmt"

	"github.com/tracebloc/image-refresh/internal/fault"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// What is said of the way to a registry. The rules of message.go hold here as well.

var cut = map[wire.Kind]string{wire.Refused: "refused the connection", wire.Unreachable: "could not be reached", wire.Reset: "cut the connection"}

func during(p *problem) string {
	switch p.Stage {
	case fault.StageTLS:
		return " during the TLS handshake"
	case fault.StageConnect, fault.StageProxy, fault.StageName:
		return ""
	default:
		return " while it was asked for " + string(p.Stage)
	}
}

// tlsTrouble is what went wrong with TLS, and what to do about it.
var tlsTrouble = map[wire.Kind]struct{ what, fix string }{
	wire.UnknownAuthority: {
		"its certificate is signed by an authority that is not trusted here",
		"give the authority's certificate as caFile of the registry or in SSL_CERT_FILE, be it the registry's own or that of a proxy that intercepts TLS",
	},
	wire.WrongName: {"its certificate is for another name", "use the name that the certificate is for, or have it issued for this one"},
	wire.Expired:   {"its certificate has expired or is not valid yet", "have the certificate renewed, and check the clock here"},
	wire.NotTLS:    {"it does not speak TLS there", "check the port, and set plainHTTP for the registry if it has no TLS"},
	wire.Handshake: {"the handshake was refused", "check its TLS versions and whether it wants a client certificate"},
}

func (r *Resolver) timeoutText(p *problem) string {
	switch {
	case p.Kind == wire.Interrupted:
		return " was not asked for to the end: the tick was told to stop; the next one asks again"
	case p.detail == givenUp:
		return fmt.Sprintf(" was not asked for: %s did not answer for %d images before it; allow egress to %s", placePort(p), maxTimeouts, target(p))
	case p.detail == unasked:
		return " was not asked for: the tick's time was over before its turn came; ask for fewer images or raise the concurrency"
	default:
		return fmt.Sprintf(" could not be asked for: no answer from %s within %s (at: %s); allow egress to %s", placePort(p), r.options.Timeout, p.Stage, target(p))
	}
}

func proxyText(p *problem) string {
	through := fault.Clean(p.Proxy)
	if through != "" {
		through = " " + through
	}
	switch {
	case p.Kind == wire.ProxySetting:
		return " could not be asked for: the proxy setting is no address; write HTTPS_PROXY as http://host:port"
	case p.Status == 407:
		return fmt.Sprintf(" could not be asked for: the proxy%s wants a user and password (407) before it connects to %s; put them into HTTPS_PROXY, or HTTP_PROXY where the registry has no TLS", through, placePort(p))
	case p.Status >= 500:
		return fmt.Sprintf(" could not be asked for: the proxy%s answered %d and could not connect to %s; allow it to reach %s, as it may reach others", through, p.Status, placePort(p), target(p))
	case p.Status > 0:
		return fmt.Sprintf(" could not be asked for: the proxy%s refused with %d to connect to %s; have %s allowed there, as other hosts may be already", through, p.Status, placePort(p), target(p))
	default:
		return fmt.Sprintf(" could not be asked for: the proxy%s hung up when asked to connect to %s; have %s allowed there, as other hosts may be already", through, placePort(p), target(p))
	}
}
