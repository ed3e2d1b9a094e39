package registries

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/record"
)

// Connect is one request that reached the proxy.
type Connect struct {
	record.Exchange
	// Host is a name, with a port where it is not 443 (80 for plain HTTP).
	Host string
	// Authorization is the Proxy-Authorization header.
	Authorization string
}

// ProxyFault says which requests to the proxy meet which trouble.
type ProxyFault = faultinject.Rule[Connect]

// Proxy is an egress proxy: whatever host it is asked for, it leads to a
// Front. It is what keeps the real names real.
type Proxy struct {
	// Faults are what requests meet; Inject, Refuse and the like add to them.
	Faults faultinject.Set[Connect]

	front   *Front
	address string
	readers string // where what is in a tunnel is read and passed on
	stops   []func() error

	mu sync.Mutex
	// intercept signs what the proxy shows in place of the hosts'
	// certificates; nil while it leaves their TLS alone.
	intercept *pki.Authority

	secrets
	connects // what was asked
}

type connects = record.Journal[Connect, *Connect]

// newProxy leads to front, on a loopback port.
func newProxy(ctx context.Context, front *Front) (p *Proxy, err error) {
	p = &Proxy{front: front, stops: make([]func() error, 2)}
	p.address, p.stops[0], err = faultinject.Listen(ctx, faultinject.AnyPort, p, nil)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return p.interceptor().Issue(serverName(hello))
	}}
	p.readers, p.stops[1], err = faultinject.Listen(ctx, faultinject.AnyPort, reader(front), config, faultinject.HTTP1)
	if err != nil {
		return nil, errors.Join(err, p.stops[0]())
	}
	return p, nil
}

// reader passes on what it reads, badly, as intercepting proxies do (incident
// I21).
func reader(front *Front) http.Handler {
	return &httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0),
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: front.authority.Pool()},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, front.tlsAddr)
			},
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "https", r.In.Host
			if accept := r.Out.Header.Values("Accept"); len(accept) > 1 {
				r.Out.Header.Set("Accept", accept[0])
			}
			r.Out.Header = recase(r.Out.Header, strings.ToUpper)
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header = recase(r.Header, strings.ToLower)
			return nil
		},
	}
}

func recase(header http.Header, change func(string) string) http.Header {
	changed := make(http.Header, len(header))
	for name, values := range header {
		changed[change(name)] = values
	}
	return changed
}

// URL is the proxy's address, for HTTPS_PROXY.
func (p *Proxy) URL() string { return "http://" + p.address }

// stop closes the proxy and every tunnel through it.
func (p *Proxy) stop() error { return errors.Join(p.stops[0](), p.stops[1]()) }

// Inject adds a fault and returns a function that takes it away again.
func (p *Proxy) Inject(rule ProxyFault) (remove func()) { return p.Faults.Inject(rule) }

// Refuse answers requests for one host with a status: 403 as a filter does,
// 407 as a proxy that wants a login, 502 as one that cannot connect.
func (p *Proxy) Refuse(host string, status int) (remove func()) {
	return p.Inject(ProxyFault{Match: toHost(host), Do: faultinject.Reply(status, "refused by the proxy")})
}

// Blackhole never answers requests for one host.
func (p *Proxy) Blackhole(host string) (remove func()) {
	return p.Inject(ProxyFault{Match: toHost(host), Do: faultinject.Hang()})
}

// Mute opens tunnels to one host in which nobody ever speaks.
func (p *Proxy) Mute(host string) (remove func()) {
	return p.Inject(ProxyFault{Match: toHost(host), Do: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		tunnel(w, r, func(_ context.Context, client net.Conn) { _, _ = io.Copy(io.Discard, client) }) // until the client gives up
	}})
}

func toHost(host string) func(Connect) bool { return func(c Connect) bool { return c.Host == host } }

// Intercept makes the proxy open the TLS of every tunnel that is made from
// now on, with certificates of the test's authority, as a filtering proxy
// does. It speaks HTTP/1.1, drops repeated Accept headers but the first, and
// changes the case of header names in both directions.
func (p *Proxy) Intercept(on bool) {
	if on {
		p.InterceptAs(p.front.authority)
	} else {
		p.InterceptAs(nil)
	}
}

// InterceptAs is Intercept with certificates of another authority, which
// clients may not know.
func (p *Proxy) InterceptAs(authority *pki.Authority) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intercept = authority
}

func (p *Proxy) interceptor() *pki.Authority {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.intercept
}

// ServeHTTP answers one request to the proxy, faults first.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	connect := Connect{Host: r.Host, Authorization: r.Header.Get("Proxy-Authorization")}
	next := http.HandlerFunc(p.forward)
	if r.Method == http.MethodConnect {
		connect.Host = strings.TrimSuffix(r.Host, ":443")
		next = p.connect
	}
	if _, known := p.front.hosts.Load(connect.Host); !known {
		next = func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the proxy cannot resolve the host", http.StatusBadGateway)
		}
	}
	p.keepHeader(connect.Authorization)
	p.Faults.Serve(w, r, connect, &p.connects, next)
}

// forward is for requests without TLS.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	(&httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) {
		out.SetURL(&url.URL{Scheme: "http", Host: p.front.plainAddr})
		out.Out.Host = out.In.Host
	}}).ServeHTTP(w, r)
}

// connect joins the client and the front, or the server that reads what goes
// through.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	to := p.front.tlsAddr
	if p.interceptor() != nil {
		to = p.readers
	}
	tunnel(w, r, func(ctx context.Context, client net.Conn) {
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
		if err != nil {
			return // the front has stopped: the client sees its connection close
		}
		join(client, server)
	})
}

// tunnel takes a client's connection over, until do is done or the proxy stops.
func tunnel(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, client net.Conn)) {
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the client is gone
	}
	closed := context.AfterFunc(r.Context(), func() { _ = client.Close() })
	defer closed()
	defer client.Close() //nolint:errcheck // the other end may have closed it
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		do(r.Context(), client)
	}
}

// join copies both ways until one side ends, and passes a reset on as one.
func join(client, server net.Conn) {
	ended := make(chan error, 2)
	pipe := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		ended <- err
	}
	go pipe(server, client)
	go pipe(client, server)
	end := func(conn net.Conn) { _ = conn.Close() } // it may have been closed already
	if errors.Is(<-ended, syscall.ECONNRESET) {
		end = faultinject.BreakOff
	}
	end(client) // which ends the other direction
	end(server)
	<-ended //nolint:errcheck // how it ended is of no interest: we have ended it
}

// Connects returns what was recorded, in the order of arrival; for one host,
// or for all where host is empty.
func (p *Proxy) Connects(host string) []Connect {
	return p.Recorded(func(connect Connect) bool { return host == "" || connect.Host == host })
}
