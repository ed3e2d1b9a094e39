package faultinject

import (
	"context"
	"errors"
	"fmt"
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

	release func() error
}

// Close gives the port back.
func (p *Port) Close() error { return p.release() }

// ClosedPort refuses every connection. Nobody else can come to listen there as
// long as it is held.
func ClosedPort() (*Port, error) { return hold(false) }

// DeafPort lets every connection wait for ever, as a firewall does that drops
// what it does not let through: the queue of those who wait to be accepted is
// full, and nobody accepts.
func DeafPort() (*Port, error) {
	port, err := hold(true)
	if err != nil {
		return nil, err
	}
	var waiting []net.Conn
	release := port.release
	port.release = func() error {
		for _, conn := range waiting {
			_ = conn.Close() // nobody was ever at the other end
		}
		return release()
	}
	dialer := net.Dialer{Timeout: time.Second} // loopback connects at once, or never
	for len(waiting) < 16 {
		conn, err := dialer.DialContext(context.Background(), "tcp", port.Address)
		if os.IsTimeout(err) {
			return port, nil
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("fill the queue of %s: %w", port.Address, err), port.Close())
		}
		waiting = append(waiting, conn)
	}
	return nil, errors.Join(fmt.Errorf("the queue of %s does not fill", port.Address), port.Close())
}

// hold binds a port, and lets connections queue there where listen is set.
func hold(listen bool) (*Port, error) {
	syscall.ForkLock.RLock() // no child process may inherit it
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	release := func() error { return syscall.Close(fd) }
	fail := func(err error) (*Port, error) {
		return nil, errors.Join(fmt.Errorf("hold a port: %w", err), release())
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return fail(err)
	}
	if listen {
		if err := syscall.Listen(fd, 0); err != nil {
			return fail(err)
		}
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return fail(err)
	}
	inet, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return fail(errors.New("the socket has no IPv4 address"))
	}
	return &Port{Address: fmt.Sprintf("127.0.0.1:%d", inet.Port), release: release}, nil
}

// ResettingPort accepts every connection, waits for the first word and breaks
// the connection.
func ResettingPort() (*Port, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it lasts until Close
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				_, _ = conn.Read(make([]byte, 1))
				breakOff(conn)
			}()
		}
	}()
	return &Port{Address: listener.Addr().String(), release: listener.Close}, nil
}
