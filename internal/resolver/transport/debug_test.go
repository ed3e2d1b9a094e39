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
	r := get(t, "https://a.io/v2/x/manifests/1?sig=secret", "", failure.StageManifest)
	r.Header.Set("Authorization", "Bearer secret")
	for level, want := range map[slog.Level]string{
		slog.LevelDebug: `^level=DEBUG msg="registry request" method=GET host=a.io path=/v2/x/manifests/1 duration=\S+ status=200\n` +
			`level=DEBUG .* stage=connecting\n$`,
		slog.LevelInfo: "^$",
	} {
		var log bytes.Buffer
		handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		for _, next := range []answer{reply(200, ""), func(*http.Request) (*http.Response, error) {
			return nil, &Failure{Kind: Refused, Stage: failure.StageConnect}
		}} {
			_, _ = (&debug{logger: slog.New(handler), next: below(next)}).RoundTrip(r)
		}
		assert.Regexp(t, want, log.String())
	}
}
