package transport

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// below stands in for whatever is under a RoundTripper.
type below func(*http.Request) (*http.Response, error)

func (f below) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering gives each request the next of some answers, and the last one from then on; it notes what it was asked.
type answering struct {
	answers []*http.Response
	err     error
	asked   []*http.Request
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r)
	if a.err != nil {
		return nil, a.err
	}
	held := a.answers[min(len(a.asked), len(a.answers))-1]
	next := *held
	next.Request, next.Header = r, next.Header.Clone()
	if again, ok := held.Body.(*text); ok {
		next.Body = again.fresh()
	}
	return &next, nil
}

// reply is an answer; headers are given as name and value in turn.
func reply(status int, body string, headers ...string) *http.Response {
	header := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		header.Add(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: header, Body: (&text{all: body}).fresh(), ContentLength: int64(len(body))}
}

// text is a body that can be read again.
type text struct {
	io.Reader
	all string
}

func (t *text) fresh() *text { return &text{Reader: strings.NewReader(t.all), all: t.all} }

func (*text) Close() error { return nil }

// get is a request at a stage, with its call.
func get(t *testing.T, address string, stage failure.Stage) (*http.Request, *Call) {
	t.Helper()
	ctx, call := Begin(t.Context(), stage)
	return request(t, ctx, http.MethodGet, address), call
}

func request(t *testing.T, ctx context.Context, method, address string) *http.Request { //nolint:revive // t is first in tests
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	require.NoError(t, err)
	return r
}

// follows makes a request one that a redirect from another led to.
func follows(r, before *http.Request) *http.Request {
	r.Response = &http.Response{Request: before}
	return r
}

func httpAt(hosts ...string) func(string) bool {
	return func(host string) bool {
		for _, one := range hosts {
			if one == host {
				return true
			}
		}
		return false
	}
}

func address(t *testing.T, spelled string) *url.URL {
	t.Helper()
	u, err := url.Parse(spelled)
	require.NoError(t, err)
	return u
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}
