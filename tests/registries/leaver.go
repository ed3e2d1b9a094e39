package registries

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"

	"golang.org/x/net/http2"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/pki"
)

// connKey is under what a request's context has its connection.
type connKey struct{}

// NewLeaver serves a handler with TLS on loopback, and returns where. It tells the clients of the first so many requests
// for a path to go away, as a registry does that is being replaced: an HTTP/2 GOAWAY that covers the request, so that
// nobody knows what became of it, and the end of the connection. It ends with the context.
func NewLeaver(ctx context.Context, authority *pki.Authority, handler http.Handler, path string, leaves int) (address string, err error) {
	certificate, err := authority.Issue("127.0.0.1")
	if err != nil {
		return "", err
	}
	var left atomic.Int64
	address, stop, err := faultinject.Listen(ctx, faultinject.AnyPort, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path || left.Add(1) > int64(leaves) {
			handler.ServeHTTP(w, r)
			return
		}
		// An early hint goes out after the settings, without which a GOAWAY is an error of another kind.
		w.WriteHeader(http.StatusEarlyHints)
		conn := r.Context().Value(connKey{}).(net.Conn)
		_ = http2.NewFramer(conn, nil).WriteGoAway(1<<31-1, http2.ErrCodeInternal, nil) // the client sees what there is to see
		_ = conn.Close()
	}), &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}, func(server *http.Server) {
		server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		}
	})
	if err == nil {
		context.AfterFunc(ctx, func() { _ = stop() })
	}
	return address, err
}
