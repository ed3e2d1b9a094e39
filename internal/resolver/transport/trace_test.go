package transport

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
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
	for _, want := range []failure.Stage{failure.StageProxy, failure.StageTLS} {
		hooks.TLSHandshakeStart()
		assert.Equal(t, want, w.where().stage())
	}
}

// What ends a request becomes a Failure that says where it was, also to whom the work is shared with.
func TestAFailureSaysWhere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(server.Close)
	r := get(t, server.URL, "", failure.StageToken)
	shared, watch := WithProgress(r.Context())
	_, err := (&trace{next: http.DefaultTransport}).RoundTrip(r.WithContext(shared))
	failed, ok := errors.AsType[*Failure](err)
	require.True(t, ok)
	assert.Equal(t, Reset, failed.Kind)
	assert.Equal(t, failure.StageToken, failed.Stage)
	assert.NotContains(t, failed.Error(), "EOF", "which may be anything")

	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	late, _ = WithProgress(late)
	Follow(late, watch)
	ended := Ended(late)
	assert.Equal(t, TimedOut, ended.Kind)
	assert.Equal(t, strings.TrimPrefix(server.URL, "http://"), ended.Host)
}
