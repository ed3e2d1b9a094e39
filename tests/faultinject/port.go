package faultinject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Port is a port of the loopback interface that answers badly before any HTTP
// is spoken there.
type Port struct {
	// Address is host and port.
	Address string

	open []io.Closer
}

// Close gives the port back.
func (p *Port) Close() error {
	var failures []error
	for _, one := range p.open {
		failures = append(failures, one.Close())
	}
	return errors.Join(failures...)
}

// ClosedPort refuses every connection: it is the near end of a connection, so
// that nobody listens there, and nobody else can come to.
func ClosedPort() (*Port, error) {
	listener, err := net.Listen("tcp", AnyPort) //nolint:noctx // it lasts until Close
	if err != nil {
		return nil, fmt.Errorf("hold a port: %w", err)
	}
	conn, err := net.Dial("tcp", listener.Addr().String()) //nolint:noctx // likewise
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hold a port: %w", err), listener.Close())
	}
	return &Port{Address: conn.LocalAddr().String(), open: []io.Closer{conn, listener}}, nil
}

// DeafPort lets every connection wait for ever, as a firewall does that drops
// what it does not let through: the queue of those who wait to be accepted is
// full, and nobody accepts.
func DeafPort() (*Port, error) {
	listener, err := net.Listen("tcp", AnyPort) //nolint:noctx // it lasts until Close
	if err != nil {
		return nil, fmt.Errorf("hold a port: %w", err)
	}
	port := &Port{Address: listener.Addr().String(), open: []io.Closer{listener}}
	file, err := listener.(*net.TCPListener).File()
	if err == nil {
		port.open = append(port.open, file)
		err = syscall.Listen(int(file.Fd()), 0) // once more, with the shortest queue
	}
	dialer := net.Dialer{Timeout: time.Second} // loopback connects at once, or never
	for err == nil && len(port.open) < 16 {
		var waiting net.Conn
		if waiting, err = dialer.DialContext(context.Background(), "tcp", port.Address); err == nil {
			port.open = append(port.open, waiting)
		}
	}
	if os.IsTimeout(err) {
		return port, nil
	}
	return nil, errors.Join(fmt.Errorf("the queue of %s does not fill: %w", port.Address, err), port.Close())
}

// ResettingPort accepts every connection, waits for the first word and breaks
// the connection.
func ResettingPort() (*Port, error) {
	listener, err := net.Listen("tcp", AnyPort) //nolint:noctx // it lasts until Close
	if err != nil {
		return nil, fmt.Errorf("hold a port: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				_, _ = conn.Read(make([]byte, 1))
				BreakOff(conn)
			}()
		}
	}()
	return &Port{Address: listener.Addr().String(), open: []io.Closer{listener}}, nil
}
