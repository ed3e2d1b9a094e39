package registries

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

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
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}},
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path || left.Add(1) > int64(leaves) {
				handler.ServeHTTP(w, r)
				return
			}
			_ = goAway(r.Context().Value(connKey{}).(net.Conn)) // the client sees what there is to see
		}),
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return serve(ctx, loopback, func(l net.Listener) error { return server.ServeTLS(l, "", "") })
}

func goAway(conn net.Conn) error {
	const everything = 1<<31 - 1
	return errors.Join(http2.NewFramer(conn, nil).WriteGoAway(everything, http2.ErrCodeInternal, nil), conn.Close())
}
