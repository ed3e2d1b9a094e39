package resolver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// proxyRefusal is the answer of a proxy that did not open the way to a host.
type proxyRefusal struct{ status int }

func (*proxyRefusal) Error() string { return "the proxy refused to connect" }

// proxyUnreadable stands for a proxy setting that is no address. What stands there is not kept: it may hold a
// password.
type proxyUnreadable struct{}

func (*proxyUnreadable) Error() string { return "the proxy setting is no address" }

// streamError has the shape of the error with which net/http reports that the other side has reset an HTTP/2
// stream; that type is not exported and offers itself to errors.As in this form alone.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "the other side has reset the stream" }

// classify recognises what kept a request from being answered: from the types of errors and from how far the
// request had come, never from an error's text.
func classify(ctx context.Context, err error, at step) *problem {
	p := &problem{host: at.host, role: at.role, secure: at.secure, proxy: at.proxy, stage: stageOf(at), err: err}
	if refusal, ok := errors.AsType[*proxyRefusal](err); ok {
		p.cause, p.stage, p.status = fault.Proxy, fault.StageProxy, refusal.status
		p.temporary = refusal.status >= 500
		return p
	}
	if _, ok := errors.AsType[*proxyUnreadable](err); ok {
		p.cause, p.stage, p.detail = fault.Proxy, fault.StageProxy, badProxy
		return p
	}
	if ctx.Err() != nil {
		late := outOfTime(ctx, at)
		late.err = err
		return late
	}
	if at.proxy != "" && toProxy(err) { // the proxy itself could not be reached
		p.host, p.stage = at.proxy, fault.StageProxy
	}
	_, unresolved := errors.AsType[*net.DNSError](err)
	if unresolved {
		p.cause, p.stage, p.temporary = fault.DNS, fault.StageName, !notFound(err)
		return p
	}
	if d := tlsDetail(err); d != plain {
		p.cause, p.detail = fault.TLS, d
		if p.stage != fault.StageProxy {
			p.stage = fault.StageTLS
		}
		return p
	}
	if timedOut(err) {
		p.cause, p.temporary = fault.Timeout, true
		return p
	}
	if at.phase == tunnelling && p.stage == fault.StageProxy && p.host != at.proxy {
		p.cause, p.temporary = fault.Proxy, true // it hung up instead of answering CONNECT
		return p
	}
	if d := cutDetail(err); d != plain {
		p.cause, p.detail, p.temporary = fault.ConnectionRefused, d, true
		return p
	}
	if at.phase == handshaking {
		p.cause, p.detail = fault.TLS, handshake
		return p
	}
	if at.phase < asking {
		p.cause, p.detail, p.temporary = fault.ConnectionRefused, unreachable, true
		return p
	}
	p.cause, p.detail, p.stage = fault.BadResponse, notHTTP, at.role
	return p
}

// outOfTime is the problem of a caller whose context has ended while it was at a step. A name that is not
// resolved in time is the cluster's DNS, not the registry.
func outOfTime(ctx context.Context, at step) *problem {
	p := &problem{cause: fault.Timeout, stage: stageOf(at), role: at.role, host: at.host, secure: at.secure, proxy: at.proxy, err: ctx.Err()}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		p.detail = interrupted
	case at.phase == naming:
		p.cause = fault.DNS
	}
	if at.proxy != "" && at.phase < tunnelling {
		p.host = at.proxy
	}
	return p
}

func stageOf(at step) fault.Stage {
	switch at.phase {
	case naming:
		return fault.StageName
	case connecting:
		if at.proxy != "" {
			return fault.StageProxy
		}
		return fault.StageConnect
	case tunnelling:
		return fault.StageProxy
	case handshaking:
		return fault.StageTLS
	case waiting, asking:
	}
	return at.role
}

// toProxy says whether net/http failed on the way to the proxy, before it asked it for anything.
func toProxy(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "proxyconnect"
}

func notFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

func timedOut(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return true
	}
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout()
}

// tlsDetail recognises what crypto/tls and crypto/x509 report as types. An alert is sent by the other side
// ("remote error") or by us ("local error").
func tlsDetail(err error) detail {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return unknownAuthority
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return wrongName
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return expired
		}
		return handshake
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return notTLS
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return handshake
	}
	for op, ok := errors.AsType[*net.OpError](err); ok; op, ok = errors.AsType[*net.OpError](op.Err) {
		if op.Op == "remote error" || op.Op == "local error" {
			return handshake
		}
	}
	return plain
}

// cutDetail recognises a connection that was not made, or cut.
func cutDetail(err error) detail {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return reset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES),
		errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EADDRNOTAVAIL):
		return unreachable
	}
	if _, ok := errors.AsType[streamError](err); ok {
		return reset
	}
	return plain
}
