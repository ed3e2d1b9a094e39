package transport

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// answer makes what comes of a request, anew each time.
type answer func(*http.Request) (*http.Response, error)

// under is what is under a RoundTripper: it gives each request the next answer, and the last one from then on, and keeps
// what it was asked.
type under struct {
	answers []answer
	asked   []*http.Request
}

func below(answers ...answer) *under { return &under{answers: answers} }

func (u *under) RoundTrip(r *http.Request) (*http.Response, error) {
	u.asked = append(u.asked, r)
	return u.answers[min(len(u.asked), len(u.answers))-1](r)
}

// reply answers; headers are given as name and value in turn.
func reply(status int, body string, headers ...string) answer {
	return func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, err := w.WriteString(body)
		response := w.Result()
		response.Request = r
		return response, err
	}
}

func failing(kind Kind) answer {
	return func(*http.Request) (*http.Response, error) { return nil, &Failure{Kind: kind} }
}

// kindOf is the kind of a Failure; 0 where it is none.
func kindOf(err error) Kind {
	if failed, ok := errors.AsType[*Failure](err); ok {
		return failed.Kind
	}
	return 0
}

// get is a request at a stage, in a call; before is the address that has redirected there, empty where none has.
func get(t *testing.T, address, before string, stage failure.Stage) *http.Request {
	t.Helper()
	ctx, _ := Begin(t.Context(), stage)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	require.NoError(t, err)
	if before != "" {
		r.Response = &http.Response{Request: get(t, before, "", stage)}
	}
	return r
}

func plainAt(hosts ...string) func(string) bool {
	return func(host string) bool { return slices.Contains(hosts, host) }
}
