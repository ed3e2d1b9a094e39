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

// serveNames answers for these names at the node's address, and knows no other, until stop is called.
func serveNames(ctx context.Context, names map[string]string) (stop func() error, err error) {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", net.JoinHostPort(Address, "53"))
	if err != nil {
		return nil, fmt.Errorf("listen for names: %w", err)
	}
	go func() {
		query := make([]byte, 512)
		for {
			n, client, err := conn.ReadFrom(query)
			if err != nil {
				return // closed
			}
			if response, err := answer(names, query[:n]); err == nil {
				_, _ = conn.WriteTo(response, client) // whoever misses it asks again
			}
		}
	}()
	return conn.Close, nil
}

func answer(names map[string]string, query []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		return nil, err
	}
	message.Response, message.Authoritative, message.RecursionAvailable = true, true, true
	message.Additionals = nil
	for _, question := range message.Questions {
		address, err := netip.ParseAddr(names[strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))])
		switch {
		case err != nil:
			message.RCode = dnsmessage.RCodeNameError
		case question.Type == dnsmessage.TypeA: // it has no other
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
	}
	return message.Pack()
}
