package scenario_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// faultTable is what can go wrong between a tick and a registry. A row is a trouble, with the cause that it has; a
// column is the stage at which it strikes:
//
//   - name, connect, proxy, TLS: the way to the registry, or to the proxy that leads there;
//   - ping, token, manifest: the request to /v2/, to the token endpoint, for the tag;
//   - index: the request by digest, for what a tag that has moved means now.
//
// A trouble of the way strikes at "token" on the way to the token endpoint, and at "manifest" and "index" on the way to
// the host to which the registry redirects. Each x is one test (TestFaultTable): the built binary, a real API server,
// and the thing itself that causes the trouble. Each letter is one of the reasons below why there is nothing to test.
const faultTable = `
trouble                                       cause               name  connect  proxy  TLS  ping  token  manifest  index

a name that does not resolve                  dns                 x     a        x      a    b     x      x         x
a closed port                                 connection-refused  c     x        x      a    b     x      x         x
a port that swallows every packet             timeout             c     x        x      a    b     x      x         x
no answer                                     timeout             c     d        x      x    x     x      x         x
an answer that drips                          timeout             c     d        e      e    x     x      x         x
a reset                                       connection-refused  c     f        g      x    x     x      x         x
a reset in the middle of the body             connection-refused  h     h        h      h    i     x      x         x
half a body                                   bad-response        h     h        h      h    i     x      x         x

an expired certificate                        tls                 j     j        x      x    b     x      x         x
a certificate for another name                tls                 j     j        x      x    b     x      x         x
a certificate of an unknown authority         tls                 j     j        x      x    b     x      x         x
a proxy of unknown authority that reads TLS   tls                 j     j        k      x    l     l      l         l
plain HTTP where TLS should be                tls                 j     j        x      x    b     x      x         x

a proxy that answers 403                      proxy               m     m        x      a    b     x      x         x
a proxy that answers 407                      proxy               m     m        x      a    b     x      x         x
a proxy that answers 502                      proxy               m     m        x      a    b     x      x         x
a proxy that hangs up                         proxy               m     m        x      a    b     x      x         x

a login page with status 200                  bad-response        h     h        h      h    i     x      x         x
a gigabyte                                    bad-response        h     h        h      h    i     x      x         x
a redirect in a circle                        bad-response        h     h        h      h    x     x      x         x
a redirect to plain HTTP                      bad-response        h     h        h      h    x     x      x         x
a status that means nothing                   bad-response        h     h        h      h    x     x      x         x
a 401 that does not say how                   unauthorized        h     h        h      h    x     n      x         x
a 401                                         unauthorized        h     h        h      h    p     x      x         x
a 401, and a named secret is not there        credential-missing  h     h        h      h    p     x      x         x
a 403                                         forbidden           h     h        h      h    x     x      x         x
a 404                                         not-found           h     h        h      h    x     x      x         x
a 429                                         rate-limited        h     h        h      h    x     x      x         x
a 503                                         server-error        h     h        h      h    x     x      x         x
Harbor without its database                   server-error        h     h        h      h    p     q      x         x

a digest that is none                         bad-response        r     r        r      r    r     r      x         s
a body that is not its digest's               bad-response        r     r        r      r    r     r      t         x
a manifest of schema 1                        bad-response        r     r        r      r    r     r      x         x
an artifact                                   bad-response        r     r        r      r    r     r      x         x
an empty index                                bad-response        r     r        r      r    r     r      x         x
a body that is no manifest                    bad-response        r     r        r      r    r     r      x         x
an image without a platform that live offers  platform-missing    r     r        r      r    r     r      u         x
no pulls left                                 rate-limited        r     r        r      r    r     r      u         x
`

// impossible says why there is nothing to test.
var impossible = map[string]string{
	"a": "it strikes before the way has come so far",
	"b": "the ping is what opens the way: the columns before it are its own",
	"c": "with a resolver that does so, the name does not resolve: the row above",
	"d": "a connection that is not answered is a port that swallows packets: the row above",
	"e": "half a CONNECT or handshake is of no use: as with no answer, the row above",
	"f": "a connection that is reset while it is made is refused: a closed port",
	"g": "it is a proxy that hangs up",
	"h": "what answers like this is asked from the ping on",
	"i": "no part of the body of /v2/ is needed (TestWhatTheBodyOfV2SaysDoesNotMatter)",
	"j": "there is no certificate before TLS",
	"k": "what it shows is shown inside its tunnel",
	"l": "it reads every tunnel: the first one fails, and is the ping's",
	"m": "a proxy that answers has a name and a port",
	"n": "a token endpoint need not say how: it is a 401",
	"p": "a 401 is how /v2/ says what it wants",
	"q": "Harbor's token endpoint gives tokens to everybody",
	"r": "a manifest is asked for at the last two stages alone",
	"s": "there the body's own hash decides, not what a header says",
	"t": "a tag does not say which body is right",
	"u": "what a digest holds is asked where it has changed",
}

// cellOf is one field of the table.
type cellOf struct{ trouble, cause, stage, mark string }

var gap = regexp.MustCompile(` {2,}`)

// cells reads the table.
func cells(t *testing.T) []cellOf {
	t.Helper()
	var all []cellOf
	var head []string
	for line := range strings.SplitSeq(strings.TrimSpace(faultTable), "\n") {
		if line == "" {
			continue
		}
		fields := gap.Split(line, -1)
		if head == nil {
			head = fields
			continue
		}
		require.Len(t, fields, len(head), line)
		for i := 2; i < len(fields); i++ {
			all = append(all, cellOf{trouble: fields[0], cause: fields[1], stage: head[i], mark: fields[i]})
		}
	}
	return all
}

func (c cellOf) possible() bool { return c.mark == "x" }

// Every cell of the fault table: the cause, where it happened and what to do are said, it is counted, and the slot is
// not touched. Each cause is followed to its threshold once.
func TestFaultTable(t *testing.T) {
	t.Parallel()
	followed := map[string]bool{}
	for _, field := range cells(t) {
		if !field.possible() {
			continue
		}
		follow := !followed[field.cause]
		followed[field.cause] = true
		t.Run(field.trouble+"/"+field.stage, func(t *testing.T) {
			t.Parallel()
			strike(t, field, follow)
		})
	}
}

// The causes that a registry, or the way to it, can bring about.
func TestTheFaultTableHasEveryCause(t *testing.T) {
	t.Parallel()
	var shown []string
	for _, field := range cells(t) {
		if field.possible() && !slices.Contains(shown, field.cause) {
			shown = append(shown, field.cause)
		}
	}
	assert.ElementsMatch(t, []string{
		"not-found", "unauthorized", "forbidden", "credential-missing", "rate-limited", "dns", "connection-refused", "timeout", "tls",
		"proxy", "server-error", "bad-response", "platform-missing",
	}, shown)
}

// A cell is a test, or says why there is none; a reason is given nowhere in vain; each trouble is made by one function.
func TestTheFaultTableIsWhole(t *testing.T) {
	t.Parallel()
	made, used := map[string]bool{}, map[string]bool{}
	for _, field := range cells(t) {
		made[field.trouble] = true
		assert.Contains(t, troubles, field.trouble)
		if !field.possible() {
			assert.Contains(t, impossible, field.mark, "%s/%s", field.trouble, field.stage)
			used[field.mark] = true
		}
	}
	assert.Len(t, troubles, len(made))
	assert.Len(t, impossible, len(used))
}
