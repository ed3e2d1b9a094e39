package bench

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A request over TCP takes two round trips, the handshake's and its own, and all of a body arrives.
func TestARelayIsALongWay(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer server.Close()
	relay, err := newRelay(t.Context(), strings.TrimPrefix(server.URL, "http://"))
	require.NoError(t, err)
	const roundTrip = 50 * time.Millisecond
	relay.set(roundTrip)
	client := &http.Client{Transport: &http.Transport{}}
	for _, least := range []time.Duration{2 * roundTrip, roundTrip} { // the connection is kept
		began := time.Now()
		response, err := client.Post("http://"+relay.address, "text/plain", strings.NewReader(body))
		require.NoError(t, err)
		received, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, body, string(received))
		assert.GreaterOrEqual(t, time.Since(began), least)
	}
	relay.stop()
	_, err = net.Dial("tcp", relay.address)
	assert.Error(t, err)
}
