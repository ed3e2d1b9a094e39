package faultinject

import (
	"context"
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

// Listen has a server serve at an address, with TLS where that is configured,
// until stop is called, which breaks what is under way.
func Listen(ctx context.Context, address string, server *http.Server) (at string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("listen at %s: %w", address, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stop ends it, not the test's context
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	server.ErrorLog = log.New(io.Discard, "", 0) // broken connections are the point here
	server.ReadHeaderTimeout = time.Minute
	serve := server.Serve
	if server.TLSConfig != nil {
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	go func() {
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("a server of the test stopped serving: %v", err))
		}
	}()
	return listener.Addr().String(), func() error { cancel(); return server.Close() }, nil
}

// HTTP1 is the protocol of servers whose connections are to be broken one
// request at a time, and of those that hand connections over.
func HTTP1() *http.Protocols {
	var only http.Protocols
	only.SetHTTP1(true)
	return &only
}
