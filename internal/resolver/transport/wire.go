package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Bounds on what is received before anybody reads it.
const (
	maxHeaders = 256 << 10
	maxUnread  = 256 << 10 // of one answer; the standard library takes 4 MiB
)

// newWire keeps connections for the length of a tick, speaks HTTP/2 where offered, asks for no compression (digests are
// of the bytes as they are, and small answers must not unfold into large ones), and recognises a proxy's refusal.
func newWire(o Options, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			through, err := http.ProxyFromEnvironment(r)
			if err != nil { // which is not kept: it may hold a password
				return nil, &Failure{Kind: ProxySetting}
			}
			if through != nil {
				proxied(r.Context(), withPort(through), through.Scheme == "https")
			}
			return through, nil
		},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return &Failure{Kind: ProxyRefused, Status: answer.StatusCode}
			}
			return nil
		},
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    o.Timeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    o.Concurrency,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeaders,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: maxUnread},
	}
}
