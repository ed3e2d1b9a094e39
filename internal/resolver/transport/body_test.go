package transport

import (
	"bytes"
	"compress/gzip"
	"context"
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

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	spaces := func(n int) string { return strings.Repeat(" ", n) }
	many := "[" + strings.Repeat("0,", maxValues+1) + "0]"
	half := zipped(`{"a":0}`)[:20]
	gzipped := []string{"Content-Encoding", "gzip"}
	for name, c := range map[string]struct {
		answer answer
		stage  failure.Stage
		want   string
		kind   Kind
	}{
		"a manifest":               {reply(200, "{}"), failure.StageManifest, "{}", 0},
		"one that is compressed":   {reply(200, zipped("{}"), gzipped...), failure.StageManifest, "{}", 0},
		"one that unfolds":         {reply(200, zipped(spaces(maxManifest+1)), gzipped...), failure.StageManifest, "", TooLarge},
		"one that is no gzip":      {reply(200, "<html>not at all</html>", gzipped...), failure.StageManifest, "", Truncated},
		"half of one":              {reply(200, half, gzipped...), failure.StageManifest, "", Truncated},
		"the largest":              {reply(200, spaces(maxManifest)), failure.StageManifest, spaces(maxManifest), 0},
		"one more":                 {reply(200, spaces(maxManifest+1)), failure.StageManifest, "", TooLarge},
		"many values":              {reply(200, many), failure.StageManifest, "", TooLarge},
		"a token":                  {reply(200, spaces(maxToken)), failure.StageToken, spaces(maxToken), 0},
		"a large token":            {reply(200, spaces(maxToken+1)), failure.StageToken, "", TooLarge},
		"a refusal":                {reply(403, many), failure.StageManifest, many[:min(len(many), maxRefusal)], 0},
		"a large refusal":          {reply(403, spaces(maxRefusal+1)), failure.StageManifest, spaces(maxRefusal), 0},
		"a page for the ping":      {reply(200, spaces(maxRefusal+1)), failure.StagePing, spaces(maxRefusal), 0},
		"the body of a redirect":   {reply(302, "moved"), failure.StageManifest, "", 0},
		"a page that is no answer": {reply(200, "<html>"), failure.StageManifest, "<html>", 0},
	} {
		answer, err := (&body{next: below(c.answer), large: make(chan struct{}, 1)}).RoundTrip(get(t, "https://a.io/x", "", c.stage))
		assert.Equal(t, c.kind, kindOf(err), name)
		if c.kind == 0 {
			require.NoError(t, err, name)
			held, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			assert.Equal(t, c.want, string(held), name)
			assert.Empty(t, answer.Header.Get("Content-Encoding"), name)
		}
	}
}

func TestAHeadKeepsItsLength(t *testing.T) {
	t.Parallel()
	r := get(t, "https://a.io/x", "", failure.StageManifest)
	r.Method = http.MethodHead
	answer, err := (&body{next: below(reply(200, "", "Content-Length", "1234"))}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, int64(1234), answer.ContentLength)
}

// endless gives spaces for ever.
type endless struct{ sent int }

func (e *endless) Read(p []byte) (int, error) {
	e.sent += copy(p, bytes.Repeat([]byte(" "), len(p)))
	return len(p), nil
}

// What has no end is neither held nor read for long.
func TestABodyWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]Kind{200: TooLarge, 404: 0} {
		source := &endless{}
		next := below(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(source), Request: r}, nil
		})
		_, err := (&body{next: next, large: make(chan struct{}, 1)}).RoundTrip(get(t, "https://a.io/x", "", failure.StageManifest))
		assert.Equal(t, kind, kindOf(err))
		assert.Less(t, source.sent, 2*maxManifest)
	}
}

// Large bodies are read one at a time; one that waits for its turn goes when its time is over, and holds up no usual one.
func TestLargeBodiesTakeTurns(t *testing.T) {
	t.Parallel()
	turns := make(chan struct{}, 1)
	turns <- struct{}{}
	for size, kind := range map[int]Kind{1000: 0, 2 * maxUsual: TimedOut} {
		r := get(t, "https://a.io/x", "", failure.StageManifest)
		ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := (&body{next: below(reply(200, strings.Repeat(" ", size))), large: turns}).RoundTrip(r.WithContext(ctx))
		assert.Equal(t, kind, kindOf(err), size)
	}
}
