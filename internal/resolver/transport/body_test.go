package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

func zipped(text string) string {
	var held bytes.Buffer
	w := gzip.NewWriter(&held)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return held.String()
}

// endless gives spaces for ever.
type endless struct{ sent int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.sent += len(p)
	return len(p), nil
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	many := "[" + strings.Repeat("0,", maxValues+1) + "0]"
	for name, c := range map[string]struct {
		answer *http.Response
		stage  failure.Stage
		want   string
		kind   Kind
	}{
		"a manifest":               {reply(200, "{}"), failure.StageManifest, "{}", 0},
		"one that is compressed":   {reply(200, zipped("{}"), "Content-Encoding", "gzip"), failure.StageManifest, "{}", 0},
		"one that unfolds":         {reply(200, zipped(strings.Repeat(" ", maxManifest+1)), "Content-Encoding", "gzip"), failure.StageManifest, "", TooLarge},
		"one that is no gzip":      {reply(200, "<html>not at all</html>", "Content-Encoding", "gzip"), failure.StageManifest, "", Truncated},
		"half of one":              {reply(200, zipped("{\"a\":0}")[:20], "Content-Encoding", "gzip"), failure.StageManifest, "", Truncated},
		"the largest":              {reply(200, strings.Repeat(" ", maxManifest)), failure.StageManifest, strings.Repeat(" ", maxManifest), 0},
		"one more":                 {reply(200, strings.Repeat(" ", maxManifest+1)), failure.StageManifest, "", TooLarge},
		"many values":              {reply(200, many), failure.StageManifest, "", TooLarge},
		"a token":                  {reply(200, strings.Repeat(" ", maxToken)), failure.StageToken, strings.Repeat(" ", maxToken), 0},
		"a large token":            {reply(200, strings.Repeat(" ", maxToken+1)), failure.StageToken, "", TooLarge},
		"a refusal":                {reply(403, many), failure.StageManifest, many[:min(len(many), maxRefusal)], 0},
		"a large refusal":          {reply(403, strings.Repeat(" ", maxRefusal+1)), failure.StageManifest, strings.Repeat(" ", maxRefusal), 0},
		"a page for the ping":      {reply(200, strings.Repeat(" ", maxRefusal+1)), failure.StagePing, strings.Repeat(" ", maxRefusal), 0},
		"the body of a redirect":   {reply(302, "moved"), failure.StageManifest, "", 0},
		"a page that is no answer": {reply(200, "<html>"), failure.StageManifest, "<html>", 0},
	} {
		r, _ := get(t, "https://a.io/x", c.stage)
		answer, err := (&body{next: &answering{answers: []*http.Response{c.answer}}, large: make(chan struct{}, 1)}).RoundTrip(r)
		if c.kind != 0 {
			failed, ok := errors.AsType[*Failure](err)
			require.True(t, ok, name)
			assert.Equal(t, c.kind, failed.Kind, name)
			continue
		}
		require.NoError(t, err, name)
		held, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		assert.Equal(t, c.want, string(held), name)
		assert.Empty(t, answer.Header.Get("Content-Encoding"), name)
	}
}

func TestAHeadKeepsItsLength(t *testing.T) {
	t.Parallel()
	ctx, _ := Begin(t.Context(), failure.StageManifest)
	headers := reply(200, "")
	headers.ContentLength = 1234
	answer, err := (&body{next: &answering{answers: []*http.Response{headers}}}).RoundTrip(request(t, ctx, http.MethodHead, "https://a.io/x"))
	require.NoError(t, err)
	assert.Equal(t, int64(1234), answer.ContentLength)
}

// What has no end is neither held nor read for long.
func TestABodyWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 404} {
		source := &endless{}
		answer := reply(status, "")
		answer.Body = io.NopCloser(source)
		r, _ := get(t, "https://a.io/x", failure.StageManifest)
		_, err := (&body{next: &answering{answers: []*http.Response{answer}}, large: make(chan struct{}, 1)}).RoundTrip(r)
		assert.Equal(t, status == 200, err != nil)
		assert.Less(t, source.sent, 2*maxManifest)
	}
}

// Large bodies are read one at a time; one that waits for its turn goes when its time is over, and holds up no usual one.
func TestLargeBodiesTakeTurns(t *testing.T) {
	t.Parallel()
	turns := make(chan struct{}, 1)
	turns <- struct{}{}
	ask := func(size int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		ctx, _ = Begin(ctx, failure.StageManifest)
		under := &answering{answers: []*http.Response{reply(200, strings.Repeat(" ", size))}}
		_, err := (&body{next: under, large: turns}).RoundTrip(request(t, ctx, http.MethodGet, "https://a.io/x"))
		return err
	}
	require.NoError(t, ask(1000))
	failed, ok := errors.AsType[*Failure](ask(2 * maxUsual))
	require.True(t, ok)
	assert.Equal(t, TimedOut, failed.Kind)
}
