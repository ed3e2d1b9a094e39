package transport

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// A line a request, with what helps and nothing that is secret.
func TestTheDebugLog(t *testing.T) {
	t.Parallel()
	r := get(t, "https://a.io/v2/x/manifests/1?sig=secret", "", failure.StageManifest)
	r.Header.Set("Authorization", "Bearer secret")
	const request = `^time=\S+ level=DEBUG msg="registry request" method=GET host=a.io path=/v2/x/manifests/1 duration=\S+ `
	for _, c := range []struct {
		level slog.Level
		next  answer
		want  string
	}{
		{slog.LevelDebug, reply(200, ""), request + "status=200\n$"},
		{slog.LevelDebug, failing(Refused), request + `stage=""\n$`},
		{slog.LevelInfo, reply(200, ""), "^$"},
	} {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: c.level}))
		_, _ = (&debug{logger: logger, next: below(c.next)}).RoundTrip(r)
		assert.Regexp(t, c.want, log.String())
	}
}
