package cloud

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// How long a metadata service is waited for. It is a hop away, or not there at all; Google's refuses a new pod, which a
// CronJob's always is, for its first seconds.
const (
	metadataPatience = 2 * time.Second
	googlePatience   = 10 * time.Second
	googlePause      = 250 * time.Millisecond
)

// maxFile bounds a token or a key that is read from a file.
const maxFile = 64 << 10

// Client logs in. It is made once a tick.
type Client struct {
	Network wire.Options
	Getenv  func(string) string
	// NameAccount has Google's metadata service asked whom it stands for as well, for people to read.
	NameAccount bool
}

// Problem is why there is no login. Where no answer came, Failure has a Kind, and neither Cause nor Text is set.
type Problem struct {
	wire.Failure
	Waited time.Duration // for the answer that did not come, where that was less than the time of an image
	Cause  failure.Cause
	Text   string // what went wrong, after "the cloud identity": a clause
	Fix    string // what to do; where no answer came, beside opening the way to that host
}

// Login returns what the registry takes for the pod's identity. It names whom that is for.
func (c *Client) Login(ctx context.Context, r *Registry, roots *x509.CertPool) (credential.Credential, *Problem) {
	ctx, _ = wire.Begin(ctx, failure.StageIdentity)
	var found account
	var p *Problem
	switch r.provider {
	case amazon:
		found, p = c.amazon(ctx, r)
	case google:
		found, p = c.google(ctx, r)
	case microsoft:
		found, p = c.microsoft(ctx, r, roots)
	}
	if p != nil {
		if p.Role = failure.StageIdentity; p.Kind == 0 {
			p.Stage = failure.StageIdentity
		}
		return credential.Credential{}, p
	}
	return credential.Cloud(r.Host, found.user, found.password, found.as), nil
}

// account is what a registry takes, and whom it is for.
type account struct {
	user, password, as string
}

// conversation is a number of requests for one thing, through a library that keeps some of its errors to itself: what came of
// the last request stays here. It ends with its context, also where a library loses that.
type conversation struct {
	ctx  context.Context //nolint:containedctx // its life is that of the conversation
	next http.RoundTripper

	failed *wire.Failure // no answer came
	place  wire.Place
	status int
	body   []byte
}

// direct is a conversation with a metadata service: never through a proxy, whatever NO_PROXY says.
func (c *Client) direct(ctx context.Context) *conversation {
	return &conversation{ctx: ctx, next: wire.ToService(c.Network, nil, true)}
}

// outside is one with a service that is reached as registries are.
func (c *Client) outside(ctx context.Context, roots *x509.CertPool) *conversation {
	return &conversation{ctx: ctx, next: wire.ToService(c.Network, roots, false)}
}

func (c *conversation) client() *http.Client {
	return &http.Client{Transport: c, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (c *conversation) RoundTrip(r *http.Request) (*http.Response, error) {
	c.failed, c.status, c.body = nil, 0, nil
	c.place = wire.Place{Role: failure.StageIdentity, Host: r.URL.Host, Secure: r.URL.Scheme == "https"}
	answer, err := c.next.RoundTrip(r.WithContext(c.ctx))
	if err != nil {
		c.failed, _ = errors.AsType[*wire.Failure](err)
		return nil, err
	}
	c.status = answer.StatusCode
	c.body, err = io.ReadAll(answer.Body) // which is in memory already
	answer.Body = io.NopCloser(bytes.NewReader(c.body))
	return answer, err
}

// send asks by hand, and returns the body of a 200.
func (c *conversation) send(r *http.Request) ([]byte, bool) {
	answer, err := c.client().Do(r)
	if err != nil {
		return nil, false
	}
	_ = answer.Body.Close() // it is in memory
	return c.body, c.status == http.StatusOK
}

// meaning is what an answer comes to that is no login.
type meaning struct {
	cause failure.Cause
	fix   string
}

// word is a code that a service sends, which is printed.
var word = regexp.MustCompile(`^[A-Za-z0-9_]{1,60}$`)

// problem says what kept a conversation from its end: code is what the service calls it, refused what that means, and fix what
// helps where no answer came.
func (c *conversation) problem(code string, refused meaning, fix string) *Problem {
	if c.failed != nil {
		return &Problem{Failure: *c.failed, Fix: fix}
	}
	switch {
	case refused.cause == failure.RateLimited || c.status == http.StatusTooManyRequests:
		refused = meaning{failure.RateLimited, "the next tick asks again; where it goes on, ask less often or name a pull secret"}
	case c.status >= http.StatusInternalServerError:
		refused = meaning{failure.ServerError, "that is the service's own trouble, and there is nothing to do here"}
	case c.status == http.StatusOK:
		refused = meaning{failure.BadResponse, "check what it is that answers there"}
	}
	text := fmt.Sprintf("could not be used: %s answered %d", failure.Clean(c.place.Host), c.status)
	if word.MatchString(code) {
		text += " (" + code + ")"
	}
	if c.status == http.StatusOK {
		text += " with something else than was asked for"
	}
	return &Problem{
		Failure: wire.Failure{Place: c.place, Stage: failure.StageIdentity, Status: c.status},
		Cause:   refused.cause, Text: text, Fix: refused.fix,
	}
}

// missing is the problem of an identity that the pod does not have, or not all of.
func missing(text, fix string) *Problem {
	return &Problem{Cause: failure.CredentialMissing, Text: "is missing: " + text, Fix: fix}
}
