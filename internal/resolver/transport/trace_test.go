package transport

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// A second handshake on one connection is the registry's; the first, where the proxy itself has TLS, is the proxy's.
func TestTheProxysHandshakeIsTheProxys(t *testing.T) {
	t.Parallel()
	w := &Progress{}
	trace := w.begin(Place{Role: failure.StagePing, Host: "a.io", Secure: true})
	proxied(context.WithValue(t.Context(), tracerKey{}, trace), "p:443", true)
	hooks := trace.hooks(func() {})
	hooks.ConnectDone("tcp", "p:443", nil)
	hooks.TLSHandshakeStart()
	assert.Equal(t, failure.StageProxy, w.where().stage())
	hooks.TLSHandshakeStart()
	assert.Equal(t, failure.StageTLS, w.where().stage())
}

// What ends a request becomes a Failure that says where it was, also to whom the work is shared with.
func TestAFailureSaysWhere(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	shared, watch := WithProgress(t.Context())
	shared, _ = Begin(shared, failure.StageToken)
	_, err := (&trace{next: http.DefaultTransport}).RoundTrip(request(t, shared, http.MethodGet, server.URL))
	failed, ok := errors.AsType[*Failure](err)
	require.True(t, ok)
	assert.Equal(t, Reset, failed.Kind)
	assert.Equal(t, failure.StageToken, failed.Stage)
	assert.NotContains(t, failed.Error(), "EOF", "which may be anything")

	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	ctx, _ = WithProgress(ctx)
	Follow(ctx, watch)
	ended := Ended(ctx)
	assert.Equal(t, TimedOut, ended.Kind)
	assert.Equal(t, address(t, server.URL).Host, ended.Host)
}
