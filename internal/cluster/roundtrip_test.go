package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The API server's time is that of its newest answer, whatever order answers come in.
func TestTheClockIsTheNewestDate(t *testing.T) {
	t.Parallel()
	dates := []string{"", "garbage", "Thu, 01 Jan 2026 10:00:05 GMT", "Thu, 01 Jan 2026 10:00:04 GMT", ""}
	s := &server{answer: func(r *http.Request, try int) (*http.Response, error) {
		return sends(200, deployment("1", 2), "Date", dates[try-1])(r)
	}}
	client := s.client(t)
	var told []time.Time
	for range dates {
		_, err := client.Get(t.Context(), ref)
		require.NoError(t, err)
		told = append(told, client.Date())
	}
	at := time.Date(2026, 1, 1, 10, 0, 5, 0, time.UTC)
	assert.Equal(t, []time.Time{{}, {}, at, at, at}, told)
}

// A line for each request has neither query nor header, which may hold a secret.
func TestATraceHasNoSecret(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	trace := traced{&server{answer: answers(sends(200, nil), fails(errors.New("boom")))}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/apis?q="+token, http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := trace.RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	_, err = trace.RoundTrip(request) //nolint:bodyclose // there is none
	require.Error(t, err)
	assert.Contains(t, log.String(), `msg="API request" method=GET host=api.example.com path=/apis`)
	assert.Contains(t, log.String(), "status=200")
	assert.Contains(t, log.String(), "error=boom")
	assert.NotContains(t, log.String(), token)
}
