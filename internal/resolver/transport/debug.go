package transport

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// debug is a line in the log for each request: no query, for it may hold a signature, and no header.
type debug struct {
	next   http.RoundTripper
	logger *slog.Logger
}

func (t *debug) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.logger.Enabled(r.Context(), slog.LevelDebug) {
		return t.next.RoundTrip(r)
	}
	started := time.Now()
	answer, err := t.next.RoundTrip(r)
	line := []slog.Attr{
		slog.String("method", r.Method), slog.String("host", failure.Clean(r.URL.Host)), slog.String("path", failure.Clean(r.URL.Path)),
		slog.String("duration", time.Since(started).Round(time.Millisecond).String()),
	}
	if failed, ok := errors.AsType[*Failure](err); ok {
		line = append(line, slog.String("stage", string(failed.Stage)))
	} else if err == nil {
		line = append(line, slog.Int("status", answer.StatusCode))
	}
	t.logger.LogAttrs(r.Context(), slog.LevelDebug, "registry request", line...)
	return answer, err
}
