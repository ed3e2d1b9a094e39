package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// What cannot be had from a network in a test is made of the types that the standard library reports it with.
func TestClassify(t *testing.T) {
	t.Parallel()
	dialing := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	toTheProxy := func(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }
	errno := func(e syscall.Errno) error { return os.NewSyscallError("connect", e) }
	alert := &net.OpError{Op: "remote error", Err: errors.New("an alert, which has no exported type")}
	nonsense, other := errors.New("malformed HTTP response"), errors.New("new kind")
	at := func(reached milestone, proxy string) step {
		return step{Place: Place{Role: failure.StagePing, Host: "a.io", Secure: true, Proxy: proxy}, reached: reached}
	}
	const proxy = "p:3128"
	speaksHTTP2 := at(asking, "")
	speaksHTTP2.http2 = true
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		at        step
		kind      Kind
		stage     failure.Stage
		host      string
		temporary bool
		errors    []error // or contexts that have ended
	}{
		{at(naming, ""), NoName, failure.StageName, "a.io", false, []error{dialing(&net.DNSError{IsNotFound: true})}},
		{at(naming, ""), NameTrouble, failure.StageName, "a.io", true, []error{dialing(&net.DNSError{IsTimeout: true}), late.Err()}},
		{at(naming, proxy), NoName, failure.StageName, proxy, false, []error{toTheProxy(dialing(&net.DNSError{IsNotFound: true}))}},
		{at(connecting, ""), Refused, failure.StageConnect, "a.io", true, []error{dialing(errno(syscall.ECONNREFUSED))}},
		{at(connecting, proxy), Refused, failure.StageProxy, proxy, true, []error{toTheProxy(dialing(errno(syscall.ECONNREFUSED)))}},
		{at(connecting, ""), Unreachable, failure.StageConnect, "a.io", true, []error{ // no route, a policy, and what is not known
			dialing(errno(syscall.EHOSTUNREACH)), dialing(errno(syscall.EPERM)), dialing(other),
		}},
		{at(connecting, ""), TimedOut, failure.StageConnect, "a.io", true, []error{
			dialing(os.ErrDeadlineExceeded), dialing(errno(syscall.ETIMEDOUT)), late.Err(),
		}},
		{at(connecting, proxy), TimedOut, failure.StageProxy, proxy, true, []error{toTheProxy(dialing(os.ErrDeadlineExceeded)), late.Err()}},
		{at(tunnelling, proxy), UnknownAuthority, failure.StageProxy, proxy, false, []error{toTheProxy(x509.UnknownAuthorityError{})}},
		{at(tunnelling, proxy), ProxyHungUp, failure.StageProxy, "a.io", true, []error{io.EOF, nonsense}},
		{at(tunnelling, proxy), ProxyRefused, failure.StageProxy, "a.io", false, []error{&Failure{Kind: ProxyRefused, Status: 403}}},
		{at(tunnelling, proxy), ProxyRefused, failure.StageProxy, "a.io", true, []error{&Failure{Kind: ProxyRefused, Status: 503}}},
		{at(tunnelling, proxy), TimedOut, failure.StageProxy, "a.io", true, []error{late.Err()}},
		{at(handshaking, ""), Expired, failure.StageTLS, "a.io", false, []error{x509.CertificateInvalidError{Reason: x509.Expired}}},
		{at(handshaking, ""), WrongName, failure.StageTLS, "a.io", false, []error{x509.HostnameError{Certificate: &x509.Certificate{}}}},
		{at(handshaking, ""), Handshake, failure.StageTLS, "a.io", false, []error{
			x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, other,
		}},
		{at(handshaking, ""), Reset, failure.StageTLS, "a.io", true, []error{io.EOF}},
		{at(handshaking, ""), TimedOut, failure.StageTLS, "a.io", true, []error{late.Err()}},
		{at(asking, ""), Handshake, failure.StageTLS, "a.io", false, []error{&net.OpError{Op: "read", Err: alert}}},
		{at(asking, ""), Reset, failure.StagePing, "a.io", true, []error{errno(syscall.ECONNRESET), streamError{StreamID: 1}}},
		{speaksHTTP2, Reset, failure.StagePing, "a.io", true, []error{errors.New("http2: server sent GOAWAY")}},
		{at(asking, ""), InvalidHTTP, failure.StagePing, "a.io", false, []error{nonsense}},
		{at(asking, ""), TimedOut, failure.StagePing, "a.io", true, []error{late.Err()}},
		{at(asking, proxy), TimedOut, failure.StagePing, "a.io", true, []error{late.Err()}},
		{at(asking, ""), Interrupted, failure.StagePing, "a.io", false, []error{stopped.Err()}},
	} {
		for _, err := range c.errors {
			ctx := map[error]context.Context{late.Err(): late, stopped.Err(): stopped}[err]
			if ctx == nil {
				ctx = t.Context()
			}
			got := classify(ctx, err, c.at)
			assert.Equal(t, []any{c.kind, c.stage, c.host, c.temporary}, []any{got.Kind, got.Stage, got.Host, got.temporary()}, err)
		}
	}
}
