package resolver

import (
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

// refused is the problem that the library's word for an answer is made into.
func refused(t *testing.T, status int, body string) *problem {
	t.Helper()
	ctx, call := wire.Begin(t.Context(), failure.StageToken)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://a.io/token", nil)
	require.NoError(t, err)
	answer := &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r}
	return problemOf(ctx, transport.CheckError(answer, http.StatusOK), call, noDetail)
}

func TestCausesOfStatuses(t *testing.T) {
	t.Parallel()
	for cause, statuses := range map[failure.Cause][]int{
		failure.Unauthorized: {401}, failure.Proxy: {407}, failure.RateLimited: {429}, failure.NotFound: {404, 410},
		failure.Forbidden: {402, 403, 412, 423, 451}, failure.BadResponse: {400, 418}, failure.ServerError: {408, 500, 502, 521},
	} {
		for _, status := range statuses {
			p := refused(t, status, `{"errors":[{"code":"DENIED","message":"hunter2"}]}`)
			assert.Equal(t, cause, p.cause, status)
			assert.Equal(t, "DENIED", p.code)
		}
	}
	for kind := wire.Interrupted; kind <= wire.SecondPing; kind++ {
		assert.NotEmpty(t, unanswered(&wire.Failure{Kind: kind}).cause, kind)
	}
}

func TestWhatRefusesALogin(t *testing.T) {
	t.Parallel()
	const own, page = `{"errors":[{"code":"DENIED"}]}`, "<html>"
	for _, c := range []struct {
		status  int
		body    string
		refuses bool
	}{
		{401, "", true}, {401, page, true}, {403, own, true}, {403, page, false}, {403, "", false},
		{400, own, false}, {402, own, false}, {404, "", false}, {429, "", false}, {503, "", false},
	} {
		assert.Equal(t, c.refuses, refused(t, c.status, c.body).refusesLogin(), c)
	}
	assert.False(t, (*problem)(nil).refusesLogin())
}

func TestAnErrorCodeIsAWord(t *testing.T) {
	t.Parallel()
	for code, want := range map[transport.ErrorCode]string{
		"NOT_FOUND": "NOT_FOUND", "a\nb": "THEN", "denied": "THEN", "": "THEN", transport.ErrorCode(strings.Repeat("A", 41)): "THEN",
	} {
		assert.Equal(t, want, errorCode([]transport.Diagnostic{{Code: code}, {Code: "THEN"}}), code)
	}
	assert.Empty(t, errorCode(nil))
}

func TestWorst(t *testing.T) {
	t.Parallel()
	forbidden, absent := outcome{problem: &problem{cause: failure.Forbidden}}, outcome{problem: &problem{cause: failure.NotFound}}
	assert.Same(t, forbidden.problem, worst([]outcome{absent, forbidden}).problem)
}
