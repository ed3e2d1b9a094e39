package transport

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	next, r := below(reply(200, "")), get(t, "https://a.io/v2/", "", failure.StagePing)
	r.Header.Set("Referer", "https://cdn.io/?sig=secret")
	_, err := (&header{next: next, userAgent: "image-refresh/1"}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, http.Header{"User-Agent": {"image-refresh/1"}}, next.asked[0].Header)
}
