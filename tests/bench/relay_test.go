package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// relay is a long way to a server: every round trip takes a time that can be set, that of the TCP handshake
// included. What it carries it does not look into, so a round trip of TLS or of a proxy's CONNECT takes as long.
type relay struct {
	address   string
	target    string
	roundTrip atomic.Int64
}

func newRelay(t *testing.T, target string) *relay {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() }) // it carries nothing that could be lost
	r := &relay{address: listener.Addr().String(), target: target}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go r.carry(t.Context(), client)
		}
	}()
	return r
}

// set takes effect for connections that are made from now on.
func (r *relay) set(roundTrip time.Duration) { r.roundTrip.Store(int64(roundTrip)) }

func (r *relay) carry(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	roundTrip := time.Duration(r.roundTrip.Load())
	connected := time.Now().Add(roundTrip) // when a client so far away could begin to send
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.target)
	if err != nil {
		return // the client sees its connection close
	}
	defer func() { _ = server.Close() }()
	var both sync.WaitGroup
	both.Go(func() { carry(server, client, roundTrip/2, connected) })
	both.Go(func() { carry(client, server, roundTrip/2, time.Time{}) })
	both.Wait()
}

// parcel is what arrives together.
type parcel struct {
	due   time.Time
	bytes []byte
}

// carry brings what comes from one end to the other, late.
func carry(to, from net.Conn, delay time.Duration, notBefore time.Time) {
	parcels := make(chan parcel, 1<<12)
	go func() {
		defer close(parcels)
		for {
			block := make([]byte, 32<<10)
			n, err := from.Read(block)
			sent := time.Now()
			if sent.Before(notBefore) {
				sent = notBefore
			}
			if n > 0 {
				parcels <- parcel{sent.Add(delay), block[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range parcels {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			_ = from.Close() // nobody is there to bring it to
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other end may be gone already
	}
}

// A request over TCP takes two round trips, the handshake's and its own, and all of a body arrives.
func TestARelayIsALongWay(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer server.Close()
	relay := newRelay(t, strings.TrimPrefix(server.URL, "http://"))
	const roundTrip = 50 * time.Millisecond
	relay.set(roundTrip)
	client := &http.Client{Transport: &http.Transport{}}
	for _, least := range []time.Duration{2 * roundTrip, roundTrip} { // the connection is kept
		began := time.Now()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+relay.address, strings.NewReader(body))
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		received, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, body, string(received))
		assert.GreaterOrEqual(t, time.Since(began), least)
	}
}
