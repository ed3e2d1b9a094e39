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
	for _, c := range []struct {
		stage  failure.Stage
		answer answer
		want   string
		kind   Kind
	}{
		{failure.StageManifest, reply(200, "{}"), "{}", 0},
		{failure.StageManifest, reply(200, "<html>"), "<html>", 0},
		{failure.StageManifest, reply(200, zipped("{}"), gzipped...), "{}", 0},
		{failure.StageManifest, reply(200, zipped(spaces(maxManifest+1)), gzipped...), "", TooLarge},
		{failure.StageManifest, reply(200, "<html>not at all</html>", gzipped...), "", Truncated},
		{failure.StageManifest, reply(200, half, gzipped...), "", Truncated},
		{failure.StageManifest, reply(200, spaces(maxManifest)), spaces(maxManifest), 0},
		{failure.StageManifest, reply(200, spaces(maxManifest+1)), "", TooLarge},
		{failure.StageManifest, reply(200, many), "", TooLarge},
		{failure.StageManifest, reply(403, many), many[:min(len(many), maxRefusal)], 0},
		{failure.StageManifest, reply(403, spaces(maxRefusal+1)), spaces(maxRefusal), 0},
		{failure.StageManifest, reply(302, "moved"), "", 0},
		{failure.StageToken, reply(200, spaces(maxToken)), spaces(maxToken), 0},
		{failure.StageToken, reply(200, spaces(maxToken+1)), "", TooLarge},
		{failure.StagePing, reply(200, spaces(maxRefusal+1)), spaces(maxRefusal), 0},
	} {
		answer, err := (&body{next: below(c.answer), large: make(chan struct{}, 1)}).RoundTrip(get(t, "https://a.io/x", "", c.stage))
		assert.Equal(t, c.kind, kindOf(err))
		if c.kind == 0 {
			held, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			assert.Equal(t, c.want, string(held))
			assert.Empty(t, answer.Header.Get("Content-Encoding"))
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
