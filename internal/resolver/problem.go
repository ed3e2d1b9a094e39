package resolver

import (
	"time"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// problem is a failure as it was recognised, in plain values: what is made of it, and what is said of it, is
// decided by those who know the image and the credential (see message.go).
type problem struct {
	cause     fault.Cause
	stage     fault.Stage   // how far the request had come
	role      fault.Stage   // what was being asked: /v2/, the token endpoint, the manifest
	detail    detail        // which of the ways to have that cause
	host      string        // that was asked, as its URL spells it
	secure    bool          // asked over TLS
	proxy     string        // host:port of the proxy between, where one was
	status    int           // of the answer, or of the proxy's answer to CONNECT
	code      string        // the registry's own error code, checked by errorCode
	retry     time.Duration // how long the other side asked to wait; 0 where it did not say
	temporary bool          // worth another try within the same tick
	err       error         // for errors.Is and errors.As only
}

// detail tells the ways apart in which one cause comes about.
type detail int

const (
	plain detail = iota

	// timeout
	interrupted // the tick was told to stop
	unasked     // its turn never came
	givenUp     // this host did not answer others; it was not asked again

	// connection-refused
	refused
	reset
	unreachable

	// tls
	unknownAuthority
	wrongName
	expired
	notTLS
	handshake

	// proxy
	badProxy // the setting cannot be read

	// unauthorized
	rejected  // the credential itself is not accepted
	noGrant   // the credential may be fine, the image is refused all the same
	noAccount // asked without a credential

	// forbidden
	unproven // to a credential that the host has not accepted before either

	// not-found
	noProject // Harbor has no such project

	// server-error
	ownTrouble // Harbor refuses valid accounts while its database is down

	// slot-invalid
	noTag // nothing floats

	// rate-limited
	quotaUsed // ratelimit-remaining: 0

	// bad-response
	noChallenge
	badRealm
	badToken
	noDigest
	badDigest
	tooLarge
	truncated
	downgrade
	redirects
	notHTTP
	notManifest
	schema1
	artifact
	emptyIndex
	otherDigest
	badConfig
	oddStatus
)

// denied says that somebody with another credential may be served.
func (p *problem) denied() bool {
	return p.cause == fault.Unauthorized || p.cause == fault.Forbidden || p.cause == fault.NotFound
}

// elsewhere says that the next of several mirrors is to be asked (DESIGN.md: connection errors, 404 and 5xx
// go on; 401, 403 and 429 stop, and so does an answer that cannot be trusted).
func (p *problem) elsewhere() bool {
	switch p.cause {
	case fault.DNS, fault.ConnectionRefused, fault.Timeout, fault.TLS, fault.Proxy, fault.NotFound, fault.ServerError:
		return p.detail != interrupted
	default:
		return false
	}
}

// worst is fault.Worst for problems.
func worst(problems []*problem) *problem {
	var order []*fault.Error
	of := map[*fault.Error]*problem{}
	for _, p := range problems {
		e := &fault.Error{Cause: p.cause}
		order, of[e] = append(order, e), p
	}
	return of[fault.Worst(order...)]
}
