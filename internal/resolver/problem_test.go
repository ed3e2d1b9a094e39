package resolver

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// refusal is what the library makes of an answer.
func refusal(t *testing.T, status int, body string) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a.io/v2/x/manifests/1", nil)
	require.NoError(t, err)
	return transport.CheckError(&http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}, http.StatusOK)
}

func TestCausesOfStatuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]failure.Cause{
		400: failure.BadResponse, 401: failure.Unauthorized, 402: failure.Forbidden, 403: failure.Forbidden, 404: failure.NotFound, 407: failure.Proxy, 408: failure.ServerError,
		410: failure.NotFound, 412: failure.Forbidden, 418: failure.BadResponse, 423: failure.Forbidden, 429: failure.RateLimited, 451: failure.Forbidden,
		500: failure.ServerError, 502: failure.ServerError, 521: failure.ServerError,
	} {
		ctx, call := wire.Begin(t.Context(), failure.StageManifest)
		p := problemOf(ctx, refusal(t, status, `{"errors":[{"code":"DENIED","message":"hunter2"}]}`), call, noDetail)
		assert.Equal(t, want, p.cause, status)
		assert.Equal(t, "DENIED", p.code)
	}
}

// Every kind of failure on the way is a cause, but for the one that the library never shows.
func TestEveryKindHasACause(t *testing.T) {
	t.Parallel()
	for kind := wire.Interrupted; kind <= wire.SecondPing; kind++ {
		assert.NotEmpty(t, unanswered(&wire.Failure{Kind: kind}).cause, kind)
	}
}

func TestWhatRefusesALogin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		body    string
		refuses bool
	}{
		{401, "", true}, {401, "<html>", true}, {403, `{"errors":[{"code":"DENIED"}]}`, true}, {403, "<html>", false}, {403, "", false},
		{400, `{"errors":[{"code":"X"}]}`, false}, {402, `{"errors":[{"code":"X"}]}`, false}, {404, "", false}, {429, "", false}, {503, "", false},
	} {
		ctx, call := wire.Begin(t.Context(), failure.StageToken)
		assert.Equal(t, c.refuses, problemOf(ctx, refusal(t, c.status, c.body), call, noDetail).refusesLogin(), c)
	}
	assert.False(t, (*problem)(nil).refusesLogin())
}

func TestErrorCodeIsAWord(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"NOT_FOUND": "NOT_FOUND", "a\nb": "", strings.Repeat("A", 41): "", "": "", "denied": ""} {
		assert.Equal(t, want, errorCode([]transport.Diagnostic{{Code: transport.ErrorCode(code)}}), code)
	}
	assert.Equal(t, "DENIED", errorCode([]transport.Diagnostic{{Code: "a\x1b"}, {Code: "DENIED"}}))
	assert.Empty(t, errorCode(nil))
}

func TestWorst(t *testing.T) {
	t.Parallel()
	forbidden, absent := outcome{problem: &problem{cause: failure.Forbidden}}, outcome{problem: &problem{cause: failure.NotFound}}
	assert.Same(t, forbidden.problem, worst([]outcome{absent, forbidden}).problem)
}
