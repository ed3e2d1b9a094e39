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
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/tracebloc/image-refresh/tests/pki"
)

// Leaver is a registry that tells its first client to go away in the middle of a request, as one that is being replaced
// does: an HTTP/2 GOAWAY that covers the request, and the end of the connection. It serves everybody else.
type Leaver struct {
	// Address is where it is, on loopback, with TLS.
	Address string

	server *http.Server
	config *tls.Config

	mu     sync.Mutex
	leaves int
	path   string
}

// NewLeaver serves a handler, but for the first so many requests for a path.
func NewLeaver(ctx context.Context, authority *pki.Authority, handler http.Handler, path string, leaves int) (*Leaver, error) {
	certificate, err := authority.Issue("127.0.0.1")
	if err != nil {
		return nil, err
	}
	l := &Leaver{
		leaves: leaves, path: path,
		config: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"h2"}},
	}
	l.server = &http.Server{
		Handler: handler, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", loopback)
	if err != nil {
		return nil, fmt.Errorf("listen for a registry that leaves: %w", err)
	}
	l.Address = listener.Addr().String()
	go l.serve(tls.NewListener(listener, l.config))
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	return l, nil
}

func (l *Leaver) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close() //nolint:errcheck // its end is the point
			(&http2.Server{}).ServeConn(&leaving{Conn: conn}, &http2.ServeConnOpts{BaseConfig: l.server, Handler: http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					if l.leaving(r.URL.Path) {
						_ = goAway(conn)
						return
					}
					l.server.Handler.ServeHTTP(w, r)
				})})
		}()
	}
}

// leaving is a connection that http2 takes for one without TLS, of which it would ask for more than there is.
type leaving struct{ net.Conn }

func (l *Leaver) leaving(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if path != l.path || l.leaves == 0 {
		return false
	}
	l.leaves--
	return true
}

// goAway ends a connection: whatever the client has asked for so far was seen, so it cannot know what became of it.
func goAway(conn net.Conn) error {
	const everything = 1<<31 - 1
	return errors.Join(http2.NewFramer(conn, nil).WriteGoAway(everything, http2.ErrCodeInternal, nil), conn.Close())
}
