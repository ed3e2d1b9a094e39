package resolver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// Bounds on what a registry may make us hold. A manifest of 4 MiB is what registries themselves accept at
// most (distribution specification, "Pushing manifests").
const (
	maxManifest = 4 << 20
	maxToken    = 1 << 20
	maxRefusal  = 64 << 10 // of a body that is only looked into for an error code
	maxHeaders  = 256 << 10
	maxUnread   = 256 << 10 // of one answer, received before it is read; the standard library takes 4 MiB
	maxUsual    = 256 << 10 // of a body: ten times what the largest in use have
	maxHops     = 5
)

// client sends requests: one at a time for its caller, each hop logged, redirects followed under the rules of
// redirect.go, bodies bounded. It knows nothing of registries.
type client struct {
	transport transport
	plain     func(host string) bool // whether this host may be asked without TLS
	large     chan struct{}          // one place, to read a body of more than maxUsual
	logger    *slog.Logger
	userAgent string
}

// transport is what a client sends through.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// request is one question.
type request struct {
	method        string
	url           *url.URL
	role          fault.Stage
	accept        string // ONE value: some proxies drop all but one of repeated headers (I21)
	authorization string // secret; for the origin of url alone
	limit         int64  // of the body of a 200; 0 where it does not matter
}

// response is an answer whose body has been read.
type response struct {
	status  int
	header  http.Header
	body    []byte // of a status other than 200 at most maxRefusal bytes
	host    string // that answered
	crossed bool   // another origin than the one asked has answered
}

// newTransport keeps connections for the length of a tick, speaks HTTP/2 where offered, asks for no
// compression (digests are of the bytes as they are, and small answers must not unfold into large ones), and
// recognises a proxy's refusal.
func newTransport(proxy func(*http.Request) (*url.URL, error), roots *x509.CertPool, o Options) *http.Transport {
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			through, err := proxy(r)
			if t, ok := r.Context().Value(tracerKey{}).(*tracer); ok && through != nil {
				t.proxied(withPort(through), through.Scheme == "https")
			}
			if err != nil {
				return nil, &proxyUnreadable{}
			}
			return through, nil
		},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return &proxyRefusal{status: answer.StatusCode}
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

// do asks, and follows redirects. It returns a problem where no answer came; what a status means is for the
// caller.
func (c *client) do(ctx context.Context, q request) (response, *problem) {
	target, authorization, crossed := q.url, q.authorization, false
	for hop := 0; ; hop++ {
		answer, p := c.hop(ctx, q, target, authorization)
		if p != nil {
			return response{}, p
		}
		answer.crossed = crossed
		if !redirected(answer.status) {
			return answer, nil
		}
		if hop == maxHops {
			return response{}, refusedRedirect(q, target, redirects)
		}
		next, d := follow(target, answer.header.Get("Location"), c.plain)
		if d != plain {
			return response{}, refusedRedirect(q, target, d)
		}
		if !sameOrigin(target, next) {
			authorization, crossed = "", true // and it does not come back
		}
		target = next
	}
}

// hop is one request on the wire and one line in the debug log: no query, for it may hold a signature.
func (c *client) hop(ctx context.Context, q request, target *url.URL, authorization string) (response, *problem) {
	trace := watchOf(ctx).begin(q.role, target.Host, target.Scheme == "https")
	hr := (&http.Request{Method: q.method, URL: target, Host: target.Host, Header: http.Header{}}).WithContext(trace.attach(ctx))
	hr.Header.Set("User-Agent", c.userAgent)
	if q.accept != "" {
		hr.Header.Set("Accept", q.accept)
	}
	if authorization != "" {
		hr.Header.Set("Authorization", authorization)
	}
	started := time.Now()
	answer, p := c.exchange(ctx, hr, q, trace)
	line := []any{
		"method", q.method, "host", fault.Clean(target.Host), "path", fault.Clean(target.Path),
		"duration", time.Since(started).Round(time.Millisecond).String(),
	}
	if p != nil {
		line = append(line, "cause", string(p.cause), "stage", string(p.stage))
	} else {
		line = append(line, "status", answer.status)
	}
	c.logger.DebugContext(ctx, "registry request", line...)
	return answer, p
}

func (c *client) exchange(ctx context.Context, hr *http.Request, q request, trace *tracer) (response, *problem) {
	hresp, err := c.transport.RoundTrip(hr)
	if err != nil {
		return response{}, classify(ctx, err, trace.now())
	}
	defer func() { _ = hresp.Body.Close() }() // nothing was written that could be lost
	trace.to(asking)
	answer := response{status: hresp.StatusCode, header: hresp.Header, host: hr.URL.Host}
	if q.method == http.MethodHead || redirected(answer.status) {
		return answer, nil
	}
	limit, exact := int64(maxRefusal), false
	if answer.status == http.StatusOK && q.limit > 0 {
		limit, exact = q.limit, true
	}
	answer.body, err = c.read(ctx, hresp.Body, limit+1)
	if int64(len(answer.body)) > limit {
		if exact {
			return response{}, &problem{cause: fault.BadResponse, detail: tooLarge, stage: q.role, role: q.role, host: hr.URL.Host}
		}
		answer.body = answer.body[:limit]
	}
	if err == nil || !exact && ctx.Err() == nil { // half an error page is as good as a whole one
		return answer, nil
	}
	p := classify(ctx, err, trace.now())
	if errors.Is(err, io.ErrUnexpectedEOF) {
		p.cause, p.detail, p.stage, p.temporary = fault.BadResponse, truncated, q.role, true
	}
	return response{}, p
}

// read reads a body up to a limit. Large ones are read one at a time: all images together, at a registry that means it
// ill, must fit into what a pod is given.
func (c *client) read(ctx context.Context, body io.Reader, limit int64) ([]byte, error) {
	first, err := io.ReadAll(io.LimitReader(body, min(limit, maxUsual)))
	if err != nil || len(first) < maxUsual {
		return first, err
	}
	select {
	case c.large <- struct{}{}:
		defer func() { <-c.large }()
	case <-ctx.Done():
		return first, ctx.Err()
	}
	rest, err := io.ReadAll(io.LimitReader(body, limit-int64(len(first))))
	return append(first, rest...), err
}

// withPort is the host and port of a URL, with the port of its scheme where it names none.
func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), port)
}
