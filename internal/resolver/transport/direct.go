package transport

import (
	"context"
	"net/http"
)

// Direct is the way to a service that is no registry: through the same proxy, trusting the system's roots. It tries once, and
// its only error is a *Failure.
func Direct(o Options) http.RoundTripper { return &trace{next: newWire(o, nil)} }

// Classify recognises what kept a connection that this package did not make from being used, as a mail server's.
func Classify(ctx context.Context, err error) *Failure {
	return classify(ctx, err, step{reached: asking})
}
