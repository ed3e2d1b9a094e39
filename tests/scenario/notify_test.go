package scenario_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// inbox is what a service outside of the cluster was sent: each request's method, host, URI, content type and body, in that order,
// or each mail.
type inbox struct {
	mu   sync.Mutex
	sent []string
}

func (i *inbox) add(text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sent = append(i.sent, text)
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.sent...)
}

// serve has hosts take everything, each with its answer.
func (i *inbox) serve(s *harness.Scenario, answers map[string]string) {
	for host, answer := range answers {
		s.Site.Front.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			i.add(strings.Join([]string{r.Method, host + r.RequestURI, r.Header.Get("Content-Type"), string(body)}, " "))
			_, _ = io.WriteString(w, answer)
		}))
	}
}

// mailServer takes mail from one account, over STARTTLS, for everybody but nobody@example.com. It returns where it listens.
func (i *inbox) mailServer(t *testing.T, s *harness.Scenario, password string) string {
	t.Helper()
	certificate, err := s.Site.Authority.Issue("127.0.0.1")
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{inbox: i, password: password}, nil }))
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	return listener.Addr().String()
}

type mailSession struct {
	inbox    *inbox
	password string
	to       string
}

func (*mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (m *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "robot@example.com" || password != m.password {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (*mailSession) Mail(string, *smtp.MailOptions) error { return nil }

func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if m.to = to; to == "nobody@example.com" {
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	}
	return nil
}

func (m *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	m.inbox.add("to " + m.to + "\n" + string(text))
	return err
}

func (*mailSession) Reset()        {}
func (*mailSession) Logout() error { return nil }

const (
	hookSecret     = "T0000AAAA/B0000BBBB/hunter2slackAAAABBBBCCCC"
	workflowSecret = "hunter2-signature_of-teams"
	genericSecret  = "hunter2-of-the-webhook"
	mailSecret     = "hunter2@#%:/of the mail"
	beatSecret     = "hunter2-5b1f-heartbeat"
)

// hookURL is a webhook of Slack.
var hookURL = "slack://hook:" + strings.ReplaceAll(hookSecret, "/", "-") + "@webhook"

// Every service has its own form. HTTPS goes through the proxy and trusts the private authority; mail goes direct, and trusts it
// too. Of those that do not take the message each is named by its position and scheme, with why, and nothing of its URL.
func TestCheckSendsOneTestMessageToEachAndSaysWhichTookIt(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Secret(hookSecret, workflowSecret, genericSecret, mailSecret, strings.ReplaceAll(hookSecret, "/", "-"))
	var box inbox
	const workflows = "prod-00.westeurope.logic.azure.com"
	box.serve(s, map[string]string{"hooks.slack.com": "ok", workflows: "", "hook.example.com": ""})
	mail := box.mailServer(t, s, mailSecret)
	login := url.UserPassword("robot@example.com", mailSecret).String()
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	for host, fault := range map[string]faultinject.Action{
		"refuses.example.com":   faultinject.Reply(http.StatusForbidden, "no, "+genericSecret),
		"redirects.example.com": faultinject.Reply(http.StatusTemporaryRedirect, "", "Location", "https://hook.example.com/x"),
		"slow.example.com":      faultinject.Hang(),
		"cuts.example.com":      faultinject.Reset(),
	} {
		box.serve(s, map[string]string{host: ""})
		s.Site.Front.Inject(registries.Fault{Match: registries.At(host), Do: fault})
	}
	s.Site.Front.Handle("blocked.example.com", http.NotFoundHandler())
	s.Site.Proxy.Refuse("blocked.example.com", http.StatusForbidden)
	others, err := s.Site.Authority.Issue("other.example.com")
	require.NoError(t, err)
	box.serve(s, map[string]string{"wrong-name.example.com": ""})
	s.Site.Front.SetCertificate("wrong-name.example.com", others)
	address := "https://" + workflows + ":443/workflows/0a/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=" + workflowSecret
	var urls, wanted []string
	for _, c := range []struct{ url, said string }{
		{"slack://hook:" + strings.ReplaceAll(hookSecret, "/", "-") + "@webhook", "ok slack"},
		{"teams://?host=" + url.QueryEscape(address), "ok teams"},
		{address, "ok teams"},
		{"smtp://" + login + "@" + mail + "/?from=a@example.com&to=b@example.com&requirestarttls=yes", "ok smtp"},
		{"smtp://" + login + "@" + mail + "/?from=a@example.com&to=nobody@example.com,c@example.com", "warning smtp: .* answered 550"},
		{"smtp://robot:" + genericSecret + "@" + mail + "/?from=a@example.com&to=b@example.com", "failed smtp: authentication: .* 535"},
		{"smtp://" + login + "@" + closed.Addr().String() + "/?from=a@example.com&to=b@example.com", "failed smtp: connection-refused: "},
		{"smtp://" + login + "@" + silent.Addr().String() + "/?from=a@example.com&to=b@example.com", "failed smtp: timeout: "},
		{"smtp://" + login + "@mail.invalid/?from=a@example.com&to=b@example.com", "failed smtp: dns: "},
		{"generic+https://hook.example.com/" + genericSecret, "ok generic"},
		{"generic://refuses.example.com/" + genericSecret, "failed generic: it answered 403 Forbidden; "},
		{"generic://redirects.example.com/" + genericSecret, "failed generic: it answered 307 .* redirects are not followed"},
		{"generic://slow.example.com/" + genericSecret, "failed generic: timeout: "},
		{"generic://slow.example.com/again/" + genericSecret, "failed generic: timeout: "},
		{"generic://cuts.example.com/" + genericSecret, "failed generic: connection-refused: "},
		{"generic://blocked.example.com/" + genericSecret, "failed generic: proxy: "},
		{"generic://unknown.example.com/" + genericSecret, "failed generic: proxy: "},
		{"generic://wrong-name.example.com/" + genericSecret, "failed generic: tls: "},
	} {
		urls, wanted = append(urls, c.url), append(wanted, c.said)
	}
	s.Setenv("NOTIFY_URLS", strings.Join(urls, "\n")+"\n")
	s.Setenv("CLUSTER_NAME", "prod-eu")

	requireCheck(t, check(t, s, 0), "notification", "unchecked", "")
	require.Empty(t, box.all(), "a check sends nothing unless it is asked to")
	harness.RequireExit(t, 0, s.Run("plan"))
	require.Empty(t, box.all(), "a plan never does")

	result := s.Run("check", "--notify")
	harness.RequireExit(t, 1, result)
	assert.Less(t, result.Duration, 30*time.Second, "three of them take 10 s, side by side")
	lines := linesOf(result.Report, "notification", "", "")
	require.Len(t, lines, len(wanted))
	for i, line := range lines {
		status, rest, _ := strings.Cut(wanted[i], " ")
		scheme, why, _ := strings.Cut(rest, ": ")
		assert.Equal(t, status, line.Status, line.Message)
		assert.Regexp(t, `^(the \w+ URL|URL \d+), `+scheme+`$`, line.Subject)
		assert.Regexp(t, why, line.Message)
	}
	assert.Equal(t, "the second URL, teams", lines[1].Subject)

	const title = "(cluster prod-eu, namespace "
	taken := map[string]string{
		"POST hooks.slack.com/services/" + hookSecret + " application/json {":                                  title,
		"POST " + workflows + strings.TrimPrefix(address, "https://"+workflows+":443") + " application/json {": title,
		"POST hook.example.com/" + genericSecret + " application/json {":                                       `{"test":true}`,
		"to b@example.com\n": title,
		"to c@example.com\n": title,
	}
	for begins, holds := range taken {
		var found []string
		for _, sent := range box.all() {
			if strings.HasPrefix(sent, begins) {
				found = append(found, sent)
			}
		}
		if assert.NotEmpty(t, found, "%s in %q", begins, box.all()) {
			assert.Contains(t, found[0], holds)
			assert.NotContains(t, found[0], "REPLACED")
		}
	}
	assert.Len(t, box.all(), 6, "one message each")
	assert.NotEmpty(t, s.Site.Proxy.Connects("hooks.slack.com"))
}

// A URL that does not parse is a problem of the configuration, and so is a heartbeat's; nobody is asked.
func TestAURLThatDoesNotParseIsExit2(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Secret(mailSecret, beatSecret)
	s.Setenv("NOTIFY_URLS", "generic://hook.example.com/x\nsmtp://robot:"+mailSecret+"@mail.example.com/?from=a@example.com&to=b@example.com")
	s.Setenv("HEARTBEAT_URL", `"https://hc.example.com/`+beatSecret+`"`)
	for _, command := range []string{"run", "plan", "check"} {
		result := s.Run(command)
		harness.RequireExit(t, 2, result)
		assert.Contains(t, result.Stderr, "NOTIFY_URLS: the second URL, smtp: does not parse: percent-encode @ # % : / ?")
		assert.Contains(t, result.Stderr, "HEARTBEAT_URL: must be one URL")
	}
}

// The heartbeat is asked after each tick and after nothing else, with the summary line; again where it got
// lost; at /fail where somebody must look. What becomes of it changes no exit code.
func TestTheHeartbeatFollowsEachTick(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Secret(beatSecret)
	var box inbox
	box.serve(s, map[string]string{"hc.example.com": "OK"})
	s.Setenv("HEARTBEAT_URL", "https://hc.example.com/"+beatSecret+"?create=1\n")
	asked := func(times int, path string) {
		t.Helper()
		calls := s.Site.Front.Calls(registries.At("hc.example.com"))
		require.GreaterOrEqual(t, len(calls), times)
		require.LessOrEqual(t, len(calls), max(times, times*2-1))
		for _, call := range calls {
			assert.Equal(t, "POST /"+beatSecret+path+"?create=1", fmt.Sprint(call.Method, " ", call.Path, "?", call.Query.Encode()))
		}
		s.Forget()
	}
	s.Forget()
	requireOutcome(t, s.Run(), 0, "unchanged", "")
	assert.Empty(t, s.API.Writes())
	asked(1, "")
	assert.Contains(t, box.all()[0], "text/plain; charset=utf-8 exit 0: 0 of 1 need you; 1 fine")
	for _, command := range []string{"plan", "check"} {
		s.Run(command)
	}
	asked(0, "")

	for name, fault := range map[string]registries.Fault{
		"lost once":     {Times: 1, Do: faultinject.Reset()},
		"answered late": {Times: 1, Do: faultinject.Hang()},
		"503 once":      {Times: 1, Do: faultinject.Reply(http.StatusServiceUnavailable, "")},
	} {
		fault.Match = registries.At("hc.example.com")
		remove := s.Site.Front.Inject(fault)
		before := len(box.all())
		result := s.Run()
		harness.RequireExit(t, 0, result)
		assert.NotContains(t, result.Stderr, "HEARTBEAT_URL", name)
		assert.Len(t, box.all(), before+1, name)
		s.Forget()
		remove()
	}
	for status, fault := range map[string]faultinject.Action{"404": faultinject.Reply(http.StatusNotFound, beatSecret), "timeout": faultinject.Hang()} {
		remove := s.Site.Front.Inject(registries.Fault{Match: registries.At("hc.example.com"), Do: fault})
		result := s.Run()
		harness.RequireExit(t, 0, result)
		assert.Regexp(t, `"level":"WARN","msg":"the heartbeat of HEARTBEAT_URL was not taken: .*`+status, result.Stderr)
		remove()
	}
	s.Forget()

	s.Configure(strings.Replace(ingestorConfig, "name: jobs", "name: gone", 1))
	harness.RequireExit(t, 1, s.Run())
	assert.Contains(t, box.all()[len(box.all())-1], "exit 1: 1 of 1 need you (1 workload-missing)")
	asked(1, "/fail")
	s.Configure("targets: []")
	harness.RequireExit(t, 2, s.Run())
	asked(1, "/fail")

	s.Configure(ingestorConfig)
	read := make(chan struct{})
	s.API.Inject(apiproxy.Fault{Match: reads, Times: 1, Do: faultinject.Then(faultinject.Before(func() { close(read) }), faultinject.Hang())})
	run := s.Start()
	<-read
	require.NoError(t, run.Signal(syscall.SIGTERM))
	harness.RequireExit(t, 1, run.Finish())
	asked(0, "")
}

// A tick that is killed between noting a notice and sending it, or that is told to end, sends nothing; the first tick that begins
// when no earlier one can be alive any more does (2 × ROLLOUT_TIMEOUT + 5 min), and none before.
func TestTheNoticeOfATickThatWasKilledIsSentLater(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "told to end": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := adopted(t)
			s.Setenv("ROLLOUT_TIMEOUT", "1m")
			s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
			s.Setenv("NOTIFY_URLS", hookURL)
			var box inbox
			box.serve(s, map[string]string{"hooks.slack.com": "ok"})
			require.NoError(t, s.Site.Delete(ingestor))
			started := make(chan *harness.Run, 1)
			remove := s.API.Inject(apiproxy.Fault{
				Match: func(r apiproxy.Request) bool {
					return r.Verb == "patch" && strings.Contains(string(r.Body), `\"unsent\"`)
				},
				Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					answer := httptest.NewRecorder()
					next.ServeHTTP(answer, r)
					if answer.Code == http.StatusConflict { // it is written again
						maps.Copy(w.Header(), answer.Header())
						w.WriteHeader(answer.Code)
						_, _ = w.Write(answer.Body.Bytes())
						return
					}
					run := <-started
					if err := run.Signal(signal); err != nil {
						t.Error(err)
					}
					<-run.Ended()
					panic(http.ErrAbortHandler)
				},
			})
			run := s.Start()
			started <- run
			run.Finish()
			remove()
			at := playClock(s)
			require.Contains(t, s.Deployment("jobs").Annotations[state], "unsent")
			for _, c := range []struct {
				minutes float64
				sent    int
			}{{0, 0}, {6, 0}, {8, 1}, {9, 1}} {
				at(c.minutes / 60)
				requireOutcome(t, s.Tick(), 1, "failed", "not-found")
				assert.Len(t, box.all(), c.sent, "after %v minutes", c.minutes)
			}
		})
	}
}
