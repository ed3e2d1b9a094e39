package notify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/pause"
	"github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// Heartbeat tells a service such as healthchecks.io after each tick that there was one, so that none at all is noticed.
type Heartbeat struct {
	address *url.URL
}

// ParseHeartbeat reads HEARTBEAT_URL. Its error quotes nothing of it, since whoever knows it may forge a heartbeat.
func ParseHeartbeat(text string) (*Heartbeat, error) {
	address, err := url.Parse(text)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" {
		return nil, errors.New("HEARTBEAT_URL: must be one URL that begins with https:// or http://, without quotes")
	}
	return &Heartbeat{address}, nil
}

// A heartbeat that gets lost is a false alarm at night, so it is asked again within its time.
const (
	patienceOnce = 4 * time.Second
	betweenTries = 500 * time.Millisecond
)

// Beat sends a heartbeat with a body for people, and of a tick that failed to the address with /fail added. It waits for at
// most 10 s. What went wrong is safe to print; empty where nothing did.
func (h *Heartbeat) Beat(ctx context.Context, failed bool, body string) (problem string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	address := h.address
	if failed {
		address = address.JoinPath("fail")
	}
	network := transport.Direct(transport.Options{Timeout: patienceOnce})
	for {
		again := false
		problem, again = post(ctx, network, address, body)
		if !again || !pause.For(ctx, betweenTries) {
			return problem
		}
	}
}

// post asks once, and says whether another try may help.
func post(ctx context.Context, network http.RoundTripper, address *url.URL, body string) (problem string, again bool) {
	ctx, cancel := context.WithTimeout(ctx, patienceOnce)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), strings.NewReader(body))
	if err != nil {
		return "it could not be asked; check HEARTBEAT_URL", false
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	answer, err := network.RoundTrip(request)
	if err != nil {
		failed, ok := errors.AsType[*transport.Failure](err)
		if !ok {
			failed = transport.Classify(ctx, err)
		}
		return unanswered(failed), true
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	_ = answer.Body.Close()
	if answer.StatusCode < http.StatusMultipleChoices {
		return "", false
	}
	return refused(answer.StatusCode), answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests
}
