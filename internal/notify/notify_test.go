package notify

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// secret is a part of every URL here.
const secret = "eb243592faa24ba2a5511afdf565c889"

// network answers every request with a status and a body, and keeps what it was sent.
type network struct {
	mu           sync.Mutex
	status       int
	answer, sent string
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	_, basic, _ := strings.Cut(r.Header.Get("Authorization"), "Basic ")
	login, _ := base64.StdEncoding.DecodeString(basic)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, part := range []string{r.Method, r.URL.String(), string(login), string(body), r.Header.Get("Content-Type")} {
		n.sent += part + " "
	}
	for _, values := range r.Header {
		n.sent += strings.Join(values, " ") + " "
	}
	return &http.Response{StatusCode: n.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(n.answer)), Request: r}, nil
}

func sender(t *testing.T, urls string, through http.RoundTripper) *Sender {
	t.Helper()
	s, problems := Parse(urls)
	require.Empty(t, problems, urls)
	s.network = through
	return s
}

// The library's services make clients of their own at different moments; none may go past the proxy and the deadline.
func TestEveryServiceAsksThroughOurClientAndToldIsNoSecret(t *testing.T) {
	t.Parallel()
	const renew = "the token or the webhook may be wrong, expired or deleted: make a new one and put its URL into the Secret"
	for _, url := range []string{
		"bark://:" + secret + "@bark.example.com",
		"discord://" + secret + "@1234567890",
		"generic://hook.example.com/?template=json&token=" + secret,
		"generic+https://hook.example.com/" + secret + "?template=json",
		"gotify://gotify.example.com/A" + secret[:14],
		"googlechat://chat.googleapis.com/v1/spaces/x/messages?key=k&token=" + secret,
		"ifttt://" + secret + "/?events=event1&value1=x",
		"join://shoutrrr:" + secret + "@join/?devices=one",
		"lark://open.larksuite.com/" + secret,
		"matrix://:" + secret + "@matrix.example.com/?rooms=!room:example.com",
		"mattermost://chat.example.com/" + secret,
		"notifiarr://" + secret,
		"ntfy://user:" + secret + "@ntfy.example.com/topic",
		"opsgenie://api.opsgenie.com/" + secret,
		"pagerduty://events.pagerduty.com/" + secret,
		"pushbullet://" + secret + "xx",
		"pushover://shoutrrr:" + secret + "@user/",
		"rocketchat://chat.example.com/" + secret + "/token",
		"signal://user:" + secret + "@signal.example.com/+1234567890/+0987654321",
		"signalgrid://" + secret + "@channel",
		"slack://hook:T00000000-B00000000-" + secret + "@webhook",
		"slack://xoxb:123456789012-1234567890123-" + secret + "@channel",
		"teams://?host=https%3A%2F%2Fprod-00.westus.logic.azure.com%3A443%2Fworkflows%2Fx%2Finvoke%3Fsig%3D" + secret,
		"telegram://110201543:AAH" + secret + "@telegram/?chats=@channel",
		"twilio://AC" + secret + ":" + secret + "@+15551234567/+15559876543",
		"wecom://" + secret,
		"zulip://bot%40zulip.example.com:" + secret + "@zulip.example.com/?stream=alerts",
	} {
		through := &network{status: http.StatusForbidden, answer: "no, " + secret}
		deliveries := sender(t, url, through).Send(t.Context(), Message{Title: "a title", Text: "one line\nanother"})
		token := secret
		if strings.HasPrefix(url, "gotify") { // whose tokens are 15 characters long
			token = secret[:14]
		}
		assert.Contains(t, through.sent, token, url)
		scheme, _, _ := strings.Cut(url, "://")
		scheme, _, _ = strings.Cut(scheme, "+")
		assert.Equal(t, []Delivery{{URL: "the first URL, " + scheme, Failure: "it answered 403 Forbidden; " + renew}}, deliveries)
	}
}

func TestWhatIsNoURLOfAServiceIsNamedAndNotQuoted(t *testing.T) {
	t.Parallel()
	const encode, unknown = "does not parse: percent-encode @ # % : / ?", "is for no service that is known"
	for urls, want := range map[string]string{
		"smtp://user:" + secret + "%@mail.example.com/?from=a@example.com&to=b@example.com": "the first URL, smtp: " + encode,
		"smtp://user:" + secret + "#@mail.example.com/?from=a@example.com&to=b@example.com": "the first URL, smtp: " + encode,
		"smtp://user:" + secret + "/@mail.example.com/?from=a@example.com&to=b@example.com": "the first URL, smtp: " + encode,
		"smtp://user:" + secret + "@mail.example.com/?to=b@example.com":                     "the first URL, smtp: " + encode,
		"wecom://x\n slack://hook:" + secret + "@webhook":                                   "the second URL, slack: " + encode,
		"matrix://user:" + secret + "@:x/":                                                  "the first URL, matrix: " + encode,
		"wecom://key#" + secret:                                                             "the first URL, wecom: " + encode,
		`"slack://` + secret + `"`:                                                          "the first URL, slack: stands in quotes: remove them",
		"https://hooks.slack.com/services/" + secret:                                        "the first URL, https: " + unknown + ": write a webhook as generic+https://…, one of Slack as slack://hook:A-B-C@webhook, or name one of bark, discord, generic, ",
		"logger://" + secret:                                                                "the first URL, logger: " + unknown,
		secret:                                                                              "the first URL: is no URL: begin it with its service",
		secret + "://x":                                                                     "the first URL: " + unknown,
		"teams://" + secret + "@tenant/x?host=example.webhook.office.com":                   "the first URL, teams: is no webhook of a Teams workflow",
	} {
		_, problems := Parse(urls + "\n")
		if assert.Len(t, problems, 1, urls) {
			assert.ErrorContains(t, problems[0], "NOTIFY_URLS: "+want)
			assert.NotContains(t, problems[0].Error(), secret)
		}
	}
	_, problems := Parse(strings.Repeat("x ", 11))
	require.ErrorContains(t, problems[10], ": URL 11: is no URL")
	// A service that logs in when it is made is not asked yet.
	s, problems := Parse("\twecom://x\r\nmatrix://user:password@localhost:1/\n")
	assert.Empty(t, problems)
	assert.Len(t, s.destinations, 2)
}

// People paste the address that Workflows shows in every form; it is signed, and asked as it is.
func TestTheAddressOfATeamsWorkflowIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	const address = "://prod-00.westus.logic.azure.com:443/workflows/0a/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=a-b_c"
	for _, url := range []string{
		"https" + address, "teams+https" + address, "teams" + address, "teams://?host=https" + address,
		"teams://?host=https%3A%2F%2Fprod-00.westus.logic.azure.com%3A443%2Fworkflows%2F0a%2Ftriggers%2Fmanual%2Fpaths%2Finvoke%3Fapi-version%3D2016-06-01" +
			"%26sp%3D%252Ftriggers%252Fmanual%252Frun%26sv%3D1.0%26sig%3Da-b_c&color=attention",
	} {
		through := &network{status: http.StatusAccepted}
		assert.Equal(t, []Delivery{{URL: "the first URL, teams", Taken: true}}, sender(t, url, through).Send(t.Context(), Message{Title: "t", Text: "x"}))
		assert.True(t, strings.HasPrefix(through.sent, "POST https"+address+" "), through.sent)
	}
}

func TestAGenericWebhookGetsTheResultAndOthersTheText(t *testing.T) {
	t.Parallel()
	told := Message{Title: "a title", Text: "one line\nanother", Result: []byte(`{"targets":[]}`)}
	for url, want := range map[string]string{
		"generic://hook.example.com/x":               `POST https://hook.example.com/x  {"targets":[]} application/json`,
		"generic://hook.example.com/x?template=json": `{"message":"one line\nanother","title":"a title"}`,
		"discord://token@1":                          `"description":"one line\nanother"`,
		"wecom://x":                                  `"content":"a title\none line\nanother"`,
	} {
		through := &network{status: http.StatusOK, answer: `{"errcode":0}`}
		assert.True(t, sender(t, url, through).Send(t.Context(), told)[0].Taken, url)
		assert.Contains(t, through.sent, want, url)
	}
}

func TestWhyAMessageWasNotTaken(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		200: "with an error in the body", 307: "redirects are not followed", 401: "wrong, expired or deleted", 404: "wrong, expired or deleted",
		400: "check the URL's parameters", 429: "too many messages", 503: "the service's own trouble",
	} {
		through := &network{status: status, answer: "no"}
		delivery := sender(t, "slack://hook:T00000000-B00000000-"+secret+"@webhook", through).Send(t.Context(), Message{})[0]
		assert.False(t, delivery.Taken)
		assert.Contains(t, delivery.Failure, want, status)
	}
	for kind, want := range map[transport.Kind]string{
		transport.NoName: "dns: ", transport.TimedOut: "timeout: ", transport.Expired: "tls: ", transport.ProxyRefused: "proxy: ",
		transport.Reset: "connection-refused: ", transport.InvalidHTTP: "bad-response: ", transport.Interrupted: "interrupted",
	} {
		failed := &exchange{failed: &transport.Failure{Kind: kind}}
		assert.True(t, strings.HasPrefix(sentence(t.Context(), errors.New(secret), failed), want), want)
	}
	assert.True(t, strings.HasPrefix(sentence(t.Context(), errors.New(secret), &exchange{}), "bad-response: "))
	for code, want := range map[int]string{535: "authentication: the mail server answered 535", 550: "the mail server answered 550; check the sender"} {
		said := sentence(t.Context(), &textproto.Error{Code: code, Msg: secret}, &exchange{})
		assert.True(t, strings.HasPrefix(said, want), said)
	}
}

func TestAMessageReadsOnAPhone(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	message := Compose("prod", "shop", []Notice{
		{
			Target: "web", State: "not resolved", Workload: "Deployment shop/web", Cause: failure.Unauthorized, Since: began,
			Sentence: "the registry said <!channel> @here [click](https://evil.example.com/x) `x`\nand more", Fix: "extend the account",
			See: "https://example.com/runbook#unauthorized",
		},
		{Target: "api", State: "recovered", Lasted: "3 h 15 min"},
	})
	assert.Equal(t, "image-refresh: web not resolved, and 1 more (cluster prod, namespace shop)", message.Title)
	assert.Equal(t, `web: not resolved, unauthorized
Deployment shop/web
the registry said !channel here click(https evil.example.com/x) x and more
To do: extend the account
Since 2026-01-02 02:04 UTC
https://example.com/runbook#unauthorized
----
api: recovered, after 3 h 15 min`, message.Text)
	many := Compose("", "shop", slices.Repeat([]Notice{{Target: "a", Sentence: strings.Repeat("x", 600)}}, 9))
	assert.Less(t, len(many.Text), 3100)
	assert.True(t, strings.HasSuffix(many.Text, "----\nand 4 more"))
	through := &network{status: http.StatusOK, answer: `{"errcode":0}`}
	assert.True(t, sender(t, "wecom://x", through).Send(t.Context(), many)[0].Taken)
	assert.Less(t, len(through.sent), 2300, "as much as this service takes")
	assert.Equal(t, "image-refresh: this message was asked for, and nothing is wrong (namespace shop)", strings.Replace(Test("", "shop").Title, "test ", "", 1))
}
