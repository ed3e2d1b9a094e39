package registries

import (
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
	"time"

	"github.com/tracebloc/image-refresh/tests/pki"
)

// read opens the TLS inside a tunnel and forwards what it reads there, badly,
// as intercepting proxies do (incident I21).
func (p *Proxy) read(client net.Conn, host string, authority *pki.Authority) {
	serverName := host
	if name, _, err := net.SplitHostPort(host); err == nil {
		serverName = name
	}
	certificate, err := authority.Issue(serverName)
	if err != nil {
		return // the client sees its connection close
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"http/1.1"},
	}
	upstream := &url.URL{Scheme: "https", Host: p.front.TLSAddr()}
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: p.front.authority.Pool(), ServerName: serverName,
	}}
	defer transport.CloseIdleConnections()
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		Handler: &httputil.ReverseProxy{
			Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(upstream)
				r.Out.Host = r.In.Host
				if accept := r.Out.Header.Values("Accept"); len(accept) > 1 {
					r.Out.Header.Set("Accept", accept[0])
				}
				r.Out.Header = recase(r.Out.Header, strings.ToUpper)
			},
			ModifyResponse: func(r *http.Response) error {
				r.Header = recase(r.Header, strings.ToLower)
				return nil
			},
		},
	}
	// One connection to serve: the second Accept reports its end.
	listener := &single{conn: tls.Server(client, config), ended: make(chan struct{})}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			listener.end()
		}
	}
	_ = server.Serve(listener) // always ends with an error: that of the second Accept
}

func recase(header http.Header, change func(string) string) http.Header {
	changed := make(http.Header, len(header))
	for name, values := range header {
		changed[change(name)] = values
	}
	return changed
}

// single is a listener with one connection, accepted already.
type single struct {
	mu    sync.Mutex
	conn  net.Conn
	once  sync.Once
	ended chan struct{}
}

func (s *single) Accept() (net.Conn, error) {
	s.mu.Lock()
	conn := s.conn
	s.conn = nil
	s.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	<-s.ended
	return nil, errTunnelEnded
}

func (s *single) end()           { s.once.Do(func() { close(s.ended) }) }
func (s *single) Close() error   { s.end(); return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
