package cluster

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// traced logs a line for each request on the wire, those that client-go repeats by itself among them. No query, as
// for registries, and no header: the token is in one.
type traced struct {
	next http.RoundTripper
	log  *slog.Logger
}

// RoundTrip implements http.RoundTripper.
func (t traced) RoundTrip(request *http.Request) (*http.Response, error) {
	started := time.Now()
	answer, err := t.next.RoundTrip(request)
	line := []any{
		"method", request.Method, "host", request.URL.Host, "path", request.URL.Path,
		"duration", time.Since(started).Round(time.Millisecond).String(),
	}
	if err != nil {
		line = append(line, "error", failure.Clean(err.Error()))
	} else {
		line = append(line, "status", answer.StatusCode)
	}
	t.log.DebugContext(request.Context(), "API request", line...)
	return answer, err
}
