package cluster

import (
	"net/http"
	"sync"
	"time"
)

// clock keeps the API server's time, as the Date of its newest answer says it (RFC 9110, 6.6.1: whole seconds).
type clock struct {
	next http.RoundTripper
	mu   sync.Mutex
	date time.Time
}

// RoundTrip implements http.RoundTripper.
func (c *clock) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(request)
	if err != nil {
		return answer, err
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if date.After(c.date) {
			c.date = date.UTC()
		}
	}
	return answer, nil
}

// Date is the API server's time, as its newest answer says it. It is zero as long as no answer has said it.
func (c *Client) Date() time.Time {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	return c.clock.date
}
