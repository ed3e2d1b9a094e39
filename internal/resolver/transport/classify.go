package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/tracebloc/image-refresh/internal/failure"
)

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
func classify(ctx context.Context, err error, at step) *Failure {
	f := &Failure{Place: at.Place, Stage: at.stage()}
	if proxy, ok := errors.AsType[*Failure](err); ok { // from newWire
		f.Kind, f.Stage, f.Status = proxy.Kind, failure.StageProxy, proxy.Status
		return f
	}
	if ctx.Err() != nil {
		return ended(ctx, at)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" && at.Proxy != "" { // the proxy itself could not be reached
		f.Host, f.Stage = at.Proxy, failure.StageProxy
	}
	if unresolved, ok := errors.AsType[*net.DNSError](err); ok {
		f.Kind, f.Stage = NameTrouble, failure.StageName
		if unresolved.IsNotFound {
			f.Kind = NoName
		}
		return f
	}
	if kind := tlsKind(err); kind != 0 {
		f.Kind = kind
		if f.Stage != failure.StageProxy {
			f.Stage = failure.StageTLS
		}
		return f
	}
	switch cut := cutKind(err); {
	case timedOut(err):
		f.Kind = TimedOut
	case at.reached == tunnelling && f.Stage == failure.StageProxy && f.Host != at.Proxy: // instead of answering CONNECT
		f.Kind = ProxyHungUp
	case cut != 0:
		f.Kind = cut
	case at.reached == handshaking:
		f.Kind = Handshake
	case at.reached < asking:
		f.Kind = Unreachable
	case at.http2: // a GOAWAY in mid-request, whose type net/http does not export either
		f.Kind = Reset
	default:
		f.Kind, f.Stage = InvalidHTTP, at.Role
	}
	return f
}

// Ended is the failure of a caller whose context has ended, by where its work was.
func Ended(ctx context.Context) *Failure { return ended(ctx, progressOf(ctx).where()) }

// ended says what the end of a context means at a step. A name that is not resolved in time is the cluster's DNS, not
// the registry.
func ended(ctx context.Context, at step) *Failure {
	f := &Failure{Place: at.Place, Kind: TimedOut, Stage: at.stage()}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		f.Kind = Interrupted
	case at.reached == naming:
		f.Kind = NameTrouble
	}
	if at.Proxy != "" && at.reached < tunnelling {
		f.Host = at.Proxy
	}
	return f
}

var stages = map[milestone]failure.Stage{naming: failure.StageName, connecting: failure.StageConnect, tunnelling: failure.StageProxy, handshaking: failure.StageTLS}

func (s step) stage() failure.Stage {
	stage, onTheWay := stages[s.reached]
	switch {
	case !onTheWay:
		return s.Role
	case stage == failure.StageConnect && s.Proxy != "":
		return failure.StageProxy
	}
	return stage
}

func timedOut(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return true
	}
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout()
}

// tlsKind recognises what crypto/tls and crypto/x509 report as types. An alert is sent by the other side
// ("remote error") or by us ("local error").
func tlsKind(err error) Kind {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return UnknownAuthority
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return WrongName
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return Expired
		}
		return Handshake
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return NotTLS
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Handshake
	}
	for op, ok := errors.AsType[*net.OpError](err); ok; op, ok = errors.AsType[*net.OpError](op.Err) {
		if op.Op == "remote error" || op.Op == "local error" {
			return Handshake
		}
	}
	return 0
}

// cutKind recognises a connection that was not made, or cut.
func cutKind(err error) Kind {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return Reset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES),
		errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EADDRNOTAVAIL):
		return Unreachable
	}
	if _, ok := errors.AsType[streamError](err); ok {
		return Reset
	}
	return 0
}
