package resolver

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver/cloud"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// problem is a failure as it was recognised, in plain values: what is made of it, and what is said of it, is
// decided by those who know the image and the credential (see message.go).
type problem struct {
	wire.Failure // where it happened; its kind where no answer came, its status where one did
	cause        failure.Cause
	detail       detail // which of the ways to have that cause, where a registry answered
	code         string // the registry's own error code, checked by errorCode
	errors       []transport.Diagnostic
	crossed      bool           // another host answered than the one that was asked
	found        string         // of unsigned: what was found in place of a signature
	identity     *cloud.Problem // why there is no identity to ask with, where nobody else was served
}

// detail tells the ways apart in which one cause comes about.
type detail int

const (
	noDetail detail = iota

	// timeout
	unasked // its turn never came
	givenUp // this host did not answer others; it was not asked again

	// unauthorized
	rejected // the login itself is refused

	// forbidden
	notVerifiedYet // to a credential that the host has not accepted before either
	between        // something that is no registry says so
	policy         // the registry's own rules withhold the image
	storage        // another host, to which the registry sends, says so

	// not-found
	noProject // Harbor has no such project

	// server-error
	ownTrouble // Harbor refuses valid accounts while its database is down

	// rate-limited
	quotaUsed // ratelimit-remaining: 0

	// bad-response
	noChallenge
	badRealm
	badToken
	noDigest
	badDigest
	notManifest
	schema1
	artifact
	emptyIndex
	otherDigest
	badConfig
	notReferrers
	tooMany // candidates for signatures
	oddStatus
)

// problemOf makes a problem of what the library returned; unreadable is what it means that it could not make sense of an
// answer that was none of a refusal. The library's own errors are not kept: they quote bodies.
func problemOf(ctx context.Context, err error, call *wire.Call, unreadable detail) *problem {
	if refusal, ok := errors.AsType[*transport.Error](err); ok {
		return refusedBy(refusal, call)
	}
	if failed, ok := errors.AsType[*wire.Failure](err); ok {
		return unanswered(failed)
	}
	if ctx.Err() != nil {
		return unanswered(wire.Ended(ctx))
	}
	return badAnswer(call, unreadable)
}

// causes are those of what can keep a registry from answering.
var causes = map[wire.Kind]failure.Cause{
	wire.Interrupted: failure.Timeout, wire.TimedOut: failure.Timeout,
	wire.NoName: failure.DNS, wire.NameTrouble: failure.DNS,
	wire.Refused: failure.ConnectionRefused, wire.Reset: failure.ConnectionRefused, wire.Unreachable: failure.ConnectionRefused,
	wire.UnknownAuthority: failure.TLS, wire.WrongName: failure.TLS, wire.Expired: failure.TLS, wire.NotTLS: failure.TLS, wire.Handshake: failure.TLS,
	wire.ProxySetting: failure.Proxy, wire.ProxyRefused: failure.Proxy, wire.ProxyHungUp: failure.Proxy,
	wire.InvalidHTTP: failure.BadResponse, wire.TooLarge: failure.BadResponse, wire.Truncated: failure.BadResponse,
	wire.Downgrade: failure.BadResponse, wire.BadRedirect: failure.BadResponse, wire.SecondPing: failure.BadResponse,
	wire.BackedOff: failure.RateLimited,
}

func unanswered(f *wire.Failure) *problem { return &problem{Failure: *f, cause: causes[f.Kind]} }

// refusals are what statuses say; of others it is server-error from 500 on.
var refusals = map[int]struct {
	cause  failure.Cause
	detail detail
}{
	http.StatusUnauthorized:    {failure.Unauthorized, noDetail},
	http.StatusPaymentRequired: {failure.Forbidden, noDetail}, http.StatusForbidden: {failure.Forbidden, noDetail},
	http.StatusPreconditionFailed: {failure.Forbidden, policy}, http.StatusLocked: {failure.Forbidden, policy}, http.StatusUnavailableForLegalReasons: {failure.Forbidden, policy},
	http.StatusNotFound: {failure.NotFound, noDetail}, http.StatusGone: {failure.NotFound, noDetail},
	http.StatusProxyAuthRequired: {failure.Proxy, noDetail}, // a proxy for plain HTTP answers in the registry's place
	http.StatusRequestTimeout:    {failure.ServerError, noDetail},
	http.StatusTooManyRequests:   {failure.RateLimited, noDetail},
}

// refusedBy is the problem of an answer that is no 200, as far as its status alone says what it is.
func refusedBy(refusal *transport.Error, call *wire.Call) *problem {
	p := &problem{Failure: call.Failure(), cause: failure.BadResponse, detail: oddStatus, code: errorCode(refusal.Errors), errors: refusal.Errors}
	p.Status, p.crossed = refusal.StatusCode, call.Crossed
	if known, ok := refusals[p.Status]; ok {
		p.cause, p.detail = known.cause, known.detail
	} else if p.Status >= http.StatusInternalServerError {
		p.cause, p.detail = failure.ServerError, noDetail
	}
	switch {
	case p.Status == http.StatusForbidden && p.crossed:
		p.detail = storage
	case p.cause == failure.RateLimited:
		p.Retry = call.Retry
	case p.cause == failure.Proxy:
		p.Stage = failure.StageProxy
	}
	return p
}

// badAnswer is the problem of an answer that came and cannot be used.
func badAnswer(call *wire.Call, d detail) *problem {
	p := &problem{Failure: call.Failure(), cause: failure.BadResponse, detail: d}
	if p.Status >= http.StatusMultipleChoices && p.Status < http.StatusBadRequest { // which the library did not follow
		p.Kind, p.detail = wire.BadRedirect, noDetail
	}
	return p
}

var word = regexp.MustCompile(`^[A-Z_]{1,40}$`)

// errorCode is the first error code that looks like one: it is printed, so it must be a word.
func errorCode(errors []transport.Diagnostic) string {
	for _, e := range errors {
		if word.MatchString(string(e.Code)) {
			return string(e.Code)
		}
	}
	return ""
}

// refusesLogin says that a registry answered a login by refusing it: with 401, or with 403 and an error of its own. A 403
// of any other kind (a firewall, a geo block, single sign-on in between) accuses no account.
func (p *problem) refusesLogin() bool {
	return p != nil && !p.crossed && (p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden && len(p.errors) > 0)
}

// denied says that somebody with another credential may be served.
func (p *problem) denied() bool {
	return p.cause == failure.Unauthorized || p.cause == failure.Forbidden || p.cause == failure.NotFound || p.cause == failure.Unsigned
}

// elsewhere says that the next of several mirrors is to be asked: connection errors, 404 and 5xx go on; 401, 403 and 429
// stop, and so does an answer that cannot be trusted.
func (p *problem) elsewhere() bool {
	if p.identity != nil { // the registry refuses everybody else, which is what counts
		return false
	}
	switch p.cause {
	case failure.DNS, failure.ConnectionRefused, failure.Timeout, failure.TLS, failure.Proxy, failure.NotFound, failure.ServerError:
		return p.Kind != wire.Interrupted
	default:
		return false
	}
}
