package transport

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// A line a request, with what helps and nothing that is secret.
func TestTheDebugLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	at := &debug{logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), next: &answering{answers: []*http.Response{reply(200, "")}}}
	r, _ := get(t, "https://a.io/v2/x/manifests/1?sig=secret", failure.StageManifest)
	r.Header.Set("Authorization", "Bearer secret")
	_, _ = at.RoundTrip(r)
	assert.Regexp(t, `level=DEBUG msg="registry request" method=GET host=a.io path=/v2/x/manifests/1 duration=\S+ status=200`, log.String())
	at.next = &answering{err: &Failure{Kind: Refused, Stage: failure.StageConnect}}
	_, _ = at.RoundTrip(r)
	assert.Contains(t, log.String(), "stage=connecting")
	assert.NotContains(t, log.String(), "secret")
	log.Reset()
	at.logger = slog.New(slog.NewTextHandler(&log, nil))
	_, _ = at.RoundTrip(r)
	assert.Empty(t, log.String())
}
