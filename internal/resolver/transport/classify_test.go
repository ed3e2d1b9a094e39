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

func dialing(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func toTheProxy(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }

// What cannot be had from a network in a test is made of the types that the standard library reports it with.
func TestClassify(t *testing.T) {
	t.Parallel()
	errno := func(e syscall.Errno) error { return os.NewSyscallError("connect", e) }
	alert := &net.OpError{Op: "remote error", Err: errors.New("an alert, which has no exported type")}
	direct := step{Place: Place{Role: failure.StagePing, Host: "a.io", Secure: true}}
	proxied := step{Place: Place{Role: failure.StagePing, Host: "a.io", Secure: true, Proxy: "p:3128"}}
	spoken := step{Place: Place{Role: failure.StagePing, Host: "a.io", Secure: true}, http2: true, reached: asking}
	at := func(s step, p milestone) step { s.reached = p; return s }
	for name, c := range map[string]struct {
		err       error
		at        step
		kind      Kind
		stage     failure.Stage
		host      string
		temporary bool
	}{
		"no such host":              {dialing(&net.DNSError{IsNotFound: true}), at(direct, naming), NoName, failure.StageName, "a.io", false},
		"DNS does not answer":       {dialing(&net.DNSError{IsTimeout: true}), at(direct, naming), NameTrouble, failure.StageName, "a.io", true},
		"proxy has no such name":    {toTheProxy(dialing(&net.DNSError{IsNotFound: true})), at(proxied, naming), NoName, failure.StageName, "p:3128", false},
		"refused":                   {dialing(errno(syscall.ECONNREFUSED)), at(direct, connecting), Refused, failure.StageConnect, "a.io", true},
		"proxy refused":             {toTheProxy(dialing(errno(syscall.ECONNREFUSED))), at(proxied, connecting), Refused, failure.StageProxy, "p:3128", true},
		"no route":                  {dialing(errno(syscall.EHOSTUNREACH)), at(direct, connecting), Unreachable, failure.StageConnect, "a.io", true},
		"forbidden by a policy":     {dialing(errno(syscall.EPERM)), at(direct, connecting), Unreachable, failure.StageConnect, "a.io", true},
		"some other dial error":     {dialing(errors.New("new kind")), at(direct, connecting), Unreachable, failure.StageConnect, "a.io", true},
		"connect timed out":         {dialing(os.ErrDeadlineExceeded), at(direct, connecting), TimedOut, failure.StageConnect, "a.io", true},
		"kernel timed out":          {dialing(errno(syscall.ETIMEDOUT)), at(direct, connecting), TimedOut, failure.StageConnect, "a.io", true},
		"connect to proxy too late": {toTheProxy(dialing(os.ErrDeadlineExceeded)), at(proxied, connecting), TimedOut, failure.StageProxy, "p:3128", true},
		"proxy's certificate":       {toTheProxy(x509.UnknownAuthorityError{}), at(proxied, tunnelling), UnknownAuthority, failure.StageProxy, "p:3128", false},
		"proxy cuts":                {io.EOF, at(proxied, tunnelling), ProxyHungUp, failure.StageProxy, "a.io", true},
		"proxy speaks nonsense":     {errors.New("malformed HTTP response"), at(proxied, tunnelling), ProxyHungUp, failure.StageProxy, "a.io", true},
		"proxy refuses":             {&Failure{Kind: ProxyRefused, Status: 403}, at(proxied, tunnelling), ProxyRefused, failure.StageProxy, "a.io", false},
		"proxy is in trouble":       {&Failure{Kind: ProxyRefused, Status: 503}, at(proxied, tunnelling), ProxyRefused, failure.StageProxy, "a.io", true},
		"expired":                   {x509.CertificateInvalidError{Reason: x509.Expired}, at(direct, handshaking), Expired, failure.StageTLS, "a.io", false},
		"not for servers":           {x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, at(direct, handshaking), Handshake, failure.StageTLS, "a.io", false},
		"wrong name":                {x509.HostnameError{Certificate: &x509.Certificate{}}, at(direct, handshaking), WrongName, failure.StageTLS, "a.io", false},
		"alert later on":            {&net.OpError{Op: "read", Err: alert}, at(direct, asking), Handshake, failure.StageTLS, "a.io", false},
		"cut in the handshake":      {io.EOF, at(direct, handshaking), Reset, failure.StageTLS, "a.io", true},
		"some other TLS error":      {errors.New("tls: new kind"), at(direct, handshaking), Handshake, failure.StageTLS, "a.io", false},
		"cut later on":              {errno(syscall.ECONNRESET), at(direct, asking), Reset, failure.StagePing, "a.io", true},
		"stream reset":              {streamError{StreamID: 1}, at(direct, asking), Reset, failure.StagePing, "a.io", true},
		"GOAWAY in mid-request":     {errors.New("http2: server sent GOAWAY"), spoken, Reset, failure.StagePing, "a.io", true},
		"no HTTP":                   {errors.New("malformed HTTP response"), at(direct, asking), InvalidHTTP, failure.StagePing, "a.io", false},
	} {
		got := classify(t.Context(), c.err, c.at)
		assert.Equal(t, c.kind, got.Kind, name)
		assert.Equal(t, c.stage, got.Stage, name)
		assert.Equal(t, c.host, got.Host, name)
		assert.Equal(t, c.temporary, got.temporary(), name)
	}
}

func TestTheEndOfAContext(t *testing.T) {
	t.Parallel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	direct := step{Place: Place{Role: failure.StageToken, Host: "a.io"}}
	proxied := step{Place: Place{Role: failure.StageToken, Host: "a.io", Proxy: "p:3128"}}
	at := func(s step, p milestone) step { s.reached = p; return s }
	for name, c := range map[string]struct {
		ctx   context.Context
		at    step
		kind  Kind
		stage failure.Stage
		host  string
	}{
		"naming":                    {late, at(direct, naming), NameTrouble, failure.StageName, "a.io"},
		"connecting":                {late, at(direct, connecting), TimedOut, failure.StageConnect, "a.io"},
		"connecting to the proxy":   {late, at(proxied, connecting), TimedOut, failure.StageProxy, "p:3128"},
		"waiting for the proxy":     {late, at(proxied, tunnelling), TimedOut, failure.StageProxy, "a.io"},
		"shaking hands":             {late, at(direct, handshaking), TimedOut, failure.StageTLS, "a.io"},
		"asking":                    {late, at(direct, asking), TimedOut, failure.StageToken, "a.io"},
		"asking through the proxy":  {late, at(proxied, asking), TimedOut, failure.StageToken, "a.io"},
		"told to stop while asking": {stopped, at(direct, asking), Interrupted, failure.StageToken, "a.io"},
	} {
		got := classify(c.ctx, io.EOF, c.at)
		assert.Equal(t, c.kind, got.Kind, name)
		assert.Equal(t, c.stage, got.Stage, name)
		assert.Equal(t, c.host, got.Host, name)
	}
}
