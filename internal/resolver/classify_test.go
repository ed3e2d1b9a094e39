package resolver

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

	"github.com/tracebloc/image-refresh/internal/fault"
)

func dialing(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func toTheProxy(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }

// What cannot be had from a network in a test is made of the types that the standard library reports it with.
func TestClassify(t *testing.T) {
	t.Parallel()
	errno := func(e syscall.Errno) error { return os.NewSyscallError("connect", e) }
	alert := &net.OpError{Op: "remote error", Err: errors.New("an alert, which has no exported type")}
	direct := step{role: fault.StagePing, host: "a.io", secure: true}
	proxied := step{role: fault.StagePing, host: "a.io", secure: true, proxy: "p:3128"}
	at := func(s step, p phase) step { s.phase = p; return s }
	for name, c := range map[string]struct {
		err       error
		at        step
		cause     fault.Cause
		stage     fault.Stage
		host      string
		detail    detail
		temporary bool
	}{
		"no such host":              {dialing(&net.DNSError{IsNotFound: true}), at(direct, naming), fault.DNS, fault.StageName, "a.io", plain, false},
		"DNS does not answer":       {dialing(&net.DNSError{IsTimeout: true}), at(direct, naming), fault.DNS, fault.StageName, "a.io", plain, true},
		"proxy has no such name":    {toTheProxy(dialing(&net.DNSError{IsNotFound: true})), at(proxied, naming), fault.DNS, fault.StageName, "p:3128", plain, false},
		"refused":                   {dialing(errno(syscall.ECONNREFUSED)), at(direct, connecting), fault.ConnectionRefused, fault.StageConnect, "a.io", refused, true},
		"proxy refused":             {toTheProxy(dialing(errno(syscall.ECONNREFUSED))), at(proxied, connecting), fault.ConnectionRefused, fault.StageProxy, "p:3128", refused, true},
		"no route":                  {dialing(errno(syscall.EHOSTUNREACH)), at(direct, connecting), fault.ConnectionRefused, fault.StageConnect, "a.io", unreachable, true},
		"forbidden by a policy":     {dialing(errno(syscall.EPERM)), at(direct, connecting), fault.ConnectionRefused, fault.StageConnect, "a.io", unreachable, true},
		"some other dial error":     {dialing(errors.New("new kind")), at(direct, connecting), fault.ConnectionRefused, fault.StageConnect, "a.io", unreachable, true},
		"connect timed out":         {dialing(os.ErrDeadlineExceeded), at(direct, connecting), fault.Timeout, fault.StageConnect, "a.io", plain, true},
		"kernel timed out":          {dialing(errno(syscall.ETIMEDOUT)), at(direct, connecting), fault.Timeout, fault.StageConnect, "a.io", plain, true},
		"connect to proxy too late": {toTheProxy(dialing(os.ErrDeadlineExceeded)), at(proxied, connecting), fault.Timeout, fault.StageProxy, "p:3128", plain, true},
		"proxy's certificate":       {toTheProxy(x509.UnknownAuthorityError{}), at(proxied, tunnelling), fault.TLS, fault.StageProxy, "p:3128", unknownAuthority, false},
		"proxy cuts":                {io.EOF, at(proxied, tunnelling), fault.Proxy, fault.StageProxy, "a.io", plain, true},
		"proxy speaks nonsense":     {errors.New("malformed HTTP response"), at(proxied, tunnelling), fault.Proxy, fault.StageProxy, "a.io", plain, true},
		"proxy refuses":             {&proxyRefusal{status: 403}, at(proxied, tunnelling), fault.Proxy, fault.StageProxy, "a.io", plain, false},
		"proxy is in trouble":       {&proxyRefusal{status: 503}, at(proxied, tunnelling), fault.Proxy, fault.StageProxy, "a.io", plain, true},
		"expired":                   {x509.CertificateInvalidError{Reason: x509.Expired}, at(direct, handshaking), fault.TLS, fault.StageTLS, "a.io", expired, false},
		"not for servers":           {x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, at(direct, handshaking), fault.TLS, fault.StageTLS, "a.io", handshake, false},
		"wrong name":                {x509.HostnameError{Certificate: &x509.Certificate{}}, at(direct, handshaking), fault.TLS, fault.StageTLS, "a.io", wrongName, false},
		"alert later on":            {&net.OpError{Op: "read", Err: alert}, at(direct, asking), fault.TLS, fault.StageTLS, "a.io", handshake, false},
		"cut in the handshake":      {io.EOF, at(direct, handshaking), fault.ConnectionRefused, fault.StageTLS, "a.io", reset, true},
		"some other TLS error":      {errors.New("tls: new kind"), at(direct, handshaking), fault.TLS, fault.StageTLS, "a.io", handshake, false},
		"cut later on":              {errno(syscall.ECONNRESET), at(direct, asking), fault.ConnectionRefused, fault.StagePing, "a.io", reset, true},
		"stream reset":              {streamError{StreamID: 1}, at(direct, asking), fault.ConnectionRefused, fault.StagePing, "a.io", reset, true},
		"no HTTP":                   {errors.New("malformed HTTP response"), at(direct, asking), fault.BadResponse, fault.StagePing, "a.io", notHTTP, false},
	} {
		got := classify(t.Context(), c.err, c.at)
		assert.Equal(t, c.cause, got.cause, name)
		assert.Equal(t, c.stage, got.stage, name)
		assert.Equal(t, c.host, got.host, name)
		assert.Equal(t, c.detail, got.detail, name)
		assert.Equal(t, c.temporary, got.temporary, name)
		assert.ErrorIs(t, got.err, c.err, name)
	}
}

func TestOutOfTime(t *testing.T) {
	t.Parallel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	direct := step{role: fault.StageToken, host: "a.io"}
	proxied := step{role: fault.StageToken, host: "a.io", proxy: "p:3128"}
	at := func(s step, p phase) step { s.phase = p; return s }
	for name, c := range map[string]struct {
		ctx    context.Context
		at     step
		cause  fault.Cause
		stage  fault.Stage
		host   string
		detail detail
	}{
		"naming":                    {late, at(direct, naming), fault.DNS, fault.StageName, "a.io", plain},
		"connecting":                {late, at(direct, connecting), fault.Timeout, fault.StageConnect, "a.io", plain},
		"connecting to the proxy":   {late, at(proxied, connecting), fault.Timeout, fault.StageProxy, "p:3128", plain},
		"waiting for the proxy":     {late, at(proxied, tunnelling), fault.Timeout, fault.StageProxy, "a.io", plain},
		"shaking hands":             {late, at(direct, handshaking), fault.Timeout, fault.StageTLS, "a.io", plain},
		"asking":                    {late, at(direct, asking), fault.Timeout, fault.StageToken, "a.io", plain},
		"asking through the proxy":  {late, at(proxied, asking), fault.Timeout, fault.StageToken, "a.io", plain},
		"told to stop while asking": {stopped, at(direct, asking), fault.Timeout, fault.StageToken, "a.io", interrupted},
	} {
		got := classify(c.ctx, io.EOF, c.at)
		assert.Equal(t, c.cause, got.cause, name)
		assert.Equal(t, c.stage, got.stage, name)
		assert.Equal(t, c.host, got.host, name)
		assert.Equal(t, c.detail, got.detail, name)
	}
}

// A second handshake on one connection is the registry's; the first, where the proxy itself has TLS, is the proxy's.
func TestTheProxysHandshakeIsTheProxys(t *testing.T) {
	t.Parallel()
	w := &watch{}
	trace := w.begin(fault.StagePing, "a.io", true)
	trace.proxied("p:443", true)
	hooks := hooksOf(trace)
	hooks.ConnectDone("tcp", "p:443", nil)
	hooks.TLSHandshakeStart()
	assert.Equal(t, fault.StageProxy, stageOf(w.where()))
	hooks.TLSHandshakeStart()
	assert.Equal(t, fault.StageTLS, stageOf(w.where()))
}
