package registries

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/record"
)

// Connect is one request that reached the proxy.
type Connect struct {
	record.Exchange
	Time time.Time
	// Host is a name, with a port where it is not 443 (80 for plain HTTP).
	Host string
	// Plain means a plain HTTP request that was sent through the proxy.
	Plain bool
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

	front  *Front
	server *http.Server
	addr   string
	stop   context.CancelFunc

	mu      sync.Mutex
	tunnels map[net.Conn]struct{}
	secrets Secrets
	// intercept signs what the proxy shows in place of the hosts'
	// certificates; nil while it leaves their TLS alone.
	intercept *pki.Authority

	connects // what was asked
}

type connects = record.Journal[Connect, *Connect]

// NewProxy leads to front, on a loopback port.
func NewProxy(ctx context.Context, front *Front) (*Proxy, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // Stop ends it, not the test's context
	p := &Proxy{front: front, stop: stop, tunnels: map[net.Conn]struct{}{}}
	p.server = &http.Server{
		Handler: p, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
		// A CONNECT needs the connection itself, which HTTP/2 does not give.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	var err error
	p.addr, err = serve(ctx, loopback, p.server.Serve)
	return p, err
}

// URL is the proxy's address, for HTTPS_PROXY.
func (p *Proxy) URL() string { return "http://" + p.addr }

// Stop closes the proxy and every tunnel through it.
func (p *Proxy) Stop() error {
	p.stop()
	err := p.server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.tunnels {
		_ = conn.Close() // the other end may have closed it
	}
	return err
}

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
	return p.Inject(ProxyFault{Match: toHost(host), Do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, done, err := p.accept(w)
		if err != nil {
			return
		}
		defer done()
		_, _ = io.Copy(io.Discard, conn) // until the client gives up
	}})
}

func toHost(host string) func(Connect) bool {
	return func(c Connect) bool { return c.Host == host }
}

// Intercept makes the proxy open the TLS of every tunnel that is made from
// now on, with certificates of the test's authority, as a filtering proxy
// does. It speaks HTTP/1.1, drops repeated Accept headers but the first, and
// changes the case of header names in both directions.
func (p *Proxy) Intercept(on bool) {
	authority := p.front.authority
	if !on {
		authority = nil
	}
	p.InterceptAs(authority)
}

// InterceptAs is Intercept with certificates of another authority, which
// clients may not know.
func (p *Proxy) InterceptAs(authority *pki.Authority) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intercept = authority
}

// ServeHTTP answers one request to the proxy, faults first.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	connect := Connect{
		Time: time.Now(), Host: r.Host, Plain: r.Method != http.MethodConnect,
		Authorization: r.Header.Get("Proxy-Authorization"),
	}
	if host, port, err := net.SplitHostPort(r.Host); err == nil && port == "443" && !connect.Plain {
		connect.Host = host
	}
	p.secrets.AddHeader(connect.Authorization)
	recorded := p.Add(&connect)
	noted := faultinject.Note(w, func(status int) { p.Answered(recorded, status) })
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !p.front.Serves(connect.Host):
			http.Error(w, "the proxy cannot resolve the host", http.StatusBadGateway)
		case connect.Plain:
			p.forward(w, r)
		default:
			p.tunnel(r.Context(), w, connect.Host, recorded)
		}
	})
	if action := p.Faults.Pick(connect); action != nil {
		action(noted, r, handler)
		return
	}
	handler(noted, r)
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	(&httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) {
		out.SetURL(&url.URL{Scheme: "http", Host: p.front.PlainAddr()})
		out.Out.Host = out.In.Host
	}}).ServeHTTP(w, r)
}

func (p *Proxy) tunnel(ctx context.Context, w http.ResponseWriter, host string, recorded *Connect) {
	p.mu.Lock()
	intercept := p.intercept
	p.mu.Unlock()
	client, done, err := p.accept(w)
	if err != nil {
		return
	}
	defer done()
	p.Answered(recorded, http.StatusOK)
	if intercept != nil {
		p.read(client, host, intercept)
		return
	}
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.front.TLSAddr())
	if err != nil {
		return // the front has stopped: the client sees its connection close
	}
	defer p.keep(server)()
	join(client, server)
}

// accept opens a tunnel: the client's connection is ours from here.
func (p *Proxy) accept(w http.ResponseWriter) (conn net.Conn, done func(), err error) {
	conn, _, err = http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take the connection over: %w", err)
	}
	done = p.keep(conn)
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		done()
		return nil, nil, err
	}
	return conn, done, nil
}

// keep has Stop close the connection if it is still open then.
func (p *Proxy) keep(conn net.Conn) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tunnels[conn] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.tunnels, conn)
		_ = conn.Close() // the other end may have closed it
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
	if err := <-ended; isReset(err) {
		for _, conn := range []net.Conn{client, server} {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // the close below becomes a reset
			}
		}
	}
	_ = client.Close() // ends the other direction; both are closed again by their keepers
	_ = server.Close()
	<-ended //nolint:errcheck // how it ended is of no interest: we have ended it
}

// Connects returns what was recorded, in the order of arrival; for one host,
// or for all where host is empty.
func (p *Proxy) Connects(host string) []Connect {
	return p.Recorded(func(connect Connect) bool { return host == "" || connect.Host == host })
}

var errTunnelEnded = errors.New("the tunnel has ended")
