package bench

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// relay is a long way to a server: every round trip takes a time that can be set, that of the TCP handshake
// included. What it carries it does not look into, so a round trip of TLS or of a proxy's CONNECT takes as long.
type relay struct {
	address   string
	target    string
	roundTrip atomic.Int64
	listener  net.Listener
	open      sync.WaitGroup
	cancel    context.CancelFunc
}

func newRelay(ctx context.Context, target string) (*relay, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a relay: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &relay{address: listener.Addr().String(), target: target, listener: listener, cancel: cancel}
	r.open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			r.open.Go(func() { r.carry(ctx, client) })
		}
	})
	return r, nil
}

// set takes effect for connections that are made from now on.
func (r *relay) set(roundTrip time.Duration) { r.roundTrip.Store(int64(roundTrip)) }

func (r *relay) stop() {
	r.cancel()
	_ = r.listener.Close() // it carries nothing that could be lost
	r.open.Wait()
}

func (r *relay) carry(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	roundTrip := time.Duration(r.roundTrip.Load())
	connected := time.Now().Add(roundTrip) // when a client so far away could begin to send
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.target)
	if err != nil {
		return // the client sees its connection close
	}
	defer func() { _ = server.Close() }()
	defer context.AfterFunc(ctx, func() { _ = client.Close(); _ = server.Close() })()
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
