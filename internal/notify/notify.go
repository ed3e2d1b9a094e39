// Package notify tells people and machines outside of the cluster: messages to the services that NOTIFY_URLS names, and a
// heartbeat after each tick. Whom to tell what, and when, is decided elsewhere (package decide); this package words it and sends it.
//
// A URL of a service holds its secrets, and the library's errors quote it. None of either leaves this package: a URL is named
// by its position and scheme, and a failure in words of our own.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/format"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/specialized/generic"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// patience is how long one URL, or the heartbeat, may take to answer.
const patience = 10 * time.Second

// Message is what is told.
type Message struct {
	Title, Text string // plain text for people; Text may have several lines, none of them empty
	Result      []byte // the JSON of the targets concerned, for a generic webhook without a template
}

// Delivery is what came of a message at one URL.
type Delivery struct {
	URL     string // its position and scheme, as in "the second URL, smtp"
	Taken   bool   // the service has taken the message
	Failure string // what went wrong, and what to do; safe to print. Of a mail that was taken: that a recipient was refused
}

// Sender sends messages to the URLs of NOTIFY_URLS.
type Sender struct {
	network      http.RoundTripper
	destinations []destination
}

// Send sends a message to every URL, side by side, and waits for at most 10 s.
func (s *Sender) Send(ctx context.Context, message Message) []Delivery {
	deliveries := make([]Delivery, len(s.destinations))
	var all sync.WaitGroup
	for i, to := range s.destinations {
		all.Go(func() { deliveries[i] = s.deliver(ctx, to, message) })
	}
	all.Wait()
	return deliveries
}

// deliver sends a message to one URL. Not all services mind a context: one that does not is left behind when the time is over.
func (s *Sender) deliver(ctx context.Context, to destination, message Message) Delivery {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := &exchange{ctx: ctx, next: s.network}
	mails := &mailLog{}
	sent := make(chan error, 1)
	go func() { sent <- send(ctx, to, message, answers, mails) }()
	delivery := Delivery{URL: to.String()}
	var err error
	select {
	case err = <-sent:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if status, _ := answers.last(); err == nil && status >= http.StatusBadRequest { // Telegram's service returns no error then
		err = errRefused
	}
	delivery.Taken = err == nil || mails.taken()
	if err != nil {
		delivery.Failure = sentence(ctx, err, answers)
	}
	return delivery
}

func send(ctx context.Context, to destination, message Message, answers *exchange, mails *mailLog) error {
	service, err := to.service(&http.Client{Transport: answers, CheckRedirect: notFollowed}, mails)
	if err != nil {
		return err
	}
	text, params := message.Text, types.Params{}
	if webhook, is := service.(*generic.Service); is && webhook.Config.Template == "" {
		answers.json, text = true, string(message.Result)
	} else if takes(service, types.TitleKey) {
		params.SetTitle(message.Title)
	} else {
		text = message.Title + "\n" + text
	}
	if most, bounded := shorter[to.scheme]; bounded {
		text = failure.Cut(text, most)
	}
	if takes(service, splitLines) {
		params[splitLines] = "No"
	}
	if minding, ok := service.(types.ContextSender); ok {
		return minding.SendContext(ctx, text, &params)
	}
	return service.Send(text, &params)
}

// shorter are the services that refuse what is longer than so many bytes, and less than a message may have.
var shorter = map[string]int{"pushover": 1024, "twilio": 1600, "wecom": 2048}

// splitLines is Discord's parameter for making an item of each line, of which it takes ten.
const splitLines = "splitlines"

// takes says whether a service has a parameter. Some refuse one that they do not know.
func takes(service types.Service, parameter string) bool {
	resolver := format.NewPropKeyResolver(format.GetServiceConfig(service))
	_, err := resolver.Get(parameter)
	return err == nil
}

func notFollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// exchange is how a service's requests go out for one message, and what came back last.
type exchange struct {
	ctx  context.Context //nolint:containedctx // most services make requests with a context of their own
	next http.RoundTripper
	json bool // the body is JSON, whatever the service calls it

	mu     sync.Mutex
	status int // of the last answer; 0 where none came
	failed *transport.Failure
}

// RoundTrip implements http.RoundTripper.
func (e *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(e.ctx)
	if e.json {
		r.Header.Set("Content-Type", "application/json")
	}
	e.came(0, nil)
	answer, err := e.next.RoundTrip(r)
	if err != nil {
		failed, _ := errors.AsType[*transport.Failure](err)
		e.came(0, failed)
		return nil, err
	}
	e.came(answer.StatusCode, nil)
	if answer.StatusCode >= http.StatusMultipleChoices && answer.StatusCode < http.StatusBadRequest { // some services take it for a success
		_ = answer.Body.Close()
		return nil, errRefused
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}

// maxAnswer bounds what a service may answer.
const maxAnswer = 1 << 20

var errRefused = errors.New("refused")

// came notes what came of a request.
func (e *exchange) came(status int, failed *transport.Failure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.failed = status, failed
}

// last is the status of the last answer, or why there was none.
func (e *exchange) last() (int, *transport.Failure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status, e.failed
}

// sentence says in words of our own why a message was not taken.
func sentence(ctx context.Context, err error, answers *exchange) string {
	status, failed := answers.last()
	reply, isMail := errors.AsType[*textproto.Error](err)
	switch {
	case status != 0: // also where the service waited to ask again
		return refused(status)
	case ctx.Err() != nil:
		return overdue(ctx)
	case failed != nil:
		return unanswered(failed)
	case isMail:
		return mailRefused(reply.Code)
	}
	return unanswered(transport.Classify(ctx, err))
}

func overdue(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.Canceled) {
		return "interrupted"
	}
	return fmt.Sprintf("timeout: no answer within %.0f s; check the egress to its host and the proxy settings", patience.Seconds())
}

// unanswered words a failure on the way.
func unanswered(failed *transport.Failure) string {
	switch failed.Kind {
	case transport.NoName, transport.NameTrouble:
		return "dns: the name of its host could not be resolved; check the URL, the cluster's DNS and the proxy settings"
	case transport.TimedOut:
		return "timeout: no answer in time; check the egress to its host and the proxy settings"
	case transport.UnknownAuthority, transport.WrongName, transport.Expired, transport.NotTLS, transport.Handshake:
		return "tls: the certificate or the handshake was refused; check SSL_CERT_FILE, the port and the proxy in between"
	case transport.ProxySetting, transport.ProxyRefused, transport.ProxyHungUp:
		return "proxy: the proxy did not open a way to its host; allow that host there, or name it in NO_PROXY"
	case transport.Refused, transport.Reset, transport.Unreachable:
		return "connection-refused: the connection was refused or cut; check the NetworkPolicy, the firewall and the port"
	case transport.Interrupted:
		return "interrupted"
	default:
		return "bad-response: no valid answer came; check the URL, its port and whether it speaks TLS"
	}
}

// refused words an answer that is a refusal.
func refused(status int) string {
	said := fmt.Sprintf("it answered %d %s", status, http.StatusText(status))
	switch {
	case status < http.StatusMultipleChoices:
		return said + " with an error in the body; check the token, the channel and what the service says of them"
	case status < http.StatusBadRequest:
		return said + ", and redirects are not followed; write the address that it leads to"
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusGone:
		return said + "; the token or the webhook may be wrong, expired or deleted: make a new one and put its URL into the Secret"
	case status == http.StatusTooManyRequests:
		return said + "; too many messages go there"
	case status >= http.StatusInternalServerError:
		return said + "; the service's own trouble"
	default:
		return said + "; check the URL's parameters"
	}
}

// Replies of a mail server to a login (RFC 4954).
const (
	authenticationRequired = 530
	authenticationFailed   = 535
)

func mailRefused(code int) string {
	said := fmt.Sprintf("the mail server answered %d", code)
	if code == authenticationRequired || code == authenticationFailed {
		return "authentication: " + said + "; check user name and password, and that both are percent-encoded"
	}
	return said + "; check the sender, the recipients and what this server lets this account do"
}

// mailLog listens to the library: a mail may be taken though the end of the session, or another recipient, failed.
type mailLog struct {
	mu     sync.Mutex
	mailed bool
}

func (*mailLog) Print(...any)   {}
func (*mailLog) Println(...any) {}

// Printf implements types.StdLogger.
func (l *mailLog) Printf(text string, _ ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mailed = l.mailed || strings.HasPrefix(text, "Mail successfully sent")
}

func (l *mailLog) taken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mailed
}
