//go:build linux

package realnode

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// resolver answers for the names of the test, and knows no other.
type resolver struct {
	conn  net.PacketConn
	names map[string]netip.Addr
}

// serveNames answers at the node's address, until stop is called.
func serveNames(ctx context.Context, names map[string]string) (stop func() error, err error) {
	r := &resolver{names: map[string]netip.Addr{}}
	for name, address := range names {
		if r.names[name], err = netip.ParseAddr(address); err != nil {
			return nil, err
		}
	}
	if r.conn, err = (&net.ListenConfig{}).ListenPacket(ctx, "udp", net.JoinHostPort(Address, "53")); err != nil {
		return nil, fmt.Errorf("listen for names: %w", err)
	}
	go r.serve()
	return r.conn.Close, nil
}

func (r *resolver) serve() {
	query := make([]byte, 512)
	for {
		n, client, err := r.conn.ReadFrom(query)
		if err != nil {
			return // closed
		}
		if answer, err := r.answer(query[:n]); err == nil {
			_, _ = r.conn.WriteTo(answer, client) // whoever misses it asks again
		}
	}
}

func (r *resolver) answer(query []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		return nil, err
	}
	message.Response, message.Authoritative, message.RecursionAvailable = true, true, true
	message.Additionals = nil
	for _, question := range message.Questions {
		address, known := r.names[strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))]
		switch {
		case !known:
			message.RCode = dnsmessage.RCodeNameError
		case question.Type == dnsmessage.TypeA:
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
	}
	return message.Pack()
}
