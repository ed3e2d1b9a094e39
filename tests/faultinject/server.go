package faultinject

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// AnyPort is a free port of this machine's own.
const AnyPort = "127.0.0.1:0"

// Listen serves a handler at an address, with TLS where that is configured,
// until stop is called, which breaks what is under way.
func Listen(
	ctx context.Context, address string, handler http.Handler, config *tls.Config, options ...func(*http.Server),
) (at string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("listen at %s: %w", address, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stop ends it, not the test's context
	server := &http.Server{
		Handler: handler, TLSConfig: config, ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // broken connections are the point here
	}
	for _, option := range options {
		option(server)
	}
	serve := server.Serve
	if config != nil {
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	go func() {
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("a server of the test stopped serving: %v", err))
		}
	}()
	return listener.Addr().String(), func() error { cancel(); return server.Close() }, nil
}

// HTTP1 is for servers whose connections are to be broken one request at a time.
func HTTP1(server *http.Server) {
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
}
